"""Configurations of WireGuard for what needs IP between machines that do not reach each other: Ray, NCCL, Gloo, SSH.

The link needs none of it. The tunnel is WireGuard's own, in the kernel or in user space (wireguard-go); what is made here are
keys, addresses and files that fit each other: docs/tunnels.md.
"""

from __future__ import annotations

import base64
import configparser
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from user_gym.core import whole
from user_gym.errors import BadBlock, BadOption, MissingExtra
from user_gym.system.link.identity import names, private_file

try:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
except ImportError as error:
    raise MissingExtra("cryptography", "link") from error

FILE = "user-gym.conf"  # wg-quick calls the interface after it
NETWORK, PORT = "10.87.0.0/24", 51820
HUB = "hub"  # the folder of the machine that all others dial
_KEEP_ALIVE = 25  # s; routers forget UDP after 30 s and more (RFC 4787, REQ-5 asks for 120; not all do)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Machine:
    """One end."""

    name: str
    address: str  # inside the tunnel
    private: str  # key of WireGuard, base64
    shared: str = ""  # key that an edge and the hub share besides, base64; "" of the hub

    @property
    def public(self) -> str:
        """The key that the other side knows."""
        key = X25519PrivateKey.from_private_bytes(base64.b64decode(self.private))
        return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A hub that can be dialled, and edges that cannot.

    Raises:
        BadOption: a value that is not allowed.
    """

    endpoint: str  # HOST of the hub, as edges reach it
    hub: Machine
    edges: Sequence[Machine]
    port: int = PORT  # UDP
    mesh: bool = False  # edges reach each other through the hub, too

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.endpoint):
            raise BadOption("host of the hub", self.endpoint, "a name or address")
        whole("port", self.port, 1)
        if self.port > 65535:
            raise BadOption("port", self.port, "1..65535")

    def texts(self) -> Mapping[str, str]:
        """Name of a machine -> its file. It holds secrets."""
        network = ipaddress.ip_network(f"{self.hub.address}/24", strict=False)
        peers = [_peer(edge.public, edge.shared, f"{edge.address}/32", name=edge.name) for edge in self.edges]
        # Packets from edge to edge pass through the hub's kernel, which does not forward unless it is told to.
        forward = "PostUp = sysctl -q -w net.ipv4.conf.%i.forwarding=1\n" if self.mesh else ""
        made = {HUB: _interface(self.hub, f"ListenPort = {self.port}\n{forward}") + "".join(peers)}
        seen = str(network) if self.mesh else f"{self.hub.address}/32"
        for edge in self.edges:
            there = _peer(self.hub.public, edge.shared, seen, f"{self.endpoint}:{self.port}", HUB)
            made[edge.name] = _interface(edge, "") + there
        return made


def plan(folder: Path, endpoint: str, edges: Sequence[str], port: int = PORT, mesh: bool = False) -> Tunnel:
    """The tunnel of a folder, with these edges besides those that are in it already: they keep their keys and addresses.

    Raises:
        BadOption: a name that is not allowed, or no address is left.
        BadBlock: a file of the folder is not one that was made here.
    """
    known = {path.parent.name: _machine(path) for path in sorted(folder.glob(f"*/{FILE}"))}
    hosts = [str(host) for host in ipaddress.ip_network(NETWORK).hosts()]
    hub = known.pop(HUB, None) or Machine(HUB, hosts[0], _new_private())
    for name in edges:
        if names.checked("name of an edge", name) == HUB:
            raise BadOption("name of an edge", name, f"another one: {HUB!r} is the machine that all others dial")
        if name not in known:
            taken = {hub.address, *(edge.address for edge in known.values())}
            free = next((host for host in hosts if host not in taken), None)
            if free is None:
                raise BadOption("number of edges", len(known) + 1, f"{len(hosts) - 1}, the addresses of {NETWORK}")
            known[name] = Machine(name, free, _new_private(), base64.b64encode(os.urandom(32)).decode())
    return Tunnel(endpoint, hub, tuple(known.values()), port, mesh)


def write(tunnel: Tunnel, folder: Path) -> Mapping[str, Path]:
    """One file a machine, mode 600; name -> file. What was there before is replaced."""
    written = {}
    for name, text in tunnel.texts().items():
        path = written[name] = folder / name / FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # of a command that was killed
        private_file.write(fresh, text.encode())
        fresh.replace(path)
    return written


def read(path: Path) -> list[tuple[str, Mapping[str, str]]]:
    """The sections of a file in order, keys in lower case. Raises BadBlock, Unwritable where others can read it."""
    sections: list[tuple[str, Mapping[str, str]]] = []
    text = private_file.read(path).decode(errors="replace")
    for part in re.split(r"(?m)^(?=\[)", text):
        if not part.startswith("["):
            continue
        parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#", delimiters="=")
        try:
            parser.read_string(part)
        except configparser.Error as error:
            what = type(error).__name__  # its words may hold a key
            raise BadBlock(f"file {path}", what, "sections of WireGuard") from None
        (name,) = parser.sections()
        sections.append((name, dict(parser[name])))
    return sections


def _machine(path: Path) -> Machine:
    """As its file says."""
    sections = read(path)
    try:
        (_, own), *peers = sections
        shared = "" if path.parent.name == HUB else peers[0][1]["presharedkey"]
        X25519PrivateKey.from_private_bytes(base64.b64decode(own["privatekey"], validate=True))
        return Machine(path.parent.name, str(ipaddress.ip_interface(own["address"]).ip), own["privatekey"], shared)
    except (ValueError, KeyError, IndexError) as error:
        what = type(error).__name__  # its words may hold a key
        raise BadBlock(f"file {path}", what, "one that user-gym tunnel config wrote", cure="remove it") from None


def _new_private() -> str:
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def _interface(machine: Machine, more: str) -> str:
    return f"# {machine.name}\n[Interface]\nAddress = {machine.address}/24\nPrivateKey = {machine.private}\n{more}"


def _peer(public: str, shared: str, allowed: str, endpoint: str = "", name: str = "") -> str:
    dialled = f"Endpoint = {endpoint}\nPersistentKeepalive = {_KEEP_ALIVE}\n" if endpoint else ""
    return f"\n# {name}\n[Peer]\nPublicKey = {public}\nPresharedKey = {shared}\nAllowedIPs = {allowed}\n{dialled}"
