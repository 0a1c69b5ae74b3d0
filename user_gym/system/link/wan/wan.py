"""A robot's site and a cloud, each a network namespace, and a line between them.

    site 192.168.77.2 -- [router 203.0.113.1] -- line -- cloud 198.51.100.1

From the cloud nobody reaches the site; what the site sends comes from its router's address. Without NAT both see each other.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import asdict
from typing import NamedTuple

from user_gym.errors import Closed, MissingSystem, PeerLost
from user_gym.system.link.wan.device import open_tun
from user_gym.system.link.wan.line import Line
from user_gym.system.link.wan.namespace import Namespace

SITE, CLOUD, ROUTER = "192.168.77.2", "198.51.100.1", "203.0.113.1"  # the latter two: RFC 5737, nobody's
# One mask that holds all three, 192 .. 207: so a device's own route leads everywhere, and none has to be added.
_MASK = "240.0.0.0"
_PATIENCE = 10.0  # s that the forwarder may take to answer


class Carried(NamedTuple):
    """Of one direction, since `open`."""

    carried: int  # bytes of packets
    dropped: int  # packets that found a queue full
    lost: int  # packets that the line lost


class Wan:
    """From `open` to `close`. All methods are thread-safe once it is open, one at a time.

    Args:
        up: from the site to the cloud.
        down: back; None: as `up`.
        nat: the site is behind a router that translates addresses.

    Attributes:
        site, cloud: start processes and open sockets in there.
    """

    def __init__(self, up: Line, down: Line | None = None, *, nat: bool = True) -> None:
        self._lines, self._nat = (up, down or up), nat
        self.site, self.cloud = Namespace(), Namespace()
        self._forwarder: subprocess.Popen[str] | None = None

    def open(self) -> Wan:
        """Build it. Raises MissingSystem where this process may not: see `obstacle`."""
        fds: list[int] = []
        try:
            for place, name, address in ((self.site, "site", SITE), (self.cloud, "cloud", CLOUD)):
                fds.append(place.open().within(lambda name=name, address=address: open_tun(name, address, _MASK)))
            self._forwarder = self._started(fds)
            self._tell("restore")  # answered once it runs
        except OSError as error:
            self.close()
            raise MissingSystem(
                f"no network namespace with a TUN device: {error}; needed: Linux, root (CAP_NET_ADMIN, CAP_SYS_ADMIN) and "
                "/dev/net/tun; link.relay.Relay needs none of it"
            ) from error
        except BaseException:
            self.close()
            raise
        finally:
            for fd in fds:
                os.close(fd)
        return self

    def __enter__(self) -> Wan:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def cut(self) -> None:
        """All packets are lost until `restore`, those under way as well."""
        self._tell("cut")

    def restore(self) -> None:
        """The network is back."""
        self._tell("restore")

    def forget(self) -> None:
        """The site's router is restarted: it knows no connection any more. Without NAT nothing happens."""
        self._tell("forget")

    @property
    def carried(self) -> tuple[Carried, Carried]:
        """From the site to the cloud, and back."""
        up, down = self._tell("count")
        return up, down

    def close(self) -> None:
        """Processes in there go on, without a network. May be called twice."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            with forwarder:  # closes its stdin, and waits
                assert forwarder.stdin is not None
                forwarder.stdin.close()
        self.site.close()
        self.cloud.close()

    def _started(self, fds: list[int]) -> subprocess.Popen[str]:
        public = ROUTER if self._nat else None
        said = {"fds": fds, "public": public, "up": asdict(self._lines[0]), "down": asdict(self._lines[1])}
        command = [sys.executable, "-m", "user_gym.system.link.wan.forwarder", json.dumps(said)]
        return subprocess.Popen(command, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _tell(self, order: str) -> list[Carried]:
        forwarder = self._forwarder
        if forwarder is None or forwarder.stdin is None or forwarder.stdout is None:
            raise Closed("the network is closed; open it first")
        print(json.dumps(order), file=forwarder.stdin, flush=True)
        ready, _, _ = select.select([forwarder.stdout], [], [], _PATIENCE)
        answer = forwarder.stdout.readline() if ready else ""
        if not answer:
            raise PeerLost(f"the network's forwarder did not answer to {order!r} in {_PATIENCE} s; exit {forwarder.poll()}")
        return [Carried(**facts) for facts in json.loads(answer)]


def obstacle() -> str:
    """Why this process cannot make such a network; "" where it can."""
    try:
        with Namespace() as place:
            os.close(place.within(lambda: open_tun("trial", SITE, _MASK)))
    except OSError as error:
        return f"no network namespace with a TUN device here: {error}"
    return ""
