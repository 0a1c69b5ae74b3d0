"""`user-gym buffer verify` and `repair`: every byte is looked at; what is bad is said, or set aside."""

from __future__ import annotations

import argparse
from typing import Any

from user_gym.cli.buffer.opening import add_path, existing, size
from user_gym.cli.buffer.progress import Progress
from user_gym.cli.table import table

_SHOWN = 20  # findings


def add(parts: Any) -> None:
    """Declare both."""
    verify = parts.add_parser(
        "verify",
        help="read everything and compare it with its checksums",
        description="Read every block and compare it with its checksums and with the index. Changes nothing; a run may be "
        "writing meanwhile. Exit code 1 if something is damaged.",
    )
    add_path(verify)
    verify.set_defaults(run=run_verify)
    repair = parts.add_parser(
        "repair",
        help="set what is damaged aside, and find what the index lost",
        description="Compare the index with every byte: damaged blocks go into quarantine and are not sampled any more, sound "
        "ones that the index does not know are entered. A lost or damaged index is made anew. No run may be writing.",
    )
    add_path(repair)
    repair.add_argument(
        "--drop-absent", action="store_true", help="go on where a cold folder is not there: its blocks go into quarantine"
    )
    repair.set_defaults(run=run_repair)


def run_verify(arguments: argparse.Namespace) -> int:
    """Print what is bad. 1 where something is."""
    from user_gym.system.buffer.store import Store

    path = existing(arguments.path)
    with Store.open(path, read_only=True) as store, Progress("verifying", size) as progress:
        report = store.verify(progress)
    print(f"{report.blocks} blocks, {size(report.nbytes)}: {'all sound' if report.sound else f'{len(report.bad)} DAMAGED'}")
    if report.sound:
        return 0
    rows = [(found.group, str(found.first), str(found.segment), str(found.offset), found.reason) for found in report.bad]
    print(table(("GROUP", "FIRST STEP", "SEGMENT", "BYTE", "WHAT"), rows[:_SHOWN]))
    if len(rows) > _SHOWN:
        print(f"... and {len(rows) - _SHOWN} more")
    print(f"\nthe rest is usable; `user-gym buffer repair {path}` sets these aside")
    return 1


def run_repair(arguments: argparse.Namespace) -> int:
    """Set right what can be, and say what was done."""
    from user_gym.system.buffer.store import Store

    path = existing(arguments.path)
    with Store.open(path, drop_absent=arguments.drop_absent) as store:
        before = store.stats()
        with Progress("repairing segment", lambda number: f"{number:.0f}") as progress:
            store.repair(progress)
        after = store.stats()
    aside = int(after["quarantined_blocks"] - before["quarantined_blocks"])
    print(f"{aside} blocks went into quarantine; {int(after['quarantined_blocks'])} are there now")
    print(f"transitions: {int(before['transitions'])} before, {int(after['transitions'])} now")
    return 0
