"""The process between two namespaces: takes packets out of one TUN device and gives them to the other, late or never.

    python -m user_gym.system.link.wan.forwarder '{"fds": [site, cloud], "public": ADDRESS or null, "up": LINE, "down": LINE}'

A line of JSON on stdin is an order, and is answered with one. It ends with its stdin. A process of its own, so that whoever
is measured does not share an interpreter with it.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from user_gym.system.link.wan.line import Line, Traffic
from user_gym.system.link.wan.nat import Nat

_PACKET = 1 << 16  # bytes; more than the MTU
_AT_ONCE = 64  # packets of one device before the other has its turn
_ORDERS = 0  # stdin


class Forwarder:
    """Until its orders end.

    Args:
        site, cloud: descriptors of TUN devices.
        up, down: from the site to the cloud, and back.
        nat: of the site; None: addresses stay.
    """

    def __init__(self, site: int, cloud: int, up: Line, down: Line, nat: Nat | None) -> None:
        self._nat, self._is_up = nat, True
        self._traffic = {site: Traffic(up), cloud: Traffic(down)}
        self._other = {site: cloud, cloud: site}
        same: Callable[[bytes], bytes | None] = bytes
        self._translate = {site: nat.outward if nat else same, cloud: nat.inward if nat else same}
        self._due: list[tuple[float, int, int, bytes]] = []  # s, order, to where, packet
        self._order = count()
        self._site = site

    def run(self) -> None:
        """Carry."""
        sources = [*self._traffic, _ORDERS]
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            ready, _, _ = select.select(sources, [], [], wait)
            for fd in ready:
                if fd != _ORDERS:
                    self._take(fd)
                elif not self._obey():
                    return
            self._give()

    def _take(self, fd: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(fd, _PACKET)
            except BlockingIOError:
                return
            if not self._is_up:
                continue
            translated = self._translate[fd](packet)
            if translated is None:
                continue
            due = self._traffic[fd].due(len(translated), time.monotonic())
            if due is not None:
                heapq.heappush(self._due, (due, next(self._order), self._other[fd], translated))

    def _give(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, fd, packet = heapq.heappop(self._due)
            if self._is_up:
                try:
                    os.write(fd, packet)
                except BlockingIOError:  # the kernel's queue is full: a packet is lost, as anywhere
                    self._traffic[self._other[fd]].dropped += 1

    def _obey(self) -> bool:
        """Whether it goes on."""
        words = sys.stdin.readline()
        if not words:
            return False
        match json.loads(words):
            case "cut":
                self._is_up = False
            case "restore":
                self._is_up = True
            case "forget" if self._nat is not None:
                self._nat.forget()
        sys.stdout.write(json.dumps(self._facts()) + "\n")
        sys.stdout.flush()
        return True

    def _facts(self) -> list[dict[str, int]]:
        return [{name: getattr(traffic, name) for name in ("carried", "dropped", "lost")} for traffic in self._traffic.values()]


def main(said: Mapping[str, Any]) -> None:
    """As the module says."""
    nat = None if said["public"] is None else Nat(socket.inet_aton(said["public"]))
    site, cloud = said["fds"]
    Forwarder(site, cloud, Line(**said["up"]), Line(**said["down"]), nat).run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
