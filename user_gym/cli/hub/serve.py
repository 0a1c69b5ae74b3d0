"""`user-gym hub`: listen for edges until Ctrl-C."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

_GLANCE = 0.2  # s
ADDRESS = "127.0.0.1:5870"
_WITHOUT = {
    "buffer": "edges that collect are refused; robots that edges serve can be stepped",
    "weights": "edges get none, and robots that collect wait for the first ones",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("--listen", default=ADDRESS, metavar="HOST:PORT", help=f"where edges connect (default: {ADDRESS})")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="who may come in, as `hub enroll` made it")
    parser.add_argument("--host", action="append", default=[], metavar="HOST", help="a name under which edges reach this hub")
    parser.add_argument("--buffer", type=Path, metavar="DIR", help="where what they bring is stored")
    parser.add_argument("--raw", type=Path, metavar="DIR", help="where fetched raw episodes go (default: BUFFER-raw)")
    parser.add_argument("--weights", metavar="NAME", help="under which a learner on this host publishes (SharedPublisher)")
    parser.add_argument("--rate", type=float, metavar="BYTES", help="bytes per second of weights to each edge, at most")
    parser.add_argument("--tokens", action="store_true", help="let edges in by their token alone, without a certificate")
    parser.add_argument("--insecure", action="store_true", help="go without TLS off loopback: whoever reaches the port is in")
    parser.add_argument("--period", type=float, default=5.0, metavar="S", help="seconds between two lines (default: 5)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from user_gym.system.buffer import Buffer
    from user_gym.system.link.hub import BufferStore, Hub
    from user_gym.system.link.identity.hub_folder import HubFolder
    from user_gym.system.link.raw import Archive
    from user_gym.system.processes.parent import heard
    from user_gym.system.weights import SharedSubscriber

    _check_way(arguments)
    with ExitStack() as opened:
        store = archive = weights = None
        if arguments.buffer is not None:
            store = BufferStore(opened.enter_context(Buffer.open(arguments.buffer)))
        if (raw := _raw(arguments)) is not None:
            archive = opened.enter_context(Archive.open(raw, most_bytes=None))
        if arguments.weights is not None:
            weights = opened.enter_context(SharedSubscriber(arguments.weights))
        folder = None if arguments.folder is None else HubFolder(arguments.folder)
        hub = Hub(
            arguments.listen, store=store, archive=archive, weights=weights, folder=folder, hosts=arguments.host,
            mutual=not arguments.tokens, insecure=arguments.insecure, rate=arguments.rate,
        )  # fmt: skip
        opened.enter_context(hub)
        print(f"listening at {arguments.listen.rpartition(':')[0]}:{hub.port}", flush=True)
        for name, why in _WITHOUT.items():
            if getattr(arguments, name) is None:
                print(f"no --{name}: {why}", flush=True)
        shown, stop = time.monotonic(), Event()
        with heard(stop):
            while not stop.wait(_GLANCE):
                if hub.failure is not None:
                    raise hub.failure
                if time.monotonic() - shown > arguments.period:
                    shown = time.monotonic()
                    print(line(hub.edges(), hub.full), flush=True)
    return 130


def _check_way(arguments: argparse.Namespace) -> None:
    """Where it listens and who may come in, in the words of the command line. Raises BadOption."""
    from user_gym.errors import BadOption
    from user_gym.system.link.identity.credentials import hosts_of
    from user_gym.system.link.stream.transport import is_loopback

    host, _, port = arguments.listen.rpartition(":")
    if not host or not port.isdecimal():
        raise BadOption("--listen", arguments.listen, f"HOST:PORT of this machine, such as {ADDRESS} or 0.0.0.0:5870")
    if arguments.folder is None and not arguments.insecure and not is_loopback(arguments.listen):
        cure = "user-gym hub enroll makes one; --insecure lets everybody in who reaches the port"
        raise BadOption("--folder", None, f"one with the hub's authority: {arguments.listen} is not loopback", cure)
    if arguments.folder is not None and not arguments.host and not hosts_of(arguments.listen):
        raise BadOption("--host", None, f"the name or address under which edges reach {arguments.listen}; again: more")


def _raw(arguments: argparse.Namespace) -> Path | None:
    """Beside the buffer, where nothing else is said; without one, nothing can be fetched."""
    buffer: Path | None = arguments.buffer
    return arguments.raw or (None if buffer is None else buffer.with_name(f"{buffer.name}-raw"))


def line(edges: Any, full: str) -> str:
    """All edges in few words."""
    if full:
        return f"DISK FULL: {full}"
    from user_gym.cli.table import printable

    parts = [_words(edge) for edge in edges]
    return printable("; ".join(parts)) if parts else "no edge has come yet"


def _words(edge: Any) -> str:
    from user_gym.cli.hub import traffic

    if not edge.connected:
        gone = f"away since {time.strftime('%H:%M:%S', time.localtime(edge.since))}"
        return f"{edge.name}: {gone}, {edge.steps} steps{f', {edge.complaint}' if edge.complaint else ''}"
    version = f"version {edge.version}" if edge.version >= 0 else "no weights yet" if edge.machine.robots else ""
    trip = "" if edge.round_trip is None else f"{1000 * edge.round_trip:.0f} ms"
    size = traffic.step(edge.facts)
    served = [f"{name} {state}" for name, state, _ in traffic.served(edge.facts)]
    parts = *(served or [f"{edge.steps} steps"]), version, trip, size and f"{size} a step", edge.complaint
    return f"{edge.name}: {', '.join(part for part in parts if part)}"
