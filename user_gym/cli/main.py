"""Entry point of `user-gym`: finds the command, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 the command says no, as `doctor` where something is missing; 2 a wrong argument or an error; 130 Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from user_gym import __version__
from user_gym.cli import approve, bench, buffer, devices, doctor, edge, hub, run, stop, tunnel, twin, watch
from user_gym.cli.parser import Parser
from user_gym.errors import UserGymError

# What a disk says to who writes a file: full, read-only, not allowed, no folder. Other OSErrors are ours, and show their trace.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EIO)
COMMANDS = (devices, doctor, twin, stop, approve, run, edge, hub, watch, buffer, bench, tunnel)


def parser() -> Parser:
    """The whole command line. Builds fast: no command imports what it needs before it runs."""
    root = Parser(
        prog="user-gym",
        description="Robots of this machine: what there is, what is missing, twins to try everything on, and how to stop; "
        "and the experience that runs keep.",
        epilog="user-gym COMMAND --help says more about one.",
    )
    root.add_argument("--version", action="version", version=f"user-gym {__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program's name; None: those of this process.

    Returns:
        The exit code.
    """
    chosen = parser().parse_args(arguments)
    if arguments is None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where policies and environments that are named may lie; last, so that it hides nothing
    try:
        code = chosen.run(chosen)
        sys.stdout.flush()
        return code
    except UserGymError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
