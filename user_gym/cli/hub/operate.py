"""`user-gym hub stop` and `edges`: robots of a fleet hold; and how its edges are; for who has an operator's bundle."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any


def add(parts: Any) -> None:
    """Declare both."""
    stop = parts.add_parser(
        "stop",
        help="robots of edges hold, now",
        description="Tell edges that their robots hold. This is no emergency stop: it needs a network and running computers. "
        "The button on the wall stays mandatory. Exit code 1 where it is not known of one that its robots hold.",
    )
    stop.add_argument("edge", nargs="?", default="", metavar="EDGE", help="which one (default: all)")
    add_way(stop)
    stop.set_defaults(run=run_stop)
    edges = parts.add_parser("edges", help="list the edges of a hub that runs, and how they are")
    edges.add_argument("--json", action="store_true", help="for programs")
    edges.add_argument("--bytes", action="store_true", help="what each column costs on its way")
    add_way(edges)
    edges.set_defaults(run=run_edges)


def add_way(parser: argparse.ArgumentParser) -> None:
    """Declare how the hub is reached."""
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="of an operator, from `hub enroll --operator`")
    parser.add_argument("--hub", metavar="HOST:PORT", help="where it listens (default: as the bundle says)")


def run_stop(arguments: argparse.Namespace) -> int:
    """Stop, and say what was reached."""
    from user_gym.cli.table import printable

    answers = _ask(arguments, {"ask": "stop", "edge": arguments.edge})["answers"]
    for name, answer in sorted(answers.items()):
        print(printable(f"{name}: {'its robots hold' if answer == 'stopped' else f'NOT known to hold: {answer}'}"))
    if not answers:
        print("no edge has come to this hub")
    return 0 if answers and all(answer == "stopped" for answer in answers.values()) else 1


def run_edges(arguments: argparse.Namespace) -> int:
    """Print a table."""
    from user_gym.cli.hub import traffic
    from user_gym.cli.table import table

    edges = ask_edges(arguments.hub, arguments.bundle)
    if arguments.json:
        print(json.dumps(edges, indent=2))
        return 0
    if arguments.bytes:
        rows = [(edge["name"], *row) for edge in edges for row in traffic.columns(edge["facts"])]
        print(table(("EDGE", *traffic.HEAD), rows) if rows else "no edge has sent a step yet")
        return 0
    head = ("EDGE", "HOST", "STATE", "STEPS", "VERSION", "ROUND TRIP", "A STEP", "RAW EPISODES", "")
    rows = [row for edge in edges for row in (_row(edge), *_robots(edge))]
    print(table(head, rows) if rows else "no edge has come to this hub")
    return 0


def _row(edge: Any) -> tuple[str, ...]:
    from user_gym.cli.hub import traffic

    numbers = str(edge["steps"]), str(edge["version"]), _trip(edge["round_trip"])
    carried = traffic.step(edge["facts"]), traffic.raw(edge["facts"])
    return edge["name"], edge["host"], _state(edge), *numbers, *carried, edge["complaint"]


def _robots(edge: Any) -> list[tuple[str, ...]]:
    """A row for each robot, under its edge: what it is, and how it said it is."""
    from user_gym.cli.hub import traffic

    told = edge["facts"].get("robots")
    rows = []
    for name, robot in edge["machine"]["robots"].items():
        facts = told.get(name) if isinstance(told, dict) else None
        facts = facts if isinstance(facts, dict) else {}
        state = str(facts.get("state", "")) if edge["connected"] else "away"
        version = str(facts.get("version", ""))
        rows.append((f"  {name}", robot["model"], state, "", version, "", "", "", f"{robot['task']} {robot['env']}".strip()))
    for name, state, ids in traffic.served(edge["facts"]):
        rows.append((f"  {name}", "", state if edge["connected"] else "away", "", "", "", "", "", ids))
    return rows


def ask_edges(hub: str | None, bundle: Path | None) -> Any:
    """What a hub says of its edges. Raises PeerLost, NotAdmitted, BadOption."""
    edges: list[Any] = []
    while True:
        page = _asked(hub, bundle, {"ask": "edges", "after": edges[-1]["name"] if edges else ""})
        edges += page["edges"]
        if not page["more"]:
            return edges


def _ask(arguments: argparse.Namespace, said: dict[str, str]) -> Any:
    return _asked(arguments.hub, arguments.bundle, said)


def _asked(hub: str | None, bundle: Path | None, said: dict[str, str]) -> Any:
    from user_gym.system.link.identity.bundle import Bundle
    from user_gym.system.link.operator import ask

    return ask(hub, None if bundle is None else Bundle.load(bundle), said)


def _state(edge: Any) -> str:
    since = time.strftime("%m-%d %H:%M:%S", time.localtime(edge["since"]))
    return f"{'here' if edge['connected'] else 'away'} since {since}"


def _trip(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.0f} ms"
