"""`user-gym buffer verify` and `repair`: every byte is looked at; what is bad is said, or set aside."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from user_gym.cli.buffer.opening import add_path, existing, size
from user_gym.cli.buffer.progress import Progress
from user_gym.cli.table import table
from user_gym.errors import WrongRun

if TYPE_CHECKING:
    from user_gym.system.buffer.repair import Report

_SHOWN = 20  # findings
_log = logging.getLogger(__name__)


def add(parts: Any) -> None:
    """Declare both."""
    verify = parts.add_parser(
        "verify",
        help="read everything and compare it with its checksums",
        description="Read every block and compare it with its checksums and with the index, and the labels. Changes nothing; a "
        "run may be writing meanwhile. Exit code 1 if something is damaged.",
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
    from user_gym.system.buffer import label_file
    from user_gym.system.buffer.store import Store

    path = existing(arguments.path)
    with Store.open(path, read_only=True) as store, Progress("verifying", size) as progress:
        report = store.verify(progress)
    print(f"{report.blocks} blocks, {size(report.nbytes)}: {'all sound' if report.sound else f'{len(report.bad)} DAMAGED'}")
    if not report.sound:
        _say(report)
    labels = str(label_file.damage(path))
    if labels:
        print(f"labels DAMAGED: {labels}")
    if report.sound and not labels:
        return 0
    print(f"\nthe rest is usable; `user-gym buffer repair {path}` sets this aside")
    return 1


def _say(report: Report) -> None:
    rows = [(found.group, str(found.first), str(found.segment), str(found.offset), found.reason) for found in report.bad]
    print(table(("GROUP", "FIRST STEP", "SEGMENT", "BYTE", "WHAT"), rows[:_SHOWN]))
    if len(rows) > _SHOWN:
        print(f"... and {len(rows) - _SHOWN} more")


def run_repair(arguments: argparse.Namespace) -> int:
    """Set right what can be, and say what was done."""
    from user_gym.system.buffer import label_file
    from user_gym.system.buffer.store import Store

    path = existing(arguments.path)
    try:
        with Store.open(path, read_only=True) as store:  # opening it to write repairs some of it
            before: Mapping[str, float] = store.stats()
    except WrongRun:  # if it is not ours, opening it to write says so
        _log.warning("the index of %s cannot be read", path)
        before = {}
    with Store.open(path, drop_absent=arguments.drop_absent) as store:
        with Progress("repairing segment", lambda number: f"{number:.0f}") as progress:
            store.repair(progress)
        after = store.stats()
        aside = int(after["quarantined_blocks"] - before.get("quarantined_blocks", 0))
        print(f"{aside} blocks went into quarantine; {int(after['quarantined_blocks'])} are there now")
        known = f"{int(before['transitions'])} before" if before else "not known before"
        print(f"transitions: {known}, {int(after['transitions'])} now")
        labels = str(label_file.repair(path))
        if labels:
            print(f"labels were damaged, and are set aside: {labels}")
    return 0
