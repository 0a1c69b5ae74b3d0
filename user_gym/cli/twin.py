"""`user-gym twin`: a simulated robot that real drivers take for a real one, until Ctrl-C."""

from __future__ import annotations

import argparse
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from user_gym.cli import json_options
from user_gym.errors import BadOption

if TYPE_CHECKING:
    from user_gym.core import RobotSpec, Task

FRANKA_ADDRESS = "127.0.0.77"
MODES = ("gated", "lockstep", "paced")


class _Twin(NamedTuple):
    """A twin to be served. What it is reached by is known once it is open."""

    open: Callable[[], None]
    close: Callable[[], None]
    places: Callable[[], tuple[str, str | None]]  # of the robot, and of the side door


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "twin",
        help="run a simulated robot that speaks the real one's bytes",
        description="Run a twin: a simulated robot that a vendor's client or a driver of user_gym takes for a real one. It "
        "prints what to write into the inventory, and runs until Ctrl-C. Several robots are several addresses or buses.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="franka-fr3, franka-fer, arx-x5 or arx-l5")
    parser.add_argument("--task", default="PegInsert", help="whose objects lie before it")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="of the task, such as hole_offset=0.002; again: more. Whoever steps it says the same to gymnasium.make",
    )
    parser.add_argument("--address", help=f"of a Franka: any of this machine; {FRANKA_ADDRESS} if left out")
    parser.add_argument("--bus", help="of an ARX: seqpacket:PATH, socketcand:HOST:PORT or socketcan:INTERFACE")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="paced",
        help="how time runs: paced = as the wall's, lockstep = as fast as its client, gated = only when told by the side door",
    )
    parser.add_argument(
        "--side",
        help="where a twin is told to reset and step, as no robot is: HOST:PORT or unix:PATH; beside the robot's if left out",
    )
    parser.add_argument("--friction", type=float, metavar="NM", help="of each joint, N m; drawn at each reset if left out")
    parser.add_argument("--id", help="in the inventory entry that is printed; its model and where it is if left out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from user_gym.robots import registry, specs

    spec = specs.spec(arguments.model)
    twin = _twin(arguments, spec, registry.make_task(arguments.task, spec, json_options.read("--option", arguments.option)))
    with _asked_to_end() as ended:
        twin.open()
        try:
            address, side = twin.places()
            print(f"ready: a twin of {spec.name}, {arguments.task}, {arguments.mode}; Ctrl-C ends it. In the inventory:\n")
            id = arguments.id or _id(spec.name, address)
            print(f'[[robot]]\nid = "{id}"\nmodel = "{spec.name}"\naddress = "{address}"\ntwin = "{side}"\n', flush=True)
            ended.wait()
        finally:
            twin.close()
    return 0


@contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM while the body runs; whoever calls this in a process of its own has the handlers back."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _id(model: str, address: str) -> str:
    """One that no other twin of this machine has: "franka-fr3-127.0.0.77", "arx-x5-tmp-left.can"."""
    place = address.partition(":")[2] or address
    return f"{model}-{re.sub(r'[^A-Za-z0-9.]+', '-', place).strip('-')}"


def _twin(arguments: argparse.Namespace, spec: RobotSpec, task: Task) -> _Twin:
    match spec.family:
        case "franka":
            if arguments.bus is not None:
                raise BadOption("--bus", arguments.bus, f"none for {spec.name}", "a Franka has an --address")
            from user_gym.sim.fci.twin import FciTwin

            address = arguments.address or FRANKA_ADDRESS
            arm = FciTwin(spec, task, address, arguments.mode, arguments.side, friction=arguments.friction)
            return _Twin(arm.open, arm.close, lambda: (arm.address, arm.side))
        case "arx":
            if arguments.address is not None:
                raise BadOption("--address", arguments.address, f"none for {spec.name}", "an ARX has a --bus")
            from user_gym.sim.can.twin import CanTwin

            place = Path(tempfile.gettempdir()) / f"user_gym-{spec.name}"
            bus, side = arguments.bus or f"seqpacket:{place}.can", arguments.side or f"unix:{place}.side"
            motors = CanTwin(spec, task, bus, arguments.mode, side, friction=arguments.friction)
            return _Twin(motors.open, motors.close, lambda: (motors.bus, motors.side))
        case family:
            raise BadOption("MODEL", spec.name, "a robot of the families franka and arx", f"{family} robots have no twin")
