"""Where a real arm stands: which one it is, whose it is, and what is around it. All of it known only once it is leased."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from user_gym.core import F64, Camera, CameraSpec, Device, Frame, Scene
from user_gym.errors import BadOption, Closed
from user_gym.real.berth import Place
from user_gym.real.camera import LiveCamera, camera
from user_gym.real.job import Job
from user_gym.robots import approval, candidates, discovery, inventory, lease
from user_gym.robots.address import physical
from user_gym.robots.gate import GateCamera, GateScene
from user_gym.robots.lease import Hold
from user_gym.robots.tap import Tap

_NATIVE_RATE = 30.0  # Hz, of most cameras; only the device knows its own


@dataclass(frozen=True, slots=True)
class Wish:
    """Which arm is wanted, and what its user says of it."""

    model: str
    task: str
    device: str | None = None  # id in the inventory
    address: str | None = None  # then no inventory is needed
    twin: str | None = None  # side address, with `address`
    policy: str = approval.ANY  # hash of what will drive it
    approve: bool = False  # an operator stands at the emergency stop
    adopt: bool = True  # also from a driver process that holds it after its program has ended
    known: bool = True  # our probes can ask it; False: it has a driver of another package, and perhaps other words


class Station:
    """The arm that was leased, and its surroundings.

    Args:
        wish: which arm.
        job: what to do with it, complete but for what depends on the arm; called with the device.
    """

    def __init__(self, wish: Wish, job: Callable[[Device], Job]) -> None:
        self._wish, self._job = wish, job
        self._device: Device | None = None
        self._hold: Hold | None = None
        self._clocks: list[Callable[[float], None]] = []  # of cameras, which count time as the robot does
        self._closers: list[Callable[[], None]] = []  # of what stands around this arm, and not around the next

    @property
    def device(self) -> Device:
        """The arm. Raises Closed before `take`."""
        if self._device is None:
            raise Closed(f"{self._wish.model} is not connected; call connect()")
        return self._device

    def take(self) -> Place:
        """Lease an arm, or keep the one there is. Raises NoRobot, Busy, LinkLost, NotApproved, BadOption."""
        if self._device is None or self._hold is None:
            self._device, self._hold = self._lease()
        try:
            if self._device.twin is None:
                self._approve(self._device, self._hold)
            return Place(self._job(self._device), self._hold)
        except BaseException:
            self.release()
            raise

    def _lease(self) -> tuple[Device, Hold]:
        wish = self._wish
        if wish.address is None:
            return candidates.take(wish.model, wish.task, wish.device, wish.adopt)
        device = Device(f"{wish.model} at {wish.address}", "robot", wish.model, wish.address, wish.twin)
        return device, lease.take(device, adopt=wish.adopt)

    def _approve(self, device: Device, hold: Hold) -> None:
        arm, policy = physical(device), self._wish.policy
        if not approval.approved(arm, policy):
            # One of the inventory was asked when it was taken, and one that is held answers its driver.
            if self._wish.known and self._wish.address is not None and hold.bond is None:
                discovery.ask(device)  # nobody is sent to the emergency stop of an arm that is not there
            if self._wish.approve:
                approval.approve(arm, policy)
        approval.require(arm, policy)

    def follow(self, synchronise: Callable[[float], None]) -> None:
        """Call this with the robot's time whenever its clock starts anew."""
        self._clocks.append(synchronise)

    def began(self, time: float) -> None:
        """The robot's clock shows `time` (s) now."""
        for synchronise in self._clocks:
            synchronise(time)

    def leave_with(self, close: Callable[[], None]) -> None:
        """Call this when the arm is given back."""
        self._closers.append(close)

    def release(self) -> None:
        """Give the arm back. May be called twice."""
        closers, self._closers = self._closers, []
        hold, self._hold, self._device = self._hold, None, None
        self._clocks.clear()
        with ExitStack() as stack:  # whatever raises, all the others are closed, and the arm is given back last
            if hold is not None:
                stack.callback(hold.release)
            for close in reversed(closers):
                stack.callback(close)


