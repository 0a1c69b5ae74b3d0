"""A Franka arm that unmodified clients take for real: robot server, gripper server, and a side door no real arm has.

`franka-fr3` speaks robot protocol 10 (franky-control 2, pylibfranka 0.20 and later), `franka-fer` protocol 5 (panda-python).
Clients have the ports 1337 and 1338 built in, so several twins on one machine live on several loopback addresses.

Time passes in one of three ways, which the side door switches at run time:

    gated     nothing moves until the side door says `advance`; then as fast as the client answers
    lockstep  each command moves the arm by one tick, as fast as the client answers
    paced     a tick per millisecond of the wall's time, command or not, as the real box does

Outside motions a gated or lockstep arm stands still, and only state numbers go on. Faults of the side door (`fault`), by name:

    reflex        reason                 stop by itself, for any reason of `wire.fci.ERRORS`
    user_stop     pressed (True)         the button: motions are refused until it is released by pressed=False or `heal`
    contact       active                 whether contact above SetCollisionBehavior's upper thresholds stops the arm (it does)
    lost_cycles   active                 whether 20 cycles in a row without a command stop it (they do)
    limits        active                 whether motions beyond the arm's velocity, acceleration and jerk stop it (they do not)
    loss          share, seed            commands that never arrive
    delay         ticks                  commands that arrive later
    dead          -                      nothing is sent or read any more
    gripper       misses (True)          a grasp closes on nothing
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from user_gym.core import RobotSpec, Task
from user_gym.errors import BadOption, MissingSystem, RobotFault, UnknownName
from user_gym.robots import franka, urdf
from user_gym.robots.side import PORT, Message
from user_gym.robots.wire.fci import TICK, VERSIONS
from user_gym.sim.fci import library
from user_gym.sim.fci.gate import check
from user_gym.sim.fci.loop import Loop
from user_gym.sim.side_door import SideDoor
from user_gym.sim.stage import Stage

_PATIENCE = 5.0  # s that the side door waits for the twin's own thread
_SLACK = 0.9  # of the client's time-out: the answer "too late" should not be too late itself


class FciTwin:
    """One arm with its scene, served at an address.

    Args:
        spec: a Franka arm.
        task: its objects stand in the scene.
        address: IP address of this machine.
        mode: "gated" | "lockstep" | "paced".
        side: address of the side door; None: port 1339 of `address`.
        friction: N m of Coulomb friction in every joint; None: drawn from the spec's range at each `arrange`.
        lost_cycles: whether 20 cycles in a row without a command stop the arm.

    Raises:
        BadOption: an option that is not allowed.
    """

    def __init__(
        self,
        spec: RobotSpec,
        task: Task,
        address: str = "127.0.0.77",
        mode: str = "gated",
        side: str | None = None,
        friction: float | None = None,
        lost_cycles: bool = True,
    ) -> None:
        if spec.name not in VERSIONS:
            raise BadOption("robot of an FCI twin", spec.name, " | ".join(VERSIONS))
        self.spec, self.task, self.address = spec, task, address
        self._options = check(mode), friction, bool(lost_cycles)
        self._door = SideDoor(side or f"{address}:{PORT}", self._operations(), {"mode": self._keep_mode})
        self._loop: Loop | None = None
        self._stage: Stage | None = None

    @property
    def side(self) -> str:
        """Address of the side door."""
        return self._door.address

    def open(self) -> None:
        """Serve. Raises BadOption where the address is not this machine's or a port is taken."""
        if self._loop is not None:
            return
        mode, friction, lost_cycles = self._options
        version = VERSIONS[self.spec.name]
        lock = threading.RLock()
        loop = Loop(version, self.spec, self.task, self.address, mode, friction, lost_cycles, self._model, lock)
        loop.open()
        self._loop = loop
        self._stage = Stage(loop.motions.body.plant, self.task, loop.motions.body.data, lock)
        try:
            self._door.open()
        except OSError as error:
            self.close()
            raise BadOption("side address", self.address, f"a free one ({error})", "name another by side=") from error

    def close(self) -> None:
        """Hang up on everybody. May be called twice."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
        self._door.close()
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def __enter__(self) -> FciTwin:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _model(self) -> bytes:
        if self.spec.name in franka.VELOCITY:
            return urdf.text(self.spec, franka.VELOCITY[self.spec.name]).encode()
        return library.library(self.spec)

    def _opened(self) -> Loop:
        if self._loop is None:
            raise RobotFault("the twin closes")
        return self._loop

    def _ask(self, job: Callable[[Loop], Any]) -> Any:
        """Run something in the twin's own thread."""
        loop = self._opened()
        return loop.post(lambda: job(loop)).result(_PATIENCE)

    def _operations(self) -> dict[str, Callable[[dict[str, Any], bytes], Message]]:
        return {
            "hello": lambda arguments, body: self._ask(self._hello),
            "mode": self._set_mode,
            "advance": self._advance,
            "posture": lambda arguments, body: self._ask(self._posture),
            "scene": lambda arguments, body: self._ask(self._scene),
            "arrange": self._arrange,
            "picture": self._picture,
            "fault": self._fault,
            "heal": self._heal,
        }

    def _hello(self, loop: Loop) -> Message:
        cameras = [camera.name for camera in self.spec.cameras]
        about = {"robot": self.spec.name, "task": self.task.name, "mode": loop.gate.mode, "cameras": cameras}
        return Message({**about, "time": loop.motions.body.time, "tick": TICK, "motion": loop.motions.word})

    def _posture(self, loop: Loop) -> Message:
        """What the joints really do, whatever the client is told."""
        body = loop.motions.body
        joints = {"q": body.q.tolist(), "dq": body.dq.tolist()}
        return Message({**joints, "time": body.time, "motion": loop.motions.word})

    def _set_mode(self, arguments: dict[str, Any], body: bytes) -> Message:
        mode = check(arguments["mode"])

        def switch(loop: Loop) -> Message:
            loop.switch(mode)
            return Message({"mode": mode})

        return self._ask(switch)

    def _keep_mode(self) -> Callable[[], Message]:
        mode = self._opened().gate.mode
        return lambda: self._set_mode({"mode": mode}, b"")

    def _advance(self, arguments: dict[str, Any], body: bytes) -> Message:
        timeout = float(arguments["timeout"])
        if not 0.0 < timeout < 1e6:
            raise BadOption("timeout", timeout, "a positive number of seconds")
        order = self._ask(lambda loop: loop.advance(arguments["ticks"], timeout * _SLACK))
        ticks, motion = order.result(timeout + _PATIENCE)
        return Message({"ticks": ticks, "motion": motion})

    def _scene(self, loop: Loop) -> Message:
        if self._stage is None:
            raise RobotFault("the twin closes")
        scene = self._stage.observe(loop.motions.body.time)
        seen = {"names": list(scene.names), "poses": scene.poses.tolist(), "valid": scene.valid.tolist()}
        return Message({**seen, "time": float(scene.time)})

    def _arrange(self, arguments: dict[str, Any], body: bytes) -> Message:
        objects, seed = np.array(arguments["objects"], float).reshape(-1, 7), int(arguments["seed"])
        joints = np.array(arguments.get("joints", []), float)

        def place(loop: Loop) -> Message:
            if self._stage is None:
                raise RobotFault("the twin closes")
            self._stage.arrange(objects, joints)
            loop.motions.body.draw_friction(seed)
            loop.motions.body.refresh()
            return Message({})

        return self._ask(place)

    def _picture(self, arguments: dict[str, Any], body: bytes) -> Message:
        stage, loop = self._stage, self._opened()
        if stage is None:
            raise MissingSystem("the twin closes")
        camera = next((c for c in self.spec.cameras if c.name == arguments["camera"]), None)
        height = int(arguments.get("height", camera.height if camera else 0))
        width = int(arguments.get("width", camera.width if camera else 0))
        time = loop.motions.body.time
        image = stage.picture(str(arguments["camera"]), height, width)
        return Message({"height": height, "width": width, "time": time}, image.tobytes())

    def _fault(self, arguments: dict[str, Any], body: bytes) -> Message:
        name, options = str(arguments.pop("name")), arguments

        def inject(loop: Loop) -> Message:
            motions, faults = loop.motions, loop.faults
            table: dict[str, Callable[..., object]] = {
                "reflex": lambda reason: motions.reflex(str(reason)),
                "user_stop": lambda pressed=True: motions.user_stop(bool(pressed)),
                "contact": lambda active: setattr(motions.contact, "active", bool(active)),
                "lost_cycles": lambda active: setattr(motions, "lost_cycles", bool(active)),
                "limits": lambda active: motions.set_strict(bool(active)),
                "loss": faults.lose,
                "delay": faults.delay,
                "dead": lambda: setattr(faults, "dead", True),
                "gripper": lambda misses=True: setattr(loop.hand, "misses", bool(misses)),
            }
            if name not in table:
                raise UnknownName("fault", name, table)
            table[name](**options)
            return Message({})

        return self._ask(inject)

    def _heal(self, arguments: dict[str, Any], body: bytes) -> Message:
        def heal(loop: Loop) -> Message:
            loop.faults.heal()
            loop.motions.user_stop(False)
            loop.motions.contact.active, loop.motions.lost_cycles = True, self._options[2]
            loop.motions.set_strict(False)
            loop.hand.misses = False
            return Message({})

        return self._ask(heal)
