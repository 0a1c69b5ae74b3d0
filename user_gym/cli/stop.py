"""`user-gym stop`: every arm of this user holds still, without the program that drives it."""

from __future__ import annotations

import argparse
import select
import sys
import termios
import tty
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "stop",
        help="stop robots without the program that drives them",
        description="Tell the driver processes of this user's robots to stop: the arms hold where they are until their next "
        "reset. This is no emergency stop: it needs a running computer. The button on the wall stays mandatory.",
    )
    parser.add_argument("id", nargs="*", metavar="ID", help="robots to stop, by id or part of it (default: all)")
    parser.add_argument("--release", action="store_true", help="end the driver processes, too; an arm without brakes sinks")
    parser.add_argument("--key", action="store_true", help="wait for a key, then stop; Ctrl-C leaves without stopping")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Stop, and say what was reached. 1 where somebody was not reached, or nobody was there, or not one that was named."""
    from user_gym.robots import sockets, stop

    if arguments.key:
        _wait_for_key("press any key to stop the robots")
    message, code = stop.RELEASE if arguments.release else stop.STOP, 0
    for name in arguments.id or [""]:
        told = stop.tell(message, name)
        for worker in told.reached:
            print(f"told {worker} to {'let go' if arguments.release else 'hold'}")
        for worker in told.gone:
            print(f"{worker} had ended already")
        for worker in told.failed:
            print(f"NOT told, it does not listen: {worker}")
            code = 1
        if not told.reached and not told.failed:
            print(f"no driver process {f'of {name!r} ' if name else ''}listens in {sockets.where()}")
            code = 1
    return code


def _wait_for_key(prompt: str) -> None:
    """Return at a key of the terminal, or at a line where the input is no terminal."""
    if not sys.stdin.isatty():
        print(prompt, flush=True)
        sys.stdin.readline()
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin, termios.TCSANOW)  # the default would throw a key away that was pressed already
        print(prompt, flush=True)
        select.select([sys.stdin], [], [])
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
