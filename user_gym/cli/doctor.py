"""`user-gym doctor`: what is missing on this machine, for what, and the cure."""

from __future__ import annotations

import argparse
from typing import Any

from user_gym.cli.table import table


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="say what is missing on this machine, and the cure",
        description="Check the robots of the inventory and what each kind of robot, camera and picture needs on this machine. "
        "Exit code 0 if everything is there that the inventory needs, 1 if not.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print all findings. 1 where one is bad or missing that the inventory needs."""
    from user_gym.cli import checkup
    from user_gym.robots import inventory

    findings = checkup.examine(inventory.read())
    rows = [(f.area, f.subject, f.verdict.value, "; ".join(filter(None, (f.words, f.cure)))) for f in findings]
    print(table(("FOR", "WHAT", "", ""), rows))
    wanting = [f.subject for f in findings if f.verdict in (checkup.Verdict.MISSING, checkup.Verdict.BAD)]
    if wanting:
        print(f"\nthe inventory {inventory.path()} cannot be used as it is: {', '.join(wanting)}")
        return 1
    print(f"\nall that the inventory {inventory.path()} needs is there")
    return 0
