"""What a robot's machine is, as it says when it comes in: its robots, and the devices of its inventory. It asks no device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from user_gym.core import Device, Inventory
from user_gym.errors import BadBlock
from user_gym.system.link.identity import names
from user_gym.system.link.wire import words
from user_gym.system.link.wire.message import Message

_MOST_DEVICES, _MOST_TEXT = 256, 200
_SAID = ("id", "kind", "model", "reason")  # of a device; an address is of no use elsewhere
_ROBOT = ("env", "model", "task", "form")
NOTHING = Inventory(())


@dataclass(frozen=True, slots=True)
class EdgeRobot:
    """A robot that collects."""

    env: str = ""  # as in gym.make
    model: str = ""  # as in gym.make(robot=...)
    task: str = ""
    form: str = ""  # names, shapes and dtypes of what it sees and does; robots that one agent learns from have the same


@dataclass(frozen=True, slots=True)
class Machine:
    """One edge."""

    robots: Mapping[str, EdgeRobot] = field(default_factory=dict[str, EdgeRobot])
    inventory: Inventory = NOTHING

    @property
    def said(self) -> dict[str, Any]:
        """The words `robots` and `devices` of a HELLO; `read` is the inverse."""
        devices = [
            {**{name: getattr(device, name)[:_MOST_TEXT] for name in _SAID}, "robot": device.robot, "healthy": device.healthy}
            for device in self.inventory.devices[:_MOST_DEVICES]
        ]
        return {"robots": {name: asdict(robot) for name, robot in self.robots.items()}, "devices": devices}

    @classmethod
    def read(cls, message: Message, most_robots: int) -> Machine:
        """Of a HELLO, which may leave both out. Raises BadBlock."""
        robots = words.table(message, "robots", most_robots) if "robots" in message.words else {}
        for name in robots:
            if not names.is_name(name):
                raise BadBlock("name of a robot", name, names.ALLOWED)
        devices = words.items(message, "devices", _MOST_DEVICES) if "devices" in message.words else []
        return cls(
            {name: EdgeRobot(**_texts(message, said, _ROBOT, 4096)) for name, said in robots.items()},
            Inventory(tuple(_device(message, said) for said in devices)),
        )


def _device(message: Message, said: Any) -> Device:
    texts = _texts(message, said, _SAID, _MOST_TEXT)
    robot, healthy = said.get("robot"), said.get("healthy")
    if not isinstance(healthy, bool) or not (robot is None or (isinstance(robot, str) and len(robot) <= _MOST_TEXT)):
        raise BadBlock("device of an edge", said, "healthy: true or false, robot: a text or null")
    id, kind, model, reason = (texts[name] for name in _SAID)
    return Device(id, kind, model, "", robot=robot, healthy=healthy, reason=reason)


def _texts(message: Message, said: Any, wanted: tuple[str, ...], most: int) -> dict[str, str]:
    if not isinstance(said, dict):
        raise BadBlock(f"part of a message {message.kind.name}", said, f"an object with {', '.join(wanted)}")
    return {name: words.text(Message(message.kind, said), name, most) for name in wanted}
