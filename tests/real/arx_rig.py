"""An ARX arm's driver on a CAN twin in this process: gated, on python-can's virtual bus."""

from __future__ import annotations

import itertools
import os
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from user_gym.core import F64, Command, RobotState
from user_gym.errors import RobotFault
from user_gym.real.arx.driver import ArxDriver
from user_gym.robots import kinematics, specs
from user_gym.robots.gate import GateClock
from user_gym.robots.side import Side
from user_gym.sim.can.twin import CanTwin
from user_gym.testing.bench import Bench

PERIOD = 0.1
_counter = itertools.count()


class Rig:
    """A twin, a driver, and what only a twin can tell."""

    def __init__(
        self, robot: str = "arx-x5", control: str = "tcp", twin: Any = None, bus: str | None = None, **options: Any
    ) -> None:
        self.spec = specs.spec(robot)
        self.task = Bench(self.spec)
        name = bus or f"virtual:arx-{os.getpid()}-{next(_counter)}"
        self.twin = CanTwin(self.spec, self.task, name, **{"friction": 0.0, **(twin or {})})
        self.twin.open()
        side = self.twin.side
        assert side is not None
        self.clock = GateClock(side)
        self.clock.connect()
        self.side = Side(side)
        self.side.connect()
        self.driver = ArxDriver(self.spec, control, name, self.clock, **options)

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.driver.close()
        self.clock.close()
        self.side.close()
        self.twin.close()

    @property
    def q(self) -> F64:
        """Truth."""
        return self.twin._arm.data.qpos[: self.spec.dof].copy()

    @property
    def tool(self) -> F64:
        """Truth: (3,) m."""
        return kinematics.position(self.spec, self.q)

    @property
    def start(self) -> F64:
        return self.task.start(np.random.default_rng(0)).tcp

    def begin(self) -> RobotState:
        """Connect, and follow orders from where the arm stands."""
        self.driver.connect()
        return self.driver.begin()

    def go(self) -> RobotState:
        """Connect, go to the bench's start, and follow orders there."""
        plate = self.task.start(np.random.default_rng(0)).objects
        self.side.ask("arrange", objects=plate.tolist(), seed=0)
        self.driver.connect()
        self.driver.move([self.start], 0.2)
        return self.driver.begin()

    def stay(self, tcp: F64, periods: int = 1) -> RobotState:
        for _ in range(periods - 1):
            self.driver.exchange(Command(0.0, tcp), PERIOD)
        return self.driver.exchange(Command(0.0, tcp), PERIOD)

    def fault(self, name: str, **arguments: Any) -> None:
        self.side.ask("fault", name=name, **arguments)

    def cycles(self, count: int) -> None:
        """Let the driver's loop turn, as it does by itself where time runs."""
        loop = self.driver._loop
        assert loop is not None
        for _ in range(count):
            loop.cycle(self.clock.tick)


def stops(rig: Rig, error: type[RobotFault], match: str) -> None:
    """Orders to stay at the start end with this error."""
    with pytest.raises(error, match=match):
        rig.stay(rig.start, 20)


def sinks(rig: Rig, seconds: float) -> float:
    """m that the tool sinks while the driver's loop goes on."""
    before = rig.tool
    rig.cycles(round(seconds / 0.005))
    return float(np.linalg.norm(rig.tool - before))
