"""`user-gym bench`: how good something of this machine is, measured."""

from __future__ import annotations

from typing import Any

from user_gym.cli.bench import link


def add(commands: Any) -> None:
    """Declare the command and its subcommands."""
    parser = commands.add_parser(
        "bench", help="measure what a network does to a robot", description="Measure, and say what was seen."
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    link.add(parts)
