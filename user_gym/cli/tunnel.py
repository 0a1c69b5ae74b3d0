"""`user-gym tunnel config`: files of WireGuard for a hub and its edges, for what needs IP between them. The link does not."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from user_gym.cli.table import table


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "tunnel", help="let Ray, NCCL or SSH reach a robot's machine", description="See tunnel config --help."
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    config = parts.add_parser(
        "config",
        help="write configurations of WireGuard that fit each other",
        description="Write a file for the hub, which can be dialled, and one for each edge, which cannot. `user-gym edge` does "
        "without: this is for Ray, NCCL, Gloo and SSH, which need IP. Repeated with another --edge it adds that one; keys and "
        "addresses of the others stay. docs/tunnels.md says what was tried.",
    )
    config.add_argument(
        "--hub", required=True, metavar="HOST", help="name or address under which edges reach the hub's machine"
    )
    config.add_argument("--port", type=int, default=51820, metavar="N", help="UDP, open at the hub's firewall (default: 51820)")
    config.add_argument("--edge", action="append", default=[], metavar="NAME", help="a machine that dials; repeat for more")
    config.add_argument("--folder", type=Path, default=Path("tunnel"), metavar="DIR", help="of the files (default: tunnel)")
    config.add_argument(
        "--mesh", action="store_true", help="edges reach each other, too, through the hub: Ray with several edges"
    )
    config.add_argument("--show", action="store_true", help="print the files, with the secret keys in them")
    config.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files; print what to do with them, and no secret unless asked."""
    from user_gym.system.link import tunnel

    made = tunnel.plan(arguments.folder, arguments.hub, arguments.edge, arguments.port, arguments.mesh)
    written = tunnel.write(made, arguments.folder)
    rows = [(machine.name, machine.address, machine.public, str(written[machine.name])) for machine in (made.hub, *made.edges)]
    print(table(("MACHINE", "ADDRESS", "PUBLIC KEY", "FILE"), rows))
    if arguments.show:
        print(*(f"\n--- {written[name]}\n{text}" for name, text in made.texts().items()), sep="")
    print(
        f"\nCopy each file to its machine on a way that you trust. Keep {arguments.folder}, which adds machines\n"
        f"later, where nobody else reads it: who does can be every machine of the tunnel. On each machine, as root:\n"
        f"  apt install wireguard-tools wireguard-go   # wireguard-go: where the kernel has no WireGuard\n"
        f"  wg-quick up ./{tunnel.FILE}                # and wg-quick down ./{tunnel.FILE}\n"
        f"The hub's firewall lets UDP {made.port} in. Then, on an edge: ping {made.hub.address}"
    )
    return 0
