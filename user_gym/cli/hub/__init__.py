"""`user-gym hub`: takes in what edges collect and gives them weights; and says which edges may come in."""

from __future__ import annotations

from typing import Any

from user_gym.cli.hub import fetch, members, operate, serve, take_over


def add(commands: Any) -> None:
    """Declare the command and its subcommands."""
    parser = commands.add_parser(
        "hub",
        help="take in what robots elsewhere collect, and give them weights",
        description="Listen for edges, the machines of robots on other networks: store what they bring in a buffer, and send "
        "them the weights that a learner on this host publishes. Ctrl-C ends it; edges keep what was not acknowledged. "
        "docs/link.md says how the two find and trust each other.",
    )
    serve.add_options(parser)
    parts = parser.add_subparsers(title="commands", metavar="COMMAND")
    members.add(parts)
    operate.add(parts)
    take_over.add(parts)
    fetch.add(parts)
