"""`user-gym devices`: what there is, how it is, and whose it is now."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from user_gym.cli.table import table

if TYPE_CHECKING:
    from user_gym.robots.discovery import Change, Sighting

_HEAD = ("ID", "KIND", "MODEL", "ADDRESS", "STATE", "")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "devices",
        help="list robots, cameras, human devices and GPUs",
        description="List the devices of the inventory, and those plugged in besides, with their state: free, leased, held "
        "by the driver of a program that has ended, or bad and why. Robots that are free are asked for it; nothing moves, and "
        "a leased or held robot is left alone.",
    )
    parser.add_argument("--json", action="store_true", help="for programs; with --watch one object a line")
    parser.add_argument(
        "--ray", action="store_true", help="print the inventory's robots for `ray start --resources`, and end; asks no device"
    )
    parser.add_argument("--hub", metavar="BUNDLE", help="those of all edges instead, asked at the hub of an operator's bundle")
    parser.add_argument("--watch", action="store_true", help="look again and again, and print what changes; Ctrl-C ends it")
    parser.add_argument("--period", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or the changes until Ctrl-C."""
    from user_gym.robots import discovery, inventory

    if arguments.ray:
        from user_gym.system.cluster import offered

        print(json.dumps(offered(inventory.read())))
        return 0
    if arguments.hub is not None:
        return _elsewhere(arguments)
    if arguments.watch:
        for change in discovery.watch(period=arguments.period):
            print(_as_json(change) if arguments.json else _as_line(change), flush=True)
    sightings = discovery.look()
    print(_listing(sightings) if arguments.json else _table(sightings))
    return 0


def _elsewhere(arguments: argparse.Namespace) -> int:
    """Devices of the inventories of a fleet's machines, as each said when it came in."""
    from pathlib import Path

    from user_gym.cli.hub.operate import ask_edges

    edges = ask_edges(None, Path(arguments.hub))
    if arguments.json:
        print(json.dumps({edge["name"]: edge["machine"]["inventory"]["devices"] for edge in edges}, indent=2))
        return 0
    rows = [
        (f"{edge['name']}/{one['id']}", one["kind"], one["model"], edge["host"], _there(edge, one), one["reason"])
        for edge in edges
        for one in edge["machine"]["inventory"]["devices"]
    ]
    print(table(("ID", "KIND", "MODEL", "HOST", "STATE", ""), rows) if rows else "no device of an edge; docs/inventory.md")
    return 0


def _there(edge: Any, device: Any) -> str:
    if not edge["connected"]:
        return "away"
    return "listed" if device["healthy"] else "bad"


def _state(sighting: Sighting) -> str:
    owned = sighting.lease is not None and not sighting.lease.passing
    if not sighting.device.healthy:
        return "bad"
    return "free" if not owned else "held" if sighting.lease and sighting.lease.waiting else "leased"


def _words(sighting: Sighting) -> str:
    """What there is to say besides the state."""
    if _state(sighting) not in ("leased", "held") or sighting.lease is None:
        return sighting.device.reason
    lease, twin = sighting.lease, "twin; " if sighting.device.twin else ""
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(lease.since))
    if lease.waiting:
        held = f"by its driver (pid {lease.pid}), waits for an owner or user-gym stop --release"
        return f"{twin}{held}; of {lease.user} since {since}, after {lease.command} has ended"
    return f"{twin}by pid {lease.pid} of {lease.user} since {since}: {lease.command}"


def _record(sighting: Sighting) -> dict[str, Any]:
    lease = None if sighting.lease is None else asdict(sighting.lease)
    return {**asdict(sighting.device), "state": _state(sighting), "lease": lease}


def _table(sightings: tuple[Sighting, ...]) -> str:
    from user_gym.robots import inventory, line

    rows = [(s.device.id, s.device.kind, s.device.model, s.device.address, _state(s), _words(s)) for s in sightings]
    if not rows:
        return f"no devices; write the inventory: {inventory.path()} (docs/inventory.md shows one)"
    waiting = [
        f"waiting: pid {t.pid} for {', '.join([*t.robots, *t.cameras, *([f'{t.gpus} GPUs'] if t.gpus else [])])}: {t.command}"
        for t in line.waiting()
    ]
    return "\n".join([table(_HEAD, rows), *waiting])


def _listing(sightings: tuple[Sighting, ...]) -> str:
    from user_gym.robots import inventory, line

    content = {
        "inventory": str(inventory.path()),
        "devices": [_record(s) for s in sightings],
        "queue": [asdict(ticket) for ticket in line.waiting()],
    }
    return json.dumps(content, indent=2)


def _as_line(change: Change) -> str:
    seen = change.now or change.before
    assert seen is not None
    was = "new" if change.before is None else _state(change.before)
    now = "gone" if change.now is None else f"{_state(change.now)}  {_words(change.now)}"
    return f"{time.strftime('%H:%M:%S')}  {seen.device.id} ({seen.device.model}): {was} -> {now}".rstrip()


def _as_json(change: Change) -> str:
    before, now = (None if side is None else _record(side) for side in change)
    return json.dumps({"time": time.time(), "before": before, "now": now})
