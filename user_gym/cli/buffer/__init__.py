"""`user-gym buffer`: look at stored experience, check it, and move it. One file per kind of subcommand."""

from __future__ import annotations

from typing import Any

from user_gym.cli.buffer import check, copies, info, interchange, prune, show


def add(commands: Any) -> None:
    """Declare the command and its subcommands."""
    parser = commands.add_parser(
        "buffer",
        help="look at stored experience, check it, and move it",
        description="Tools for the folder in which a Buffer keeps experience, such as runs/NAME/buffer. Those that only read "
        "work while a run writes it. Ctrl-C leaves the data whole.",
        epilog="user-gym buffer COMMAND --help says more about one. Exit codes: 0 done; 1 something is damaged; 2 an error.",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (info, check, copies, interchange, prune, show):
        part.add(parts)
