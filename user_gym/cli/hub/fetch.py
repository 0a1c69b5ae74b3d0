"""`user-gym hub fetch`: bring a raw episode from an edge to its hub, and a copy of it here."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from user_gym.cli.hub.operate import add_way


def add(parts: Any) -> None:
    """Declare it."""
    parser = parts.add_parser(
        "fetch",
        help="bring a raw episode, at full rate and resolution, from the edge that recorded it",
        description="Ask the hub for an episode's raw streams, which stay on the robot's machine until somebody does, and wait "
        "until they are there. They travel behind everything else. Broken off, the hub goes on with it; repeated, the command "
        "goes on, too. `user-gym hub edges` says which episodes there are.",
    )
    parser.add_argument("source", metavar="EDGE/ROBOT", help="who recorded it")
    parser.add_argument("episode", type=int, metavar="EPISODE", help="its number, as in the buffer")
    parser.add_argument("--to", type=Path, metavar="DIR", help="an archive of this machine that gets a copy")
    add_way(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Until it is all there."""
    from user_gym.cli.hub.traffic import size
    from user_gym.system.link.fetch import Progress, fetch
    from user_gym.system.link.identity.bundle import Bundle
    from user_gym.system.link.raw import Archive

    shown = ""

    def told(now: Progress) -> None:
        nonlocal shown
        part = f"{now.blocks} of {now.of} blocks, {size(now.bytes)} of {size(now.of_bytes)}" if now.of else ""
        text = f"{now.state}{f': {part}' if part else ''}"
        if text != shown:
            shown = text
            print(text, file=sys.stderr, flush=True)

    bundle = None if arguments.bundle is None else Bundle.load(arguments.bundle)
    to = None if arguments.to is None else Archive.open(arguments.to, most_bytes=None)
    try:
        done = fetch(arguments.hub, bundle, arguments.source, arguments.episode, to, told)
    finally:
        if to is not None:
            to.close()
    where = f"in {arguments.to}, and at the hub" if arguments.to is not None else "at the hub"
    print(f"episode {arguments.episode} of {arguments.source}: {done.blocks} blocks, {size(done.bytes)}, {where}")
    return 0
