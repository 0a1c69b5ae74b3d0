"""`user-gym edge --serve`: let clients of the hub step environments of this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

from user_gym.cli import json_options

_GLANCE = 0.2  # s


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare those that only serving needs; hub, bundle, name, robot and insecure are the edge's."""
    group = parser.add_argument_group("instead of collecting", "clients of the hub step environments of this machine")
    group.add_argument(
        "--serve",
        action="append",
        default=[],
        metavar="[NAME=][MODULE:]ID",
        help="an environment, and its robot's name (default: robot); again: more",
    )
    group.add_argument(
        "--serve-option",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="of gymnasium.make, for all of them; clients choose none of these",
    )
    group.add_argument("--watchdog", type=float, metavar="S", help="without a word of its client after which a robot holds (5)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or until the hub turns this edge away."""
    from user_gym.cli.edge import tell_drivers
    from user_gym.system.link.edge import Edge, Spool
    from user_gym.system.link.identity.bundle import Bundle
    from user_gym.system.link.remote.host import WATCHDOG, Host
    from user_gym.system.processes.parent import heard

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    bundle = None if arguments.bundle is None else Bundle.load(arguments.bundle)
    with ExitStack() as opened:
        host = Host(_served(arguments), WATCHDOG if arguments.watchdog is None else arguments.watchdog)
        # Nothing is collected, and so nothing waits: but an edge has a spool.
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="user-gym-edge-"))
        spool = opened.enter_context(Spool.open(Path(folder)))
        edge = Edge(
            arguments.hub, spool, bundle=bundle, name=arguments.name, robots=(), stop=lambda by: tell_drivers(),
            facts=lambda: _facts(host.said), insecure=bool(arguments.insecure), host=host,
        )  # fmt: skip
        opened.enter_context(host)
        opened.enter_context(edge)
        served = "; ".join(f"{robot}: {', '.join(ids)}" for robot, ids in host.said["serves"].items())
        print(f"{edge.name} serves {served}", flush=True)
        stop = Event()
        with heard(stop):
            while not stop.wait(_GLANCE):
                if edge.failure is not None:
                    raise edge.failure
    return 130


def _facts(said: Mapping[str, Any]) -> dict[str, Any]:
    """For whoever lists edges: what each robot is served as, and who has it. A lease's own name is a secret of its client."""
    clients = {robot: client for robot, (_, client) in said["leases"].items()}
    return {"serves": {robot: {"ids": ids, "client": clients.get(robot, "")} for robot, ids in said["serves"].items()}}


def _served(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Robot -> what it serves. Raises BadOption, UnknownName."""
    import gymnasium

    from user_gym.errors import BadOption, UnknownName
    from user_gym.system.link.remote.served import CHOICES, Served

    options: dict[str, Any] = {} if arguments.robot is None else {"robot": arguments.robot}
    options |= json_options.read("--serve-option", arguments.serve_option)
    found: dict[str, list[Served]] = {}
    for text in arguments.serve:
        name, equals, path = text.rpartition("=")
        module, _, id = path.rpartition(":")
        try:
            if module:
                import_module(module)
            gymnasium.spec(id)
        except ImportError as error:
            raise BadOption("--serve", text, "[NAME=][MODULE:]ID, of a module that is there", str(error)) from error
        except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound, gymnasium.error.VersionNotFound) as error:
            known = [known for known in gymnasium.registry if "/" in known]
            raise UnknownName("env", id, known, "name the module that registers it, as 'module:Id'") from error
        except gymnasium.error.Error as error:
            raise BadOption("--serve", text, "[NAME=][MODULE:]ID, such as User/PegInsert-real-v0", str(error)) from error
        choices = tuple(choice for choice in CHOICES if choice not in options)
        found.setdefault(name if equals else "robot", []).append(Served(id, options, choices))
    return found
