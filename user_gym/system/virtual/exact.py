"""Training on a virtual clock that a kill does not change: it goes on from its checkpoint and ends in the same bits.

A checkpoint is made between two updates while the robot resets, when nothing is under way from robot to learner: agent, random
numbers of sampling, weights under way, what the buffer held, and when the learner and the robot go on. It holds no state of
environment or policy, for each episode follows from its number and the weights; a reset has to restore all the rest.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import gymnasium
import numpy as np

from user_gym.core import Agent, Batch, Storage, Weights, whole
from user_gym.errors import BadOption
from user_gym.system.buffer import Buffer
from user_gym.system.checkpoints import Checkpoints, Reached
from user_gym.system.learner import Sampler
from user_gym.system.train import Counters, Progress, TrainResult, train
from user_gym.system.virtual.clock import VirtualClock
from user_gym.system.virtual.costed import Costed
from user_gym.system.virtual.delayed import Delayed
from user_gym.system.virtual.episodic import EpisodicEnv, EpisodicPolicy
from user_gym.system.virtual.paced import Paced
from user_gym.system.virtual.replayed import Replayed


@dataclass(frozen=True, slots=True)
class Costs:
    """What a pipeline takes, s."""

    period: float  # of a step
    reset_time: float  # of a reset
    update_time: float  # of an update; below reset_time, or there may be no moment for a checkpoint
    weights_time: float = 0.0  # for which a publication holds the learner up
    delay: float = 0.0  # from publication to arrival


@dataclass(frozen=True, slots=True)
class _State:
    """What a checkpoint holds beside agent and weights."""

    now: float = 0.0  # s, when the learner goes on
    resets_until: float | None = None  # s, when the robot does; None: it begins a whole reset now
    env_steps: int = 0
    episodes: int = 0
    updates: int = 0
    version: int = -1
    mark: int | None = None  # of the buffer
    sampling: Mapping[str, Any] | None = None  # state of the random numbers


def train_exactly(
    folder: Path,
    env: gymnasium.Env[Any, Any],
    agent: Agent,
    buffer: Buffer,
    *,
    costs: Costs,
    steps: int,
    seed: int = 0,
    sampler: Callable[[Replayed], Sampler] | None = None,
    batch_size: int = 256,
    checkpoint_episodes: int = 1,
    stop: Event | None = None,
    **options: Any,
) -> TrainResult:
    """Train on a virtual clock; go on where the folder has a checkpoint. Weights, optimiser and rows come out the same.

    That holds on one machine and build, with one thread in the learning library, however often the run was killed.

    Args:
        folder: of the checkpoints; exists.
        env: single; its reset restores all of its state.
        agent: as it is before the first update of the run.
        buffer: of this run; what it holds at the first start, such as demonstrations, counts from the beginning.
        costs: of robot, learner and weights.
        steps: as of `train`.
        seed: of the run.
        sampler: makes a sampler that draws from the storage it is handed; None: uniform batches.
        batch_size: where sampler is None.
        checkpoint_episodes: between two checkpoints.
        stop: ends the run early; what it was in the midst of is not stored.
        options: further ones of `train`: synchronous, tolerance, updates_per_step, publish_every, max_seconds ...

    Raises:
        BadOption: an option that is not allowed; random_steps is none here.
        WrongRun: the run came out differently when it went on.
    """
    stop, every = stop or Event(), whole("checkpoint_episodes", checkpoint_episodes, 1)
    if options.get("random_steps", 0):  # their random numbers begin anew with each process
        raise BadOption("random_steps", options["random_steps"], "0 in a run that goes on exactly", "let the policy explore")
    checkpoints = Checkpoints(folder)
    found: list[tuple[_State, list[tuple[float, Weights]]]] = []

    def read(path: Path) -> None:
        with zipfile.ZipFile(path) as file:
            state = _State(**json.loads(file.read("state.json")))
            under_way = [
                (arrives, Weights(version, {name: _array(file, f"{version}/{name}") for name in names}, spec_hash))
                for arrives, version, spec_hash, names in json.loads(file.read("weights.json"))
            ]
            aside = path.with_name(path.name + ".agent")
            aside.write_bytes(file.read("agent"))
        try:
            agent.restore(aside)
        finally:
            aside.unlink()
        found.append((state, under_way))

    checkpoints.restore(read)
    if found:
        state, under_way = found[-1]
    else:  # what the buffer holds now is from before the run, and later nobody could say so
        state, under_way = _State(mark=buffer.live.total), []
        checkpoints.save(lambda path: _write(path, agent, state, under_way), Reached())
    clock = VirtualClock(state.now)
    broadcaster = Delayed(clock, costs.delay)
    broadcaster.restore(under_way)
    storage = Replayed(buffer, state.mark, stop)
    paced = Paced(
        EpisodicEnv(env, seed, state.episodes), clock, period=costs.period, reset_time=costs.reset_time,
        resets_until=state.resets_until,
    )  # fmt: skip
    costed = Costed(agent, clock, update_time=costs.update_time, weights_time=costs.weights_time)
    costed.policy = EpisodicPolicy(agent.policy, seed, state.episodes)
    rng = np.random.default_rng([seed, 0])
    if state.sampling is not None:
        rng.bit_generator.state = state.sampling
    draw: Sampler = sampler(storage) if sampler is not None else (lambda storage, rng: storage.sample(batch_size, rng))
    kept = state.episodes

    def sample(storage: Storage, _: np.random.Generator) -> Batch:
        return draw(storage, rng)

    def look(progress: Progress) -> None:
        nonlocal kept
        episodes = state.episodes + paced.episodes
        turns = options.get("synchronous", True)
        between = paced.resetting is not None or (turns and paced.between)
        nothing_comes = progress.env_steps == state.env_steps + paced.steps and broadcaster.newest() is not None
        if episodes < kept + every or not between or not nothing_comes or stop.is_set():
            return
        kept = episodes
        now = _State(
            clock.now(), paced.resetting, progress.env_steps, episodes, progress.updates, progress.version, storage.mark,
            rng.bit_generator.state,
        )  # fmt: skip
        checkpoints.save(lambda path: _write(path, agent, now, broadcaster.under_way()), Reached(now.updates, now.version))

    return train(
        paced, costed, storage, steps=steps, seed=seed, sampler=sample, stop=stop, broadcaster=broadcaster, runs_on=clock,
        start=Counters(state.env_steps, state.episodes, state.updates, state.version), watch=lambda seen: look(seen()),
        **options,
    )  # fmt: skip


def _write(path: Path, agent: Agent, state: _State, under_way: list[tuple[float, Weights]]) -> None:
    aside = path.with_name(path.name + ".agent")
    agent.save(aside)
    with zipfile.ZipFile(path, "w") as file:
        file.write(aside, "agent")
        file.writestr("state.json", json.dumps(asdict(state)))
        listed = [(arrives, weights.version, weights.spec_hash, list(weights.arrays)) for arrives, weights in under_way]
        file.writestr("weights.json", json.dumps(listed))
        for _, weights in under_way:
            for name, array in weights.arrays.items():
                made = io.BytesIO()
                np.save(made, array, allow_pickle=False)
                file.writestr(f"{weights.version}/{name}", made.getvalue())
    aside.unlink()


def _array(file: zipfile.ZipFile, name: str) -> np.ndarray[Any, Any]:
    return np.load(io.BytesIO(file.read(name)), allow_pickle=False)
