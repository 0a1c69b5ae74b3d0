"""What the system half knows of devices: records, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """One thing that can be leased: a robot, a camera, a GPU."""

    id: str
    kind: str  # "robot" | "camera" | "gpu" | "teleop"
    model: str  # a robot's name as in gym.make
    address: str
    healthy: bool = True
    reason: str = ""  # why it is not healthy


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one owner to use one device until `expires`."""

    device: str
    owner: str
    token: str
    expires: float  # s, monotonic clock of the authority that granted it


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is."""

    devices: tuple[Device, ...]

    def of_kind(self, kind: str) -> tuple[Device, ...]:
        """Devices of one kind, in the inventory's order."""
        return tuple(d for d in self.devices if d.kind == kind)
