"""How training goes on after a fault: a baseline's run with a reflex in the middle, and a vector environment of two arms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from baselines.config import Config
from baselines.episodes import make
from baselines.rlpd import Rlpd
from benchmarks.twin_trial import REAL, Side, Trial
from user_gym.system import Buffer, train
from user_gym.vector import IndependentVectorEnv

HEAD = ["| arm | what trains | fault | how it went on |", "| --- | --- | --- | --- |"]
STEPS, AT = 160, (60, 110)  # env steps, and those before which a fault comes
FAULTS = {"franka": {"name": "reflex", "reason": "cartesian_reflex"}, "arx": {"name": "over-current", "motor": 6}}


class Breaking(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Has a fault at some steps, and ends it at the next reset, as a person would."""

    def __init__(self, env: gymnasium.Env[Any, Any], side: Side, fault: Mapping[str, Any]) -> None:
        super().__init__(env)
        self._side, self._fault, self._count = side, fault, 0

    def step(self, action: Any) -> Any:
        """One step; with a fault before it when its time has come."""
        self._count += 1
        if self._count in AT:
            self._side.ask("fault", **self._fault)
        return super().step(action)

    def reset(self, **arguments: Any) -> Any:
        """As of the environment."""
        self._side.ask("heal")
        return super().reset(**arguments)


def rows(robot: str) -> Iterator[str]:
    """Of one arm."""
    fault = FAULTS[robot.partition("-")[0]]
    name = ", ".join(str(value) for value in fault.values())
    yield f"| {robot} | RLPD, without demonstrations | {name}, before steps {AT[0]} and {AT[1]} | {learning(robot, fault)} |"
    yield f"| {robot} | vector env of two arms | {name}, on arm 0 at its step 3 | {two(robot, fault)} |"


def learning(robot: str, fault: Mapping[str, Any]) -> str:
    """A run of the baseline's agent on one arm."""
    with Trial(robot) as trial:
        place = {key: trial.place[key] for key in ("address", "twin")}
        config = Config(REAL, robot, steps=STEPS, demos=0, learning_starts=20, updates_per_step=1.0, **place)
        env = Breaking(make(config), trial.side, fault)
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        with Buffer.open(":memory:") as buffer:
            result = train(
                env, agent, buffer, steps=STEPS, updates_per_step=1.0, learning_starts=20, robot=robot, task="PegInsert"
            )
        env.close()
    seen = result.progress
    return f"{seen.env_steps} of {STEPS} steps, {seen.updates} updates, {seen.faults} episodes truncated by a fault"


def two(robot: str, fault: Mapping[str, Any]) -> str:
    """Ten steps of two arms, the first of which has a fault at its third."""
    with Trial(robot) as left, Trial(robot) as right:
        env = IndependentVectorEnv(2, backend="real", rows=[left.place, right.place], retry=0.0)
        env.reset(seed=0)
        cut, said = np.zeros((10, 2), bool), ""
        for step in range(10):
            if step == 2:
                left.side.ask("fault", **fault)
            if cut.any():
                left.side.ask("heal")
            _, _, _, cut[step], info = env.step(np.zeros((2, 6), np.float32))
            if cut[step, 0] and not said:
                said = str(info["fault"][0]).splitlines()[0].replace(left.place["address"], "ADDRESS")
        env.close()
    lost = [int(n) for n in cut.sum(0)]
    return f'`truncated` on {lost[0]} of 10 steps of arm 0 and {lost[1]} of arm 1; `info["fault"]` said: {said}'
