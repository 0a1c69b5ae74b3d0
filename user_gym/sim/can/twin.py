"""An ARX arm on a CAN bus that is none: motors that answer frames, the scene around them, and a side door.

Time, the same for every member of the bus. *gated*: it stands still except in the side door's `advance`; frames are answered
at once, and what was sent before an `advance` has its effect before the first tick. *lockstep*: one control cycle passes after
each round of orders: when every motor has had one, or when one gets its second. *paced*: with the wall's clock. In the first
two, equal sequences of frames and advances give equal bits.

The arm is supported, and time does not move it, until a joint's motor is first enabled (DaMiao) or ordered (Encos). With
`wire_time` each frame takes 0.12 ms of the twin's time: an order acts and is answered in a later tick, so a client has to let
time pass before it reads.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any

from user_gym.core import F64, Frame, RobotSpec, Scene, Task
from user_gym.errors import BadOption, Closed, RobotFault
from user_gym.robots import motors
from user_gym.robots.motors import Protocol
from user_gym.robots.wire import buses, can_frame, damiao
from user_gym.sim.can.arm import CanArm
from user_gym.sim.can.bus import CanBus
from user_gym.sim.can.damiao import DamiaoMotor
from user_gym.sim.can.drives import Drives
from user_gym.sim.can.encos import EncosMotor
from user_gym.sim.can.joined import JoinedBus
from user_gym.sim.can.motor import Motor
from user_gym.sim.can.pace import Pace
from user_gym.sim.can.served import ServedBus
from user_gym.sim.can.side import lent, operations
from user_gym.sim.can.wire import Wire
from user_gym.sim.side_door import SideDoor
from user_gym.sim.stage import Stage

MODES = ("gated", "lockstep", "paced")
DT = 0.001  # s
TIMEOUT = 0.1  # s, of the DaMiao motors; what a real arm has is not public
_LINGER = 0.002  # s of the wall's time that a frame may wait for an `advance`, see `_wait`
_BATCH = 1000  # ticks of an `advance` between two looks at its patience
_log = logging.getLogger(__name__)


class CanTwin:
    """A twin of an ARX arm. `open` and `close`, or `with`.

    Args:
        spec: "arx-x5" or "arx-l5".
        task: whose objects stand in the scene.
        bus: as `robots.wire.buses` writes it; served where that can be, else joined. Port 0: any free one.
        mode: "gated", "lockstep" or "paced".
        side: address of the side door, "host:port" (0: any free one) or "unix:PATH"; None: none.
        dt: s, of a tick, 0.001 .. 0.005.
        timeout: s, the DaMiao motors' register TIMEOUT; 0: never.
        feedback_id: of the DaMiao motors. Elsewhere than on ARX arms it is the motor's identifier + 0x10: give None for that.
        friction: N m of each joint, or (dof,); None: drawn by `arrange`, as the simulator of the environments draws it.
        posture: (dof,) rad, how the arm stands at first; None: the spec's home.
        wire_time: let frames take time.

    Raises:
        BadOption: an argument is not allowed.
        UnknownName: the arm has no table of motors.
    """

    def __init__(
        self,
        spec: RobotSpec,
        task: Task,
        bus: str,
        mode: str = "gated",
        side: str | None = "127.0.0.1:0",
        dt: float = DT,
        timeout: float = TIMEOUT,
        feedback_id: int | None = damiao.FEEDBACK,
        friction: float | F64 | None = None,
        posture: F64 | None = None,
        wire_time: bool = False,
    ) -> None:
        self.spec, self.task = spec, task
        table = motors.arm(spec.name)
        self._arm = CanArm(spec, task, table, dt, posture, friction)
        name = buses.parse(bus)
        self._bus: CanBus = ServedBus(name) if name.kind in ("seqpacket", "socketcand") else JoinedBus(name)
        built: list[Motor] = [
            EncosMotor(m)
            if m.kind.protocol is Protocol.ENCOS
            else DamiaoMotor(m, m.id + 0x10 if feedback_id is None else feedback_id, timeout)
            for m in table.motors
        ]
        self._drives = Drives(self._arm, built, Wire() if wire_time else None, self._bus.send)
        self._lock = threading.RLock()
        self._stage = Stage(self._arm.plant, task, self._arm.data, self._lock)
        self._wanted_side = side
        self._door = None if side is None else SideDoor(side, operations(self), lent(self))
        self._dt, self._cycle = dt, round(1 / (spec.control_rate * dt))
        self._ordered: set[int] = set()
        self.pace = Pace(dt)
        self._awaited = 0  # how many times in a row an `advance` found frames that had waited for it
        if mode not in MODES:
            raise BadOption("mode", mode, " | ".join(MODES))
        self._mode, self._ending = mode, threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def bus(self) -> str:
        """Where the motors are, as `buses.connect` takes it."""
        return self._bus.address

    @property
    def side(self) -> str | None:
        """Where the side door is."""
        return None if self._door is None else self._door.address

    @property
    def mode(self) -> str:
        """How time passes."""
        return self._mode

    @property
    def dt(self) -> float:
        """s, of a tick."""
        return self._dt

    @property
    def moving(self) -> bool:
        """Whether any motor was told, by all that was sent until now, to hold, move or push."""
        with self._lock:
            if self._thread is not None:
                self._hear()
            return self._drives.moving

    @property
    def time(self) -> float:
        """s of the twin's clock, which begins at 0 and stands still while the twin is closed."""
        with self._lock:
            return self._drives.now

    def open(self) -> None:
        """Serve or join the bus, open the side door. A second call does nothing. Raises BadOption, LinkLost, MissingExtra."""
        if self._thread is not None:
            return
        self._bus.open()
        self._ending.clear()
        self.pace.start()
        self._thread = threading.Thread(target=self._run, name="can twin", daemon=True)
        self._thread.start()
        try:
            if self._door is not None:
                self._door.open()
        except OSError as error:
            self.close()
            raise BadOption("side address", self._wanted_side, "one that nobody serves", str(error)) from error

    def close(self) -> None:
        """Leave the bus and shut the side door. May be called twice."""
        if self._thread is None:
            return
        if self._door is not None:
            self._door.close()
        self._ending.set()
        self._bus.wake()
        self._thread.join(5.0)
        with self._lock:
            self._thread = None
            self._bus.close()
        self._stage.close()

    def __enter__(self) -> CanTwin:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def advance(self, ticks: int, patience: float = 30.0) -> int:
        """Let so many ticks pass on a gated twin; fewer where they take longer than `patience` s.

        Raises:
            BadOption: the twin is not gated, or there are no such numbers of ticks.
            RobotFault: the simulation diverged.
        """
        if not isinstance(ticks, int) or ticks < 0:
            raise BadOption("ticks", ticks, "a whole number, 0 or more")
        with self._lock:
            if self._mode != "gated":
                raise BadOption("mode", self._mode, "'gated' for advance", "ask for mode gated first")
            self._awaited = self._awaited + 1 if self._hear() else 0
            left, give_up = ticks, time.monotonic() + patience
            while left > 0 and time.monotonic() < give_up:
                batch = min(left, _BATCH)
                self._drives.step(batch)
                left -= batch
            return ticks - left

    def switch(self, mode: str) -> None:
        """Let time pass in another way. Raises BadOption."""
        if mode not in MODES:
            raise BadOption("mode", mode, " | ".join(MODES))
        with self._lock:
            self._hear()
            self._mode = mode
            self._ordered.clear()
            self.pace.start()
        self._bus.wake()

    def posture(self) -> tuple[float, F64, F64]:
        """s, then the joints' true rad and rad/s (dof,)."""
        with self._lock:
            return self._drives.now, *self._arm.posture()

    def observe(self) -> Scene:
        """Truth about the objects."""
        with self._lock:
            return self._stage.observe(self._drives.now)

    def arrange(self, objects: F64, seed: int, joints: F64) -> None:
        """Put objects at poses (k, 7), their joints at (j,), and draw the arm's friction. The arm stays. Raises BadOption."""
        with self._lock:
            self._hear()
            self._stage.arrange(objects, joints)
            self._arm.draw_friction(seed)

    def picture(self, camera: str, height: int, width: int) -> Frame:
        """What a camera sees now. Raises UnknownName, BadOption, MissingSystem."""
        with self._lock:
            self._hear()
            now = self._drives.now
        return Frame(self._stage.picture(camera, height, width), now)

    def lift(self) -> None:
        """A person puts the arm back to its first posture; it is supported until a motor of a joint acts."""
        with self._lock:
            self._arm.lift()

    def inject(self, name: str, **arguments: Any) -> None:
        """Begin a fault of `can_faults`. Raises UnknownName, BadOption."""
        with self._lock:
            self._hear()
            self._drives.inject(name, **arguments)
            if name == "bus-off":
                self._bus.send(can_frame.Frame(can_frame.BUS_OFF, bytes(8), can_frame.ERROR))

    def heal(self) -> None:
        """End all faults."""
        with self._lock:
            self._drives.faults.heal()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wait()
            with self._lock:
                try:
                    self._hear()
                    if self._mode == "paced" and (due := self.pace.take()):
                        self._drives.step(due)
                except RobotFault as error:  # diverged: the arm has been lifted, and goes on
                    _log.error("%s", error)

    def _wait(self) -> None:
        """For frames, or the next tick.

        A client that sends a round of orders and then advances needs no answers before: to wake for each of its frames would
        cost both processes more than all the rest. Any other client waits for its answers, and `advance` finds no frame.
        """
        self._bus.wait(self.pace.left() if self._mode == "paced" else None)
        seen = 0
        while self._mode == "gated" and self._awaited > seen and not self._ending.is_set():
            seen = self._awaited
            self._ending.wait(_LINGER)

    def _hear(self) -> bool:
        """Take all frames that have come; whether any had."""
        if self._thread is None:
            raise Closed(f"the twin of {self.spec.name} is closed; open() it")
        faults, lockstep = self._drives.faults, self._mode == "lockstep"
        if faults.unplugged:
            self._bus.unplug()
        heard = False
        for frame in self._bus.frames():
            heard = True
            if frame.flags or faults.bus_off or faults.unplugged:
                continue  # motors know standard data frames only
            order = lockstep and frame.id in self._drives.ids and damiao.special(frame.data) is None
            if order and frame.id in self._ordered:
                self._next_round()
            self._drives.hear(frame)
            if order:
                self._ordered.add(frame.id)
                if len(self._ordered) == len(self._drives.ids):
                    self._next_round()
        return heard

    def _next_round(self) -> None:
        self._ordered.clear()
        self._drives.step(self._cycle)
