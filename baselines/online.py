"""An agent learns while a robot moves, in a run folder: checkpoints, looks, evaluation, film. It knows no algorithm."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from baselines.config import OnlineSetting, Setting
from baselines.episodes import GLANCE_SEED, bodies, demonstrate, evaluate, make
from baselines.experience import OWN, counted, own_buffer
from baselines.report import Clock, Live, draw_curve, sinks, write_film
from baselines.rewards import check, judged
from baselines.run_folder import Run
from user_gym.core import Agent, Policy, Storage, Weights
from user_gym.errors import MissingSystem
from user_gym.system import Broadcaster, Buffer, Counters, Progress, train
from user_gym.system.atomic_file import write_json
from user_gym.system.learner import Sampler
from user_gym.system.metrics import Endpoint, Recorder, TensorBoard, TrainingWatch

GLANCE, FILMED = 20, 3  # episodes of an evaluation during training, and of the film


class Trainee(Agent, Protocol):
    """An agent that says how often it was updated."""

    updates: int


def frozen(agent: Trainee) -> Policy:
    """A copy of the agent's policy as it is now."""
    policy = copy.deepcopy(agent.policy)
    policy.load(Weights(agent.updates, agent.weights(), policy.spec_hash))
    return policy


def rehearse(agent: Trainee, sampler: Sampler, storage: Storage, seed: int, until: int) -> None:
    """Updates without steps, up to `until` of them. What one draws depends on nothing but `seed` and its number."""
    while agent.updates < until:
        agent.update(sampler(storage, np.random.default_rng([seed, agent.updates, 1])))  # the learner's: [seed, updates]


@dataclass(frozen=True, slots=True)
class Method:
    """What one algorithm brings to a run.

    Args:
        agent: learns.
        sampler: made of the run's own buffer, says what a batch is drawn from.
        acting: what the run's episodes are called beside those of the deterministic policy.
        told: what the summary says besides, from the run's own buffer.
    """

    agent: Trainee
    sampler: Callable[[Buffer], Sampler]
    acting: str = "exploring"
    told: Callable[[Buffer], Mapping[str, Any]] = lambda buffer: {}


def run(
    config: OnlineSetting, env: gymnasium.Env[Any, Any], judge: gymnasium.Env[Any, Any], method: Method
) -> dict[str, Any] | None:
    """Make or continue a run; its summary, or None when it was interrupted. Of several bodies, its success is the lowest.

    On a real robot, where `judge` is `env`, the policy is looked at when training is over; the curve shows how it acts.
    """
    with closing(Run(config.folder, config.identity)) as folder:
        if folder.summary is None:
            check(config.reward, env)  # now: what cannot reward leaves no folder
        folder.open()
        summary = folder.summary
        if summary is not None:
            print(f"{folder.folder} is finished; remove it or choose another --run-dir to train again")
        else:
            with own_buffer(folder) as buffer:
                done = _learn(config, folder, env, judge, method, buffer)
                told = method.told(buffer) if done else {}
            if not done:
                steps = folder.counters.env_steps
                print(f"interrupted after {steps} steps; the same command goes on from there: {folder.folder}")
                return None
            summary = _conclude(config, folder, judge, method, told)
    report(config, summary)
    return summary


def report(config: Setting, summary: Mapping[str, Any]) -> None:
    """Print how a run ended, and what is in its folder."""
    print(f"success {summary['success_rate']:.2f} over {summary['eval_episodes']} deterministic episodes of the last policy")
    for name, reached in summary.get("bodies", {}).items():
        print(f"  {name}: {reached['success_rate']:.2f}")
    print(f"{summary['env_steps']} steps, {summary['updates']} updates, {summary['train_s']:.0f} s of training")
    for name in ("summary.json", "curve.png", "film.gif", "tensorboard", "buffer"):
        if (config.folder / name).exists():
            print(f"{name.partition('.')[0]:12s}{config.folder / name}")


def film(config: Setting, policy: Policy, run: Run) -> None:
    """Film the policy in the run's folder, where that is asked for and possible."""
    if not config.film or config.one_robot:
        return
    try:
        with closing(make(config, render_mode="rgb_array")) as env:
            frames: list[Any] = []
            for body in bodies(env, config).values():
                evaluate(body, policy, FILMED, frames)
        write_film(run.folder / "film.gif", frames, 0.1)
    except MissingSystem as error:
        print(f"no film: {error}")


def _learn(
    config: OnlineSetting,
    run: Run,
    env: gymnasium.Env[Any, Any],
    judge: gymnasium.Env[Any, Any],
    method: Method,
    buffer: Buffer,
) -> bool:
    """Train, from the newest checkpoint on; True when done, False when interrupted. The checkpoint is written either way."""
    checkpoint = run.restore(method.agent.restore)
    if run.curve and run.curve[-1]["env_steps"] >= config.steps:
        return True
    counters = counted(buffer, checkpoint or Counters())
    with judged(env, config.reward, buffer, counters.episodes) as rewarded:  # first of all: a port may be taken
        return _train(config, run, rewarded, judge, method, buffer, counters, checkpoint is None)


