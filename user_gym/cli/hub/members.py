"""`user-gym hub enroll`, `revoke` and `members`: bundles for edges, and taking them away."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

# What a bundle is for, by its role.
_NEXT = {
    "edge": (
        "on the robot's machine, to collect: user-gym edge --bundle {} --env ID --policy module:Class",
        "or to let clients step its robot:   user-gym edge --bundle {} --serve ID",
    ),
    "operator": ("where the person is: user-gym hub edges --bundle {}; hub stop, take-over and fetch take it, too",),
    "client": ("in the program: gymnasium.make('User/PegInsert-remote-v0', bundle='{}', edge='EDGE'); docs/remote.md",),
}


def add(parts: Any) -> None:
    """Declare them."""
    enroll = parts.add_parser(
        "enroll",
        help="make a bundle that lets an edge in",
        description="Write a bundle: the file with which an edge proves itself and knows its hub. Copy it to the edge's "
        "machine on a way that you trust, and remove it here. The first bundle also makes the hub's own authority.",
    )
    enroll.add_argument("name", metavar="NAME", help="of the edge")
    _add_folder(enroll)
    enroll.add_argument("--hub", required=True, metavar="HOST:PORT", help="under which the edge reaches the hub")
    enroll.add_argument("--out", type=Path, metavar="FILE", help="the bundle (default: NAME.bundle)")
    enroll.add_argument("--days", type=float, default=365.0, metavar="N", help="until it expires (default: 365)")
    enroll.add_argument("--operator", action="store_true", help="for a person: sees all edges, and may stop their robots")
    enroll.add_argument("--client", action="store_true", help="for a program that steps environments of edges (docs/remote.md)")
    enroll.add_argument("--edges", metavar="A,B", help="of an operator: whose robots it may take over (default: all)")
    _add_quota(enroll)
    enroll.add_argument("--renew", action="store_true", help="in the place of the bundle that this edge has")
    enroll.set_defaults(run=run_enroll)
    revoke = parts.add_parser("revoke", help="an edge may come in no more; within a second it is put out")
    revoke.add_argument("name", metavar="NAME", help="of the edge")
    _add_folder(revoke)
    revoke.set_defaults(run=run_revoke)
    quota = parts.add_parser("quota", help="say how much an edge may bring; within a second it counts")
    quota.add_argument("name", metavar="NAME", help="of the edge")
    _add_folder(quota)
    _add_quota(quota)
    quota.set_defaults(run=run_quota)
    members = parts.add_parser("members", help="list who may come in")
    _add_folder(members)
    members.set_defaults(run=run_members)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="of the hub's authority and books")


def _add_quota(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--most-steps", type=int, metavar="N", help="of an edge: stored, in all (default: no limit)")
    parser.add_argument("--most-bytes", type=int, metavar="N", help="of an edge: of blocks stored, in all (default: no limit)")
    parser.add_argument(
        "--most-rate", type=float, metavar="BYTES", help="of an edge: read from it per second (default: no limit)"
    )


def _quota(arguments: argparse.Namespace) -> Any:
    from user_gym.system.link.identity.quota import Quota

    return Quota(arguments.most_steps, arguments.most_bytes, arguments.most_rate)


def run_quota(arguments: argparse.Namespace) -> int:
    """Give one."""
    from user_gym.system.link.identity.hub_folder import HubFolder

    folder, quota = HubFolder(arguments.folder), _quota(arguments)
    folder.give(arguments.name, quota)
    steps, nbytes = folder.spending().of(arguments.name)
    print(f"{arguments.name} may bring {_limits(quota)}; it has brought {steps} steps, {nbytes} bytes so far")
    return 0


def run_enroll(arguments: argparse.Namespace) -> int:
    """Write a bundle."""
    from user_gym.errors import BadOption
    from user_gym.system.link.identity.hub_folder import HubFolder
    from user_gym.system.link.identity.quota import Quota
    from user_gym.system.link.identity.roster import CLIENT, EDGE, OPERATOR

    if arguments.operator and arguments.client:
        raise BadOption("--client", "together with --operator", "one of the two", "make two bundles")
    out = arguments.out or Path(f"{arguments.name}.bundle")
    # All of it before anything is entered in the books.
    if out.exists():
        raise BadOption("file of a bundle", str(out), "a new one", "choose another --out, or, with --renew, remove it first")
    if not os.access(out.parent, os.W_OK):
        raise BadOption("file of a bundle", str(out), "in a folder that is there and may be written", "make it first")
    role = OPERATOR if arguments.operator else CLIENT if arguments.client else EDGE
    quota = _quota(arguments)
    if arguments.edges and role != OPERATOR:
        raise BadOption("--edges", arguments.edges, "given together with --operator: it is whose robots a person may take over")
    if role != EDGE and quota != Quota():
        raise BadOption("quota", _limits(quota), f"none for one that is enrolled as {role}: only edges bring steps")
    folder = HubFolder(arguments.folder)
    bundle = folder.enroll(
        arguments.name, arguments.hub, days=arguments.days, role=role, renew=arguments.renew,
        edges=arguments.edges.split(",") if arguments.edges else (), quota=quota,
    )  # fmt: skip
    bundle.save(out)
    print(f"{out}: lets {bundle.name} in until {_day(bundle.expires)}; whoever has this file is {bundle.name}")
    for line in _NEXT[role]:
        print(line.format(out.name))
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Take one away."""
    from user_gym.system.link.identity.hub_folder import HubFolder

    HubFolder(arguments.folder).revoke(arguments.name)
    print(f"{arguments.name} may come in no more")
    return 0


def run_members(arguments: argparse.Namespace) -> int:
    """Print a table."""
    from user_gym.cli.table import table
    from user_gym.system.link.identity.hub_folder import HubFolder

    members = HubFolder(arguments.folder).roster.members()
    rows = [(m.name, m.role, _day(m.issued), _day(m.expires), _state(m), _may(m)) for m in members.values()]
    print(
        table(("NAME", "ROLE", "ISSUED", "EXPIRES", "STATE", "MAY BRING"), rows)
        if rows
        else "nobody; user-gym hub enroll makes a bundle"
    )
    return 0


def _may(member: Any) -> str:
    return _limits(member.quota) if member.role == "edge" else ""


def _limits(quota: Any) -> str:
    """A quota in words."""
    limits = ((quota.steps, "steps"), (quota.nbytes, "bytes"), (quota.rate, "bytes a second"))
    return ", ".join(f"{most} {what}" for most, what in limits if most is not None) or "any number"


def _state(member: Any) -> str:
    if member.revoked is not None:
        return f"revoked {_day(member.revoked)}"
    return "expired" if time.time() >= member.expires else "good"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
