"""The life of a driver of either Franka arm: connect, move, follow, hold, recover, close. How a tick is run is the subclass's.

The policy after a fault: a reflex is cleared once, when `recover` is called, and never before a command; a lost link makes a
new client object, for the old one is of no more use; a user stop takes a person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

import numpy as np

from user_gym.core import F64, Command, Compliance, RobotSpec, RobotState
from user_gym.errors import Closed, LinkLost, NotReset, Reflex, RobotFault, UserGymError
from user_gym.real.driver import Clock
from user_gym.real.franka import control_box
from user_gym.real.franka.client import FrankaClient
from user_gym.real.franka.hand import FrankaHand
from user_gym.robots import reach

TICK = 0.001  # s
CATCH_UP = 1.0  # s of the wall's time that a thread of the client's may be behind
START = 3.0  # s of the wall's time that a motion may take to begin

_LOG = logging.getLogger(__name__)
_LOOK = 0.05  # s of the wall's time between two looks whether somebody wants the arm to stop
_TORN = 5.0  # s of the wall's time that a stop may take where a fault is told already: the link may be torn
_RECOVERED = 1.0  # s of the wall's time until a robot that recovered, or whose button was released, says so


class FrankaDriver(FrankaClient):
    """A `Driver` of one Franka arm.

    Args:
        spec: the arm.
        control: "tcp": Cartesian impedance; "joint": joint impedance.
        address: of the robot's control box, or of a twin.
        clock: the wall's, or a twin's gate; connected by its owner.
        load: (kg, 3 m from the flange, 9 kg m2) that the gripper holds; None: what the robot's Desk says.
        realtime: "auto": insist on a real-time kernel, but not for a twin on this machine; "enforce"; "ignore".
        force_threshold: N of contact on one axis that stop the arm. The compliance of the spec presses with 20 N; at 60 N
            the impacts of an exploring policy were seen to stop the arm every few episodes.
        torque_threshold: N m of contact on one joint that stop the arm.
        gripper: False: leave the hand alone.
        patience: s of the wall's time that a motion or a stop may take.
    """

    def __init__(
        self,
        spec: RobotSpec,
        control: str,
        address: str,
        clock: Clock,
        load: Sequence[object] | None = None,
        realtime: str = "auto",
        force_threshold: float = 100.0,
        torque_threshold: float = 60.0,
        gripper: bool = True,
        patience: float = 60.0,
    ) -> None:
        self.spec = spec
        self._options = control_box.options(control, load, realtime, force_threshold, torque_threshold, gripper, patience)
        self._control, self._address, self._clock = control, address, clock
        self._compliance = spec.compliance
        self._robot: Any = None
        self._hand: FrankaHand | None = None
        self._following = False
        self._travelling = False  # the last motion was one of the way, or is
        self._lost = False
        self._zero = self._now = 0  # ms on the robot's clock: at begin, and when orders were last followed

    @property
    def hand(self) -> FrankaHand | None:
        """The gripper, with the result of its last order."""
        return self._hand

    def connect(self) -> None:
        """As `Driver.connect`."""
        if self._robot is not None:
            return
        self._import()
        enforce = control_box.enforce_realtime(self._options.realtime, self._address)
        with self._asking():
            try:
                mode = self._build(enforce)
            except BaseException:
                self._drop()
                raise
            self._lost = False
            control_box.refuse_mode(mode, self.spec.name, self._address)  # connected all the same: recover() ends a reflex

    def _build(self, enforce: bool) -> str:
        """Open robot and hand; the robot's mode."""
        self._robot = robot = self._open(enforce)
        mode, tool = self._inspect(robot)
        if "Reflex" not in mode:
            control_box.refuse_mode(mode, self.spec.name, self._address)
        control_box.check_tool(self.spec, tool, self._address)
        self._prepare(robot)
        if self._options.gripper:
            self._hand = FrankaHand(self.spec.gripper, *self._open_hand())
            self._hand.open()
        return mode

    def measure(self) -> RobotState:
        """As `Driver.measure`; its wrench is the moment's."""
        self._connected()
        with self._asking():
            return self._newest()

    def move(self, waypoints: Sequence[F64], speed: float) -> None:
        """As `Driver.move`: straight lines of the TCP, to the posture of `reach.solve`. The clock's check may break it off."""
        if not 0.0 < speed < np.inf:
            raise control_box.bad_speed(speed)
        joints = [reach.solve(self.spec, waypoint) for waypoint in waypoints]
        self.hold()
        if not joints:
            return
        self._travelling = True
        try:
            with self._asking():
                self._travel(waypoints, joints, speed)
        except BaseException:
            self._still(told=True)
            raise

    def begin(self) -> RobotState:
        """As `Driver.begin`."""
        self.hold()
        with self._asking():
            mode, _ = self._inspect(self._connected())
            control_box.refuse_mode(mode, self.spec.name, self._address)
            self._travelling = False
            self._start()
        self._following = True
        self._clock.start()
        self._tick(TICK)  # a motion takes a while to begin; from its first tick on, a period is one
        with self._asking():
            self._zero = self._now = self._first()
            self._clock.start()
            return self._collect()

    def exchange(self, command: Command, period: float) -> RobotState:
        """As `Driver.exchange`."""
        target = control_box.order(command, self._control, self.spec)
        self._connected()
        if not self._following:
            raise NotReset("exchange before begin, or after the motion ended; call begin")
        with self._asking():
            self._follow(target)
        if self._hand is not None:
            self._hand.order(float(command.gripper))
        self._tick(period)
        with self._asking():
            return self._collect()

    def _tick(self, period: float) -> None:
        """Let a period pass; tell how the motion ended where it did."""
        try:
            self._clock.tick(period)
        except (Reflex, LinkLost):  # any other fault of the clock's: the motion goes on until it is told to hold
            self._following = False
            with self._asking():
                self._ended(CATCH_UP)  # the robot's own words before the clock's
                raise
        with self._asking():
            if self._running():
                return
            self._following = False
            self._ended(CATCH_UP)
            raise RobotFault(f"{self.spec.name} at {self._address} ended its motion without a word; call begin")

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`."""
        control_box.check_compliance(compliance, self._control)
        self._compliance = compliance
        if self._following:
            with self._asking():
                self._comply()

    def hold(self) -> None:
        """As `Driver.hold`: the torque ramps down to damping within 0.2 s, then the robot's own controller holds."""
        self._connected()
        self._following = False
        self._still(told=self._lost)

    def _still(self, told: bool) -> None:
        """End the motion if one runs. A fault of the end is raised; it goes to the log where another is told already."""
        try:
            with self._asking():
                if self._running():
                    self._brake(_TORN if told else self._options.patience)
        except RobotFault as error:
            if not told:
                raise
            _LOG.warning("while the arm stopped: %s", error)
        self._settle()

    def _brake(self, patience: float) -> None:
        """End the motion that runs, in the robot's own time."""
        if not self._travelling:
            self._stop()  # asked for while a gated twin is frozen: it begins at the same tick in every run
        with self._clock.free():
            if self._travelling:
                self._stop()
            self._join(lambda: None, patience)  # whoever wants the arm to stop wants this one's end

    def _settle(self) -> None:
        """Take note of how the last motion ended: its fault was told, or the robot's mode tells it; no other motion is to."""
        try:
            with self._asking():
                self._ended(0.0)
        except RobotFault as error:
            _LOG.info("the last motion ended: %s", error)

    def _join(self, check: Callable[[], None], patience: float) -> None:
        """Wait for the end of a motion that was asked to end, or that ends by itself; raises what `check` does before."""
        deadline = monotonic() + patience
        while not self._ended(_LOOK):
            check()
            if monotonic() > deadline:
                raise LinkLost(
                    f"{self.spec.name} at {self._address} did not end its motion within {patience} s; "
                    "look whether it still moves, or give more patience"
                )

    def recover(self) -> None:
        """As `Driver.recover`: once, and only what the fault was."""
        self._following = False
        if self._robot is not None:
            self._settle()
        if self._lost or self._robot is None:
            self._drop()
            with suppress(Reflex):  # a robot that hears nothing stops by itself; that one is cleared with the link
                self.connect()
        robot = self._connected()
        with self._asking():
            control_box.refuse_mode(self._cleared(robot), self.spec.name, self._address)

    def _cleared(self, robot: Any) -> str:
        """The robot's mode after its reflex or its user stop. Its states are late: the first may still be from before."""
        cleared, deadline = False, monotonic() + _RECOVERED
        while "Reflex" in (mode := self._inspect(robot)[0]) or "UserStopped" in mode:
            if "Reflex" in mode and not cleared:
                self._clear(robot)
                cleared = True
            elif monotonic() > deadline:
                raise control_box.stuck(mode, self.spec.name, self._address)
            else:
                sleep(TICK)
        return mode

    def close(self) -> None:
        """As `Driver.close`. A robot that is gone is let go of."""
        try:
            if self._robot is not None:
                self.hold()
        except RobotFault as error:
            _LOG.warning("while closing: %s", error)
        finally:
            self._drop()

    def _drop(self) -> None:
        hand = self._hand
        self._following, self._robot, self._hand = False, None, None
        if hand is not None:
            hand.close()

    def _connected(self) -> Any:
        if self._robot is None:
            raise Closed(f"{self.spec.name} at {self._address} is not connected; call connect()")
        return self._robot

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn the client's exceptions into ours, and remember a lost link."""
        try:
            yield
        except UserGymError as error:
            self._lost |= isinstance(error, LinkLost)
            raise
        except Exception as error:  # the clients' exceptions have no common root
            told = control_box.fault(error, self.spec.name, self._address)
            self._lost |= isinstance(told, LinkLost)
            raise told from error

    def _assemble(self, tick: int, q: F64, dq: F64, tau: F64, force: F64) -> RobotState:
        """One tick; force (6,) is the robot's on the world, FCI's sign."""
        opening = 0.0 if self._hand is None else self._hand.opening
        if self._following:  # between motions a twin counts the wall's time
            self._now = tick
        return control_box.assemble(self.spec, (self._now - self._zero) * TICK, q, dq, tau, -force, opening)