class StationScene:
    """A SceneSource: a twin's truth, or where a person put the objects.

    Args:
        station: whose arm.
        names: of the task's objects.
        taught: (k, 7) m, xyzw, base frame: where they stand, unless the inventory's entry has `objects`; NaN: nobody knows.
    """

    def __init__(self, station: Station, names: tuple[str, ...], taught: F64) -> None:
        self.names = names
        self._station, self._taught = station, taught
        self._gate: GateScene | None = None

    def observe(self) -> Scene:
        """The newest scene."""
        device = self._station.device
        if device.twin is None:
            poses = _placed(self.names, device.options.get("objects", {}), self._taught)
            return Scene(self.names, poses, np.isfinite(poses.sum(axis=-1)), "human", 0.0)
        if self._gate is None:
            self._gate = GateScene(device.twin, self.names)
            self._gate.connect()
            self._station.leave_with(self.close)
        return self._gate.observe()

    def close(self) -> None:
        """Hang up."""
        if self._gate is not None:
            self._gate.close()
            self._gate = None


class StationCamera:
    """A camera of the station's arm: drawn by its twin, or a real one.

    Args:
        spec: which, and what size.
        station: whose arm.
        address: "kind:address" of a real one; None: the inventory's camera of this name.
        options: of the real one.
    """

    def __init__(self, spec: CameraSpec, station: Station, address: str | None, options: Mapping[str, Any]) -> None:
        self.spec = spec
        self._station, self._address, self._options = station, address, options
        self._camera: Camera | None = None
        self.native = Tap(spec.name, _NATIVE_RATE)  # pictures of a real one, as it gives them

    def connect(self) -> None:
        """As `Camera.connect`. Raises BadOption where nobody said which camera it is."""
        if self._camera is None:
            self._camera = self._build()
            self._station.leave_with(self.close)
        self._camera.connect()

    def _build(self) -> Camera:
        device = self._station.device
        if device.twin is not None:
            return GateCamera(self.spec, device.twin)
        address, options = self._address, dict(self._options)
        if address is None:
            address, found = _listed(self.spec.name, inventory.read().attached(device.id), device)
            options = {**found, **options}
        live: LiveCamera = camera(self.spec, address, **options)
        self._station.follow(live.synchronise)
        live.forward(lambda time, image: self.native.put(time, {"image": image}))
        return live

    def read(self) -> Frame:
        """As `Camera.read`."""
        if self._camera is None:
            raise Closed(f"camera {self.spec.name!r} is not connected; call connect()")
        return self._camera.read()

    def close(self) -> None:
        """As `Camera.close`."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def larger(self, size: int) -> StationCamera:
        """The same camera with square pictures of this size, for people."""
        return StationCamera(replace(self.spec, height=size, width=size), self._station, self._address, self._options)


def _listed(name: str, attached: Sequence[Device], robot: Device) -> tuple[str, Mapping[str, Any]]:
    for found in attached:
        if found.kind == "camera" and found.name == name:
            return f"{found.model}:{found.address}", found.options
    cure = f'cameras={{"{name}": "opencv:/dev/video0"}}, or a [[camera]] with robot = "{robot.id}" in {inventory.path()}'
    raise BadOption(f"camera of {robot.id}", name, "one whose address is known", cure)


def _placed(names: tuple[str, ...], objects: Mapping[str, Sequence[float]], nominal: F64) -> F64:
    """Poses (k, 7): those that were taught, else the nominal ones."""
    poses = nominal.copy()
    for k, name in enumerate(names):
        if name in objects:
            pose = np.asarray(objects[name], float)
            if pose.shape != (7,) or not np.isfinite(pose).all():
                raise BadOption(f"pose of {name}", objects[name], "seven finite numbers: x, y, z in m, then a quaternion xyzw")
            poses[k] = pose
    return poses
