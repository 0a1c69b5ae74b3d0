"""What the system half knows of devices: records, no behaviour beyond looking things up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from user_gym.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Device:
    """One thing that can be leased: a robot, a camera, a human's device, a GPU."""

    id: str  # unique in its inventory
    kind: str  # "robot" | "camera" | "teleop" | "gpu"
    model: str  # of a robot: its name as in gym.make(robot=...)
    address: str  # where a driver reaches it: an IP address, a CAN bus, a serial number, a path
    twin: str | None = None  # side-door address of a protocol twin; None: real hardware
    tasks: tuple[str, ...] = ()  # names of the tasks its cell is set up for; empty: all
    robot: str | None = None  # of a camera or a human's device: id of the robot it belongs to
    name: str | None = None  # of a camera: which camera of the robot's spec it is
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # for its driver
    healthy: bool = True
    reason: str = ""  # why it is not healthy, or what a probe learned of it

    def does(self, task: str) -> bool:
        """Whether it is set up for the task of this name."""
        return not self.tasks or task in self.tasks


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to use one device. It ends with the process, however that ends."""

    device: str  # id under which it was taken
    address: str  # of the physical device, in normal form
    pid: int  # of the owner; 0 where its note could not be read
    user: str
    host: str
    command: str  # the owner's command line
    since: float  # s, wall time
    passing: bool = False  # held by a probe while it asks: the device is free again in a moment
    waiting: bool = False  # its program is gone; the driver process `pid` holds the arm until another owner takes it over


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is, what is broken included."""

    devices: tuple[Device, ...]

    def of_kind(self, kind: str) -> tuple[Device, ...]:
        """Devices of one kind, in the inventory's order."""
        return tuple(d for d in self.devices if d.kind == kind)

    def attached(self, robot: str) -> tuple[Device, ...]:
        """Cameras and human devices that belong to the robot of this id."""
        return tuple(d for d in self.devices if d.robot == robot)

    def find(self, id: str) -> Device:
        """The device of this id. Raises UnknownName."""
        for device in self.devices:
            if device.id == id:
                return device
        raise UnknownName("device", id, (d.id for d in self.devices), "user-gym devices lists them")
