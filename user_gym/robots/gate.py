"""The clock, the eyes and the scene of a twin, through its side door. Real hardware has none of this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from user_gym.core import CameraSpec, Frame, Scene, Start
from user_gym.errors import LinkLost, Reflex
from user_gym.robots.side import Side

# What every twin's side door offers. Times are s on the twin's clock; arrays travel as lists in the header.
#   hello    -> robot, task, mode ("gated" | "lockstep" | "paced"), time, tick (s), cameras [names]
#   mode     mode -> mode                       switch between the three at run time; when the last visitor that did has left,
#                                               in whatever way, the mode is again what it was before the first one
#   advance  ticks, timeout -> ticks, motion    gated only: returns when the twin is frozen again after the last tick, or early
#                                               where the motion ended; motion says "moving" | "idle" | "reflex: <reason>"
#   posture  -> q, dq (rad, rad/s), time, motion    of the joints, as they really are
#   scene    -> names, poses, valid, time
#   arrange  objects (k, 7), joints (j), seed -> {}    place the task's objects; draw what the twin draws by itself
#   picture  camera -> height, width, time; body: RGB bytes
#   fault    name, **arguments -> {}            inject one; the twin's own docstring lists them
#   heal     -> {}                              end all injected faults


class Advanced(NamedTuple):
    """How far a gated twin went."""

    ticks: int
    motion: str  # "moving" | "idle" | "reflex: <reason>"


class GateClock:
    """A `Clock` that moves a gated twin's time: exactly one period per tick, as fast as the twin can.

    The gate is closed as long as the clock is connected; then the twin's time passes as it did before.

    Args:
        address: of the twin's side door.
        patience: s of the wall's time that one period may take.
    """

    overruns = 0  # a gated twin waits
    frozen = True  # its time stands still between ticks

    def __init__(self, address: str, patience: float = 30.0) -> None:
        self._side, self._patience = Side(address, patience), patience
        self._tick = 0.001

    def connect(self) -> None:
        """Open the side door and close the gate. Raises LinkLost."""
        self._side.connect()
        self._greet()

    def _greet(self) -> None:
        self._tick = float(self._side.ask("hello").header["tick"])
        self._side.ask("mode", mode="gated")

    def start(self) -> None:
        """Nothing: a gated twin waits anyway."""

    def tick(self, period: float) -> None:
        """Advance the twin. Raises Reflex where its motion ended, LinkLost where it does not answer."""
        ticks = round(period / self._tick)
        done = self.advance(ticks)
        if done.motion.startswith("reflex"):
            raise Reflex(f"the robot stopped by itself: {done.motion.removeprefix('reflex: ')}")
        if done.ticks < ticks:
            raise LinkLost(f"the twin advanced {done.ticks} of {ticks} ticks; its motion is {done.motion!r}")

    def advance(self, ticks: int) -> Advanced:
        """Let so many ticks pass, or fewer where the motion ends before."""
        self._find_again()
        header = self._side.ask("advance", ticks=ticks, timeout=self._patience).header
        return Advanced(int(header["ticks"]), str(header["motion"]))

    def check(self) -> None:
        """Nothing: a gate hears nobody but its owner."""

    @contextmanager
    def free(self) -> Iterator[None]:
        """Inside, the twin runs in lock-step by itself."""
        self._find_again()
        self._side.ask("mode", mode="lockstep")
        try:
            yield
        finally:
            self._side.ask("mode", mode="gated")

    def _find_again(self) -> None:
        """A twin that was lost, and may be there anew, has its gate open."""
        if self._side.lost:
            self._greet()

    def close(self) -> None:
        """Hang up."""
        self._side.close()


class GateScene:
    """A `SceneSource` that is told the truth by the twin.

    Args:
        address: of the twin's side door.
        names: of the task's objects, in the order of `Start.objects`.
    """

    def __init__(self, address: str, names: tuple[str, ...]) -> None:
        self.names = names
        self._side = Side(address)

    def connect(self) -> None:
        """Open the side door."""
        self._side.connect()

    def arrange(self, start: Start) -> None:
        """Place the objects as the episode's start says."""
        objects, joints = np.asarray(start.objects).tolist(), np.asarray(start.joints).tolist()
        self._side.ask("arrange", objects=objects, joints=joints, seed=int(start.seed))

    def observe(self) -> Scene:
        """Truth about the task's objects."""
        header = self._side.ask("scene").header
        poses = np.array(header["poses"], float).reshape(-1, 7)
        return Scene(tuple(header["names"]), poses, np.array(header["valid"], bool), "sim", float(header["time"]))

    def close(self) -> None:
        """Hang up."""
        self._side.close()


class GateCamera:
    """A `Camera` that the twin draws."""

    def __init__(self, spec: CameraSpec, address: str) -> None:
        self.spec = spec
        self._side = Side(address)

    def connect(self) -> None:
        """Open the side door."""
        self._side.connect()

    def read(self) -> Frame:
        """A picture of the moment. Raises RobotFault where the twin's machine cannot draw."""
        reply = self._side.ask("picture", camera=self.spec.name, height=self.spec.height, width=self.spec.width)
        size = int(reply.header["height"]), int(reply.header["width"]), 3
        return Frame(np.frombuffer(reply.body, np.uint8).reshape(size).copy(), float(reply.header["time"]))

    def close(self) -> None:
        """Hang up."""
        self._side.close()
