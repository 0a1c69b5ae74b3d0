"""What a run learns from: its own buffer, and a view of an earlier run's if it was given one. It knows no algorithm.

The run's buffer says how far the run is. A kill at any moment leaves there all that was acknowledged, while the agent goes back
to its newest checkpoint: so a resumed run counts its steps and episodes in the buffer, where the collector goes on after the
newest episode, and the learner makes up for the updates that the agent lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium

from baselines.config import Config, Setting
from baselines.rewards import relabelled
from baselines.run_folder import Run
from user_gym.core import Chunk, Storage
from user_gym.errors import BadOption, Gone
from user_gym.system import Buffer, Counters, Fresh, Mixture, spec_hash

DEMOS, OWN = "kind = 'demo'", "kind = 'policy'"


def of(config: Setting) -> str:
    """The condition that selects what the only body of a setting did."""
    return f"robot = '{config.robot}' AND task = '{config.task}'"


def open_buffer(folder: Path) -> Buffer:
    """The buffer of the run in `folder`, made if it is not there."""
    # "kill": nothing is lost when the process dies, and at most a second when the power does. The agent loses more then: all
    # since its last checkpoint. Waiting for the disk at each chunk would buy nothing.
    return Buffer.open(folder / "buffer", durability="kill")


@contextmanager
def own_buffer(run: Run) -> Iterator[Buffer]:
    """The buffer of an open run. What fails before anything is in it leaves no new run behind."""
    filled = False
    try:
        with open_buffer(run.folder) as buffer:
            filled = True
            try:
                yield buffer
            finally:
                filled = buffer.stats()["transitions_ever"] > 0
    except BaseException:
        if not filled:
            run.withdraw()
        raise


@contextmanager
def earlier_experience(config: Config, env: gymnasium.Env[Any, Any]) -> Iterator[Storage | None]:
    """The part of an earlier run's buffer that `config` names, or None. That run may be going on meanwhile.

    Raises:
        WrongRun: there is no buffer.
        BadOption: the condition is none, or selects nothing, or experience of an environment with other spaces.
    """
    if config.experience is None:
        yield None
        return
    with Buffer.open(config.experience, read_only=True) as buffer:
        view: Storage = buffer if config.where is None else buffer.view(config.where)
        if not len(view):
            raise BadOption("where", config.where or "all", f"a condition that transitions of {config.experience} satisfy")
        spaces = spec_hash(env.observation_space, env.action_space)
        if len(view.view(f"spec_hash != '{spaces}'")):
            allowed = f"of the spaces of {config.env_id} with {config.robot}, {config.obs} and {config.control}"
            cure = f"select those with --where, by spec_hash = '{spaces}'"
            raise BadOption("experience", str(config.experience), allowed, cure)
        yield view


def mixture(buffer: Buffer | Fresh, earlier: Storage | None, config: Config) -> Mixture:
    """Half of each batch from the run's own steps, half from what was there before them: demonstrations, earlier experience.

    Bodies have equal shares of both halves, each of what it did itself.
    """
    parts: list[tuple[Storage, float]] = []
    for one in config.each:
        mine = f" AND {of(one)}" if len(config.each) > 1 else ""
        own = buffer.part(OWN + mine) if isinstance(buffer, Fresh) else relabelled(buffer, OWN + mine, config.reward)
        before: list[Storage] = [] if earlier is None else [earlier.view(of(one)) if mine else earlier]
        if config.demos or not before:
            before.insert(0, buffer.view(DEMOS + mine))
        parts += [*((part, 0.5 / len(before)) for part in before), (own, 0.5)]
    return Mixture(parts, config.batch_size)


def newest(buffer: Buffer, where: str) -> Chunk | None:
    """The chunk that came last of those that a condition selects; None if there is none."""
    view = buffer.view(where)
    while len(numbers := view.numbers()):
        try:
            return buffer.chunk(int(numbers[-1]))
        except Gone:
            continue  # it was found damaged just now, and is not in the view any more
    return None


def counted(buffer: Buffer, checkpoint: Counters) -> Counters:
    """How far a run is: steps, episodes and newest version from its buffer, updates from its checkpoint.

    Nothing is counted back: what was pruned or lost from the buffer since the checkpoint stays counted.
    """
    last, acted = newest(buffer, OWN), newest(buffer, f"{OWN} AND policy_version >= 0")
    return Counters(
        env_steps=max(checkpoint.env_steps, len(buffer.view(OWN))),
        episodes=max(checkpoint.episodes, last.episode + 1 if last is not None else 0),
        updates=checkpoint.updates,
        # Versions go on after the newest one that acted: none ever means two policies.
        version=max(checkpoint.version, int(acted.policy_version.max()) if acted is not None else -1),
    )
