"""Let a trained policy act, in simulation or on a robot, and count its successes. Nothing is learned here.

    python -m baselines.play runs/PegInsert-sim-v0-franka-fr3-state-seed0 --env-id User/PegInsert-real-v0

A policy that was trained on one backend acts unchanged on another: the ids of one task have equal spaces.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from baselines.command import arguments, command
from baselines.config import Setting
from user_gym.errors import BadOption, MissingExtra, UnknownName, WrongRun

try:
    import torch
    import tyro

    from baselines import bc, hg_dagger, rlpd, sac_flow
    from baselines.episodes import bodies, evaluate, make
    from baselines.online import Trainee, frozen
    from baselines.plan import learned
    from baselines.run_folder import newest
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

# By the method that a run's folder names: its configuration, and what makes its agent of two spaces and that.
METHODS: Mapping[str, tuple[type[Setting], Callable[[Any, Any, Any], Trainee]]] = {
    "rlpd": (rlpd.Config, rlpd.Rlpd),
    "sac-flow": (sac_flow.Config, sac_flow.SacFlow),
    "bc": (bc.Config, bc.Cloning),
    "hg-dagger": (hg_dagger.Config, bc.Cloning),
}


@dataclass(frozen=True, slots=True)
class Play:
    """What is played, and where."""

    folder: Annotated[Path, tyro.conf.Positional]
    """of a run of baselines.rlpd, baselines.sac_flow, baselines.bc or baselines.hg_dagger, or of `user-gym run` with RLPD"""
    env_id: str | None = None
    """where the policy acts; None: where it was trained"""
    robot: str | None = None
    """which robot: its model, or its id in the inventory; None: the model that it was trained with. Of a policy with several
    bodies: which one of them, by its model, or by its task where all have the same model"""
    address: str | None = None
    """of a real robot that is in no inventory; None: the first free one of the inventory that is meant by `robot`"""
    twin: str | None = None
    """side door of a protocol twin at that address, as `user-gym twin` prints it"""
    episodes: int = 50
    """their seeds are those of the evaluation that ends a run"""
    exploring: bool = False
    """draw each action from the policy, as in training; else it does what it thinks best, which can stick where joints have
    friction (benchmarks/results/real_friction.md)"""

    @property
    def kind(self) -> str:
        """What the episodes are called."""
        return "exploring" if self.exploring else "deterministic"


class Result(NamedTuple):
    """How it went."""

    success: float  # rate
    length: float  # mean steps of an episode
    steps_per_second: float  # of the wall's time, resets included


def play(options: Play) -> Result:
    """Run the episodes. Raises WrongRun for a folder without a checkpoint, and what the environment raises."""
    if options.episodes < 1:
        raise BadOption("episodes", options.episodes, "1 or more")
    config, find = _trained(options)
    several = len(config.each) > 1
    config = replace(
        config,
        env_id=options.env_id or config.env_id,
        robot=config.robot if several else options.robot or config.robot,
        address=options.address,
        twin=options.twin,
    )
    torch.set_num_threads(1)
    with closing(make(config)) as env:
        agent = METHODS[config.method][1](env.observation_space, env.action_space, config)
        agent.restore(find())  # only now: where a learner is at work, it keeps the newest two
        body = bodies(env, config)
        wanted = options.robot if several else config.robot
        cure = "the policy has several bodies: name one of them by --robot"
        if wanted is None:
            raise BadOption("robot", wanted, ", ".join(body), cure)
        if wanted not in body:
            raise UnknownName("robot", wanted, body, cure)
        began = time.perf_counter()
        success, length = evaluate(
            body[wanted], frozen(agent), options.episodes, told=print, deterministic=not options.exploring
        )
        return Result(success, length, options.episodes * length / (time.perf_counter() - began))


def _trained(options: Play) -> tuple[Setting, Callable[[], Path]]:
    """Of a run of either kind, what it is and what finds its newest agent. Raises WrongRun, BadOption."""
    if (options.folder / "plan.json").exists():
        return learned(options.folder, elsewhere=options.env_id is not None)
    kept, _ = newest(options.folder)
    if kept.get("method") not in METHODS:
        cure = "one of baselines.vla acts by baselines.vla_serve"
        raise WrongRun(f"{options.folder} is a run of none of {', '.join(METHODS)}, which are played here; {cure}")
    configuration = METHODS[kept["method"]][0]
    known = {field.name for field in fields(configuration)} - {"reward"}  # here nobody rewards but the rule
    return configuration(**{name: value for name, value in kept.items() if name in known}), lambda: newest(options.folder)[1]


if __name__ == "__main__":
    with command():
        options = arguments(Play, __doc__)
        result = play(options)
        print(
            f"success {result.success:.2f} over {options.episodes} {options.kind} episodes, {result.length:.1f} steps each, "
            f"{result.steps_per_second:.0f} steps/s"
        )
