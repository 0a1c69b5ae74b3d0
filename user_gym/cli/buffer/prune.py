"""`user-gym buffer prune`: blocks leave by a condition, or until a bound is met."""

from __future__ import annotations

import argparse
from typing import Any

from user_gym.cli.buffer.opening import WHERE, add_path, existing, size
from user_gym.errors import BadOption


def add(parts: Any) -> None:
    """Declare the command."""
    parser = parts.add_parser(
        "prune",
        help="drop experience for good",
        description="Drop the chunks of which every step satisfies a condition. What a chunk shares a file with stays, so the "
        "disk gets all the room only with --compact. There is no way back; --dry-run says what would go.",
    )
    add_path(parser)
    parser.add_argument("--where", required=True, metavar="CONDITION", help=WHERE)
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    parser.add_argument("--compact", action="store_true", help="write files anew that hold dropped chunks")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Drop, or say what would be."""
    from user_gym.system.buffer import pruning
    from user_gym.system.buffer.condition import parse
    from user_gym.system.buffer.store import Store

    condition = parse(arguments.where)
    if arguments.dry_run and arguments.compact:
        raise BadOption("--compact", True, "not with --dry-run, which changes nothing")
    with Store.open(existing(arguments.path), read_only=arguments.dry_run) as store:
        with store.lookup.reading() as catalog:
            leaving = set(pruning.chosen(catalog, condition))
        entries = store.entries()
        rows = [row for row, first in enumerate(entries.first.tolist()) if first in leaving]
        steps, nbytes = int(entries.steps[rows].sum()), int(entries.nbytes[rows].sum())
        what = f"{len(rows)} of {len(entries)} chunks, {steps} transitions, {size(nbytes)}"
        if arguments.dry_run:
            print(f"would drop {what}")
            return 0
        before = store.stats()["segment_bytes"]
        store.prune(firsts=[int(entries.first[row]) for row in rows])
        if arguments.compact:
            store.compact(dead=0.0)
        freed = before - store.stats()["segment_bytes"]
    print(f"dropped {what}; the disk has {size(max(freed, 0.0))} more room")
    return 0
