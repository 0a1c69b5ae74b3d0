"""An arm that costs nothing but time: it is where it was ordered to be, one period of the wall's time later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.real.driver import Clock
from user_gym.testing.bench import Bench


class PacedArm:
    """A Driver whose way to a start takes `reset` s."""

    def __init__(self, spec: RobotSpec, control: str, address: str, clock: Clock, reset: float) -> None:
        self.spec, self._clock, self._reset = spec, clock, reset
        self._tcp = Bench(spec).goal + [0, 0, 0.06, 0, 0, 0]
        self._time = 0.0

    def connect(self) -> None:
        """There is nothing to connect to."""

    def measure(self) -> RobotState:
        """At rest, without contact."""
        still, six = np.zeros(self.spec.dof), np.zeros(6)
        return RobotState(np.float64(self._time), self.spec.home, still, still, self._tcp, six, six, np.float64(0.0))

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """At once: `begin` takes the time."""
        self._tcp = waypoints[-1].copy()

    def begin(self) -> RobotState:
        """After `reset` s."""
        self._clock.start()
        self._clock.tick(self._reset)
        self._time = 0.0
        return self.measure()

    def exchange(self, command: Command, period: float) -> RobotState:
        """After one period."""
        self._clock.tick(period)
        self._time += period
        if command.tcp is not None:
            self._tcp = command.tcp
        return self.measure()

    def set_compliance(self, compliance: Compliance) -> None:
        """It touches nothing."""

    def hold(self) -> None:
        """It always does."""

    def recover(self) -> None:
        """It never fails."""

    def close(self) -> None:
        """There is nothing to let go of."""


class RatedBench(Bench):
    """The bench at another rate."""

    def __init__(self, spec: RobotSpec, rate: float) -> None:
        super().__init__(spec)
        self.rate = rate
