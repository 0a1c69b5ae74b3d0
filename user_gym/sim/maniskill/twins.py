"""n equal simulated arms as a RobotBatch: each in a scene of its own, so a row is what the arm alone does, bit for bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from user_gym.core import F64, Bool, Command, Compliance, RobotSpec, RobotState, Scene, Start, Task
from user_gym.core.numbers import whole
from user_gym.errors import BadAction, NotReset
from user_gym.robots import reach
from user_gym.sim.maniskill.twin import SapienTwin

_FIELDS = tuple(field.name for field in fields(RobotState))


class SapienTwins:
    """A RobotBatch in PhysX, on the CPU. Its arms are stepped one after the other.

    Args:
        spec: the arm.
        task: whose bodies are around each.
        control: "tcp" or "joint".
        count: number of arms.
        dt: s of a substep.

    Raises:
        BadOption: as SapienTwin, or `count` is no number of arms.
    """

    def __init__(self, spec: RobotSpec, task: Task, control: str, count: int, dt: float) -> None:
        self.spec, self.count = spec, whole("count", count, 1)
        self._arms = [SapienTwin(spec, task, control, dt) for _ in range(self.count)]
        self.names = self._arms[0].names
        self._states: list[RobotState | None] = [None] * self.count

    def connect(self) -> None:
        """As `Robot.connect`."""
        for arm in self._arms:
            arm.connect()

    def reset(self, mask: Bool, starts: Start) -> RobotState:
        """Build the scenes of `mask` with the arms at their starts, at rest; their clocks start at 0."""
        rows: list[int] = np.flatnonzero(mask).tolist()
        for arm in self._arms:
            arm.check_connected()
        joints = {i: reach.solve(self.spec, starts.tcp[i]) for i in rows}  # all of them, before any arm is touched
        gripper, seeds = (np.broadcast_to(x, (self.count,)) for x in (starts.gripper, starts.seed))
        for i, q in joints.items():
            own = {"tcp": starts.tcp[i], "gripper": gripper[i], "objects": starts.objects[i], "seed": int(seeds[i])}
            if starts.joints.ndim > 1:  # else the task has none, and nobody made rows of them
                own["joints"] = starts.joints[i]
            self._states[i] = self._arms[i].begin(replace(starts, **own), q)
        return self._all()

    def exchange(self, commands: Command, mask: Bool | None = None) -> RobotState:
        """Order all arms, or those of `mask`, and integrate one control period."""
        rows: list[int] = list(range(self.count)) if mask is None else np.flatnonzero(mask).tolist()
        given = commands.joints if commands.tcp is None else commands.tcp
        if given is None or given.ndim != 2 or len(given) != self.count:
            shape = None if given is None else given.shape
            raise BadAction(f"orders of shape {shape} for {self.count} arms; allowed: one row for each arm")
        gripper = np.broadcast_to(commands.gripper, (self.count,))
        orders = {i: self._arms[i].accept(_row(commands, gripper, i)) for i in rows}  # all of them, before any arm moves
        for i, order in orders.items():
            self._states[i] = self._arms[i].advance(order)
        return self._all()

    def observe(self) -> Scene:
        """Truth about the objects of all arms, of the same moment as the newest states."""
        scenes = [arm.observe() for arm in self._arms]
        poses, valid = np.stack([s.poses for s in scenes]), np.stack([s.valid for s in scenes])
        return Scene(self.names, poses, valid, "sim", np.array([s.time for s in scenes]))

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`, for all arms."""
        for arm in self._arms:
            arm.set_compliance(compliance)

    def close(self) -> None:
        """Free the scenes."""
        for arm in self._arms:
            arm.close()
        self._states = [None] * self.count

    def _all(self) -> RobotState:
        """All states (n, ...); of arms that were never reset, zeros."""
        known = next((s for s in self._states if s is not None), None)
        if known is None:
            raise NotReset("no arm was reset; call reset with a mask that has one")
        states = [_blank(known) if s is None else s for s in self._states]
        return RobotState(**{name: np.stack([getattr(s, name) for s in states]) for name in _FIELDS})


def _row(commands: Command, gripper: F64, row: int) -> Command:
    tcp, joints = commands.tcp, commands.joints
    return Command(float(gripper[row]), None if tcp is None else tcp[row], None if joints is None else joints[row])


def _blank(like: RobotState) -> RobotState:
    return RobotState(**{name: np.zeros_like(getattr(like, name)) for name in _FIELDS})
