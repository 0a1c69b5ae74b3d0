"""What stands behind a side door: a twin says which robot it is, and how its time runs."""

from __future__ import annotations

from user_gym.errors import BadOption
from user_gym.robots.side import Side


def ask(model: str, address: str, timeout: float) -> str:
    """The twin in words. Reads only; any number of visitors may come.

    Raises:
        LinkLost: no twin is there.
        RobotFault: it refuses to answer.
        BadOption: it is a twin of another robot.
    """
    side = Side(address, timeout)
    try:
        side.connect()
        hello = side.ask("hello").header
    finally:
        side.close()
    if hello.get("robot") != model:
        raise BadOption("model", model, f"the twin's at {address!r}: {hello.get('robot')!r}", "correct the inventory")
    return f"twin, {hello.get('task')}, {hello.get('mode')}"
