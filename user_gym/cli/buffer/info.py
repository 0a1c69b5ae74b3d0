"""`user-gym buffer info`: what a buffer holds, in a glance or as JSON."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from user_gym.cli.buffer.opening import add_path, existing, size
from user_gym.cli.buffer.progress import Progress
from user_gym.cli.buffer.rewarded import counted
from user_gym.cli.table import table

if TYPE_CHECKING:
    from user_gym.system.buffer.stored import Stored

_GROUPS = (  # columns of what is said of each robot, task, kind and source
    ("robot", "o.robot"),
    ("task", "o.task"),
    ("kind", "o.kind"),
    ("source", "s.name"),
    ("episodes", "count(DISTINCT b.episode)"),
    ("chunks", "count(*)"),
    ("transitions", "sum(b.steps)"),
    ("succeeded", "count(DISTINCT CASE WHEN b.success THEN b.episode END)"),  # episodes
    ("interventions", "sum(b.interventions)"),  # transitions
    ("bytes", "sum(b.nbytes)"),
    ("policy_version_min", "min(b.policy_version_min)"),
    ("policy_version_max", "max(b.policy_version_max)"),
    ("began", "min(b.wall_time)"),  # s since the epoch
    ("ended", "max(b.wall_time)"),
)


def add(parts: Any) -> None:
    """Declare the command."""
    parser = parts.add_parser(
        "info",
        help="say what a buffer holds",
        description="Say what a buffer holds: who collected how much with which robot, who rewarded it, which columns there "
        "are, what was labelled, and what it takes on the disk. A run may be writing it. The head of every block is read.",
    )
    add_path(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    from user_gym.system.buffer import connection
    from user_gym.system.buffer.labels import Labels
    from user_gym.system.buffer.query import Query
    from user_gym.system.buffer.store import Store

    path = existing(arguments.path)
    with Store.open(path, read_only=True) as store, Progress("reading who rewarded: blocks") as progress:
        content: dict[str, Any] = {
            "path": str(path.resolve()),
            "stats": dict(store.stats()),
            "groups": _groups(store),
            "reward_sources": counted(store, progress),
            "columns": _columns(store),
        }
    query = Query(connection.connect_reader(path))
    labels = Labels.open(path, query.place, read_only=True)
    content["labels"] = [version._asdict() for version in labels.versions()]
    labels.close()
    query.close()
    print(json.dumps(content, indent=2) if arguments.json else _page(content))
    return 0


def _groups(store: Stored) -> list[dict[str, Any]]:
    columns = ", ".join(what for _, what in _GROUPS)
    query = (
        f"SELECT {columns} FROM blocks b JOIN origins o ON o.id = b.origin JOIN sources s ON s.id = b.source "
        "GROUP BY o.robot, o.task, o.kind, s.name ORDER BY o.robot, o.task, o.kind, s.name"
    )
    with store.lookup.reading() as catalog:
        rows = catalog.database.execute(query).fetchall()
    return [dict(zip((name for name, _ in _GROUPS), row, strict=True)) for row in rows]


def _columns(store: Stored) -> list[dict[str, Any]]:
    """Each once for each way in which it is stored, with the robots that have it so."""
    from user_gym.system.buffer.layout import Layout

    with store.lookup.reading() as catalog:
        query = "SELECT robot, layout FROM origins GROUP BY robot, layout ORDER BY min(id)"
        rows = catalog.database.execute(query).fetchall()
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for robot, text in rows:
        for column in Layout.parse(text.encode("ascii")).columns:
            made = {"name": column.key, "dtype": column.dtype.name, "shape": list(column.shape), "coding": column.coding.name}
            key = (column.of, column.key, column.dtype.name, column.shape, column.coding.name)
            robots = found.setdefault(key, {**made, "robots": []})["robots"]
            if robot not in robots:
                robots.append(robot)
    return list(found.values())


def _page(content: dict[str, Any]) -> str:
    stats, groups = content["stats"], content["groups"]
    parts = [
        f"{content['path']}",
        f"{int(stats['transitions'])} transitions in {sum(g['episodes'] for g in groups)} episodes; "
        f"{size(stats['segment_bytes'])} in {int(stats['segments'])} file{'s' * (int(stats['segments']) != 1)}"
        + (f", {size(stats['cold_bytes'])} of them in a cold place" if stats["cold_bytes"] else ""),
    ]
    missing = {why: int(stats[f"transitions_{why}"]) for why in ("pruned", "quarantined", "orphaned")}
    if any(missing.values()):
        words = ", ".join(f"{count} {why}" for why, count in missing.items() if count)
        parts.append(f"of {int(stats['transitions_ever'])} ever: {words}")
    rows = [_row(group) for group in groups]
    head = ("ROBOT", "TASK", "KIND", "SOURCE", "EPISODES", "SUCCESS", "STEPS", "BY HAND", "POLICY", "SIZE", "COLLECTED")
    parts += ["", table(head, rows)]
    parts += ["", table(("REWARDED BY", "EPISODES", "STEPS"), [_rewarded(said) for said in content["reward_sources"]])]
    parts += ["", _table_of_columns(content["columns"])]
    if content["labels"]:
        labels = [(v["name"], str(v["version"]), str(v["steps"]), _date(v["time"]), v["source"]) for v in content["labels"]]
        parts += ["", table(("LABEL", "VERSION", "STEPS", "WRITTEN", "BY"), labels)]
    return "\n".join(parts)


def _rewarded(said: dict[str, Any]) -> tuple[str, ...]:
    source = said["reward_source"]
    name = "(cannot be read)" if source is None else source or "-"
    return name, str(said["episodes"]), str(said["transitions"])


def _table_of_columns(columns: list[dict[str, Any]]) -> str:
    """Whose each is, where not all robots have all."""
    rows = [(c["name"], c["dtype"], "x".join(map(str, c["shape"])) or "-", c["coding"]) for c in columns]
    head: tuple[str, ...] = ("COLUMN", "TYPE", "SHAPE", "STORED AS")
    robots = {robot for column in columns for robot in column["robots"]}
    if all(len(column["robots"]) == len(robots) for column in columns):
        return table(head, rows)
    owners = ["all" if len(c["robots"]) == len(robots) else ", ".join(robot or "-" for robot in c["robots"]) for c in columns]
    return table((*head, "OF"), [(*row, owner) for row, owner in zip(rows, owners, strict=True)])


def _row(group: dict[str, Any]) -> tuple[str, ...]:
    versions = f"{group['policy_version_min']}..{group['policy_version_max']}"
    return (
        *(group[name] or "-" for name in ("robot", "task", "kind", "source")),
        str(group["episodes"]),
        f"{group['succeeded'] / group['episodes']:.0%}",
        str(group["transitions"]),
        f"{group['interventions'] / group['transitions']:.0%}",
        versions,
        size(group["bytes"]),
        f"{_date(group['began'])} - {_date(group['ended'])}",
    )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
