"""`user-gym hub take-over`: a person's hand here moves a robot elsewhere; for who has an operator's bundle."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from user_gym.core import Teleop

DEVICES = {
    "keyboard": "user_gym.real.keyboard:Keyboard",
    "spacemouse": "user_gym.real.spacemouse:SpaceMouse",
    "gamepad": "user_gym.real.gamepad:Gamepad",
}
_AXES = 6  # of an action without a gripper


def add(parts: Any) -> None:
    """Declare it."""
    parser = parts.add_parser(
        "take-over",
        help="move a robot of an edge by hand, instead of its policy",
        description="While your hand acts, its actions replace the policy's, as with a device beside the robot, and are kept "
        "as an intervention. An order counts while what you saw is no older than the edge says (0.5 s); else the policy acts. "
        "Ctrl-C lets go. Esc, or the stop button of a device, stops all robots of that edge; the button on the wall stays "
        "mandatory. You see no pictures here.",
    )
    parser.add_argument("robot", metavar="EDGE[/ROBOT]", help="which one (default: the only one, called robot)")
    parser.add_argument(
        "--device", default="keyboard", metavar="NAME", help=f"{', '.join(DEVICES)}, or module:Class of this machine (keyboard)"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="of an operator, from `hub enroll --operator`")
    parser.add_argument("--hub", metavar="HOST:PORT", help="where it listens (default: as the bundle says)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Until Ctrl-C; 1 where the robot was lost."""
    from user_gym.system.link.identity.bundle import Bundle
    from user_gym.system.link.take_over import TakeOver
    from user_gym.system.processes.parent import heard

    make = _device(arguments.device)
    edge, _, robot = arguments.robot.partition("/")
    bundle, stop = None if arguments.bundle is None else Bundle.load(arguments.bundle), Event()
    with TakeOver(arguments.hub, bundle, edge, robot or "robot") as taken, closing(make(taken.actions, taken.stop)) as teleop:
        teleop.connect()
        print(f"{taken.source} is yours; Ctrl-C lets it go", flush=True)
        print(getattr(teleop, "help", ""), flush=True)
        with heard(stop):
            lost = taken.run(teleop, stop)
    print(lost or f"{taken.source} is let go")
    return 1 if lost else 0


def _device(name: str) -> Callable[[int, Callable[[], object]], Teleop]:
    """What makes one of the number of actions and of what its stop button does. Raises UnknownName, BadOption."""
    from user_gym.errors import UnknownName
    from user_gym.system.processes.callables import named

    if ":" in name:
        made = named(name)
        return lambda actions, stop: made()
    if name not in DEVICES:
        raise UnknownName("device of a hand", name, DEVICES, "or name one as module:Class")
    kind = named(DEVICES[name])
    return lambda actions, stop: kind(gripper=actions > _AXES, on_stop=stop)