def _train(
    config: OnlineSetting,
    run: Run,
    rewarded: gymnasium.Env[Any, Any],
    judge: gymnasium.Env[Any, Any],
    method: Method,
    buffer: Buffer,
    counters: Counters,
    anew: bool,
) -> bool:
    judges, agent = bodies(judge, config), method.agent
    board = TensorBoard(run.folder / "tensorboard")
    watchers = sinks(config, run.folder, board)
    demonstrate(judge, buffer, config, config.reward)  # of two not env: that one is the collector's
    sampler = method.sampler(buffer)
    if anew:
        rehearse(agent, sampler, buffer, config.seed, config.updates_before)
    if counters.env_steps:
        stored = len(buffer.view(OWN))
        print(f"{run.folder}: goes on after {counters.env_steps} steps ({stored} in its buffer) and {counters.updates} updates")
    earlier, clock = dict(run.seconds), Clock()

    def save(progress: Progress, before: tuple[float, float]) -> None:
        run.seconds = {"wall": earlier["wall"] + before[0], "cpu": earlier["cpu"] + before[1]}
        reached = Counters(progress.env_steps, updates=progress.updates, version=progress.version)
        run.save(agent.save, counted(buffer, reached))

    def look(progress: Progress) -> None:
        before = clock.read()
        busy = config.one_robot and progress.env_steps < config.steps  # an episode is running there
        policy = frozen(agent)
        rates = dict.fromkeys(judges, math.nan)
        for name, body in judges.items() if not busy else ():
            rates[name] = evaluate(body, policy, GLANCE, first_seed=GLANCE_SEED)[0]
        deterministic, several = min(rates.values()), rates if len(rates) > 1 else {}
        acting = None if np.isnan(progress.success_rate) else progress.success_rate
        point = {"env_steps": progress.env_steps, "updates": progress.updates, "success_rate": acting}
        point |= {"deterministic": None if busy else deterministic, "cpu_s": earlier["cpu"] + before[1]}
        point |= {"bodies": several} if several and not busy else {}
        run.curve.append(point)
        live.show(
            progress.env_steps,
            {f"success/{method.acting}": progress.success_rate, "success/deterministic": deterministic}
            | {f"success/{name}": rate for name, rate in several.items()}
            | {"updates": progress.updates}
            | {f"agent/{name}": value for name, value in progress.metrics.items()},
            f"success {progress.success_rate:4.2f} {method.acting}, {_told(rates)} deterministic, "
            f"{progress.updates} updates, {earlier['wall'] + before[0]:.0f} s",
        )
        # An episode that runs on while this is written is left as it is: a resumed run begins the next one.
        save(progress, before)
        clock.resume(before)

    with (
        Live(board, config.steps) as live,
        Recorder(watchers) as recorder,
        TrainingWatch(recorder, buffer, Broadcaster(counters.version), run=run.folder.name, robot=config.robot) as watch,
    ):
        for endpoint in (sink for sink in watchers if isinstance(sink, Endpoint)):
            print(f"metrics: {endpoint.url}")
        result = train(
            rewarded, agent, watch.storage, steps=config.steps, updates_per_step=config.updates_per_step,
            synchronous=not config.asynchronous, learning_starts=config.learning_starts, sampler=sampler, seed=config.seed,
            publish_every=max(1, round(config.updates_per_step)), robot=config.robot, task=_task(judge, config).name,
            start=counters, progress_every=config.eval_every, broadcaster=watch.broadcaster, watch=watch,
            on_progress=lambda p: look(p) if p.env_steps < config.steps else None,  # the look at the end waits for all updates
        )  # fmt: skip
        save(result.progress, clock.read())
        if not result.interrupted:
            look(result.progress)
    return not result.interrupted


def _conclude(
    config: OnlineSetting, run: Run, judge: gymnasium.Env[Any, Any], method: Method, told: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate the last policy, draw the curve, film it, and sum up."""
    task, policy = _task(judge, config), frozen(method.agent)
    reached = {name: evaluate(body, policy, config.eval_episodes) for name, body in bodies(judge, config).items()}
    success, length = min(reached.values())
    summary = {
        "success_rate": success, "eval_episodes": config.eval_episodes, "mean_length": length,
        "policy": "the last one, deterministic, evaluation seeds the same for all runs",
        "env_steps": run.counters.env_steps, "updates": method.agent.updates,
        "steps_to_95": next((p["env_steps"] for p in run.curve if (p["deterministic"] or 0.0) >= 0.95), None),
        f"{method.acting}_success_rate": run.curve[-1]["success_rate"],
        "train_s": round(run.seconds["wall"], 2), "train_cpu_s": round(run.seconds["cpu"], 2),
        "robot": config.robot, "seed": config.seed, "env_id": config.env_id, "obs": config.obs,
        "hole_offset": getattr(task, "hole_offset", None), "asynchronous": config.asynchronous, **told,
    }  # fmt: skip
    if len(reached) > 1:
        summary["bodies"] = {name: {"success_rate": rate, "mean_length": steps} for name, (rate, steps) in reached.items()}
    title = f"{config.env_id}, {config.robot}, seed {config.seed}"
    draw_curve(run.folder / "curve.png", run.curve, title, ("env_steps", "environment steps"), method.acting)
    film(config, policy, run)
    summary |= {"wall_s": round(run.total, 2)}
    write_json(run.folder / "summary.json", summary)
    return summary


def _task(judge: gymnasium.Env[Any, Any], config: Setting) -> Any:
    """The task of the environment; of several bodies, the first one's."""
    return next(iter(bodies(judge, config).values())).unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]


def _told(rates: Mapping[str, float]) -> str:
    several = len(rates) > 1
    return ", ".join(f"{rate:4.2f}" + f" {name}" * several for name, rate in rates.items())
