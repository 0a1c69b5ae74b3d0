"""One trial of the link: a hub and an edge of this process, a bad network between them, and what a robot notices of it.

The policy runs at the edge, as it does by default; `relay.Relay` is the network, so no rights are needed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np

from user_gym.core import real, whole
from user_gym.errors import PeerLost
from user_gym.system.buffer import Buffer
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.edge.collecting import collect
from user_gym.system.link.hub import BufferStore, Hub
from user_gym.system.link.relay import Relay
from user_gym.system.link.trial.paced import PacedCameras, Still
from user_gym.system.weights import Broadcaster, Receiver

_HUB = 30.0  # s that the first connection may take
_FLUSH = 600.0  # s that what is collected may take to be stored, once the robot has ended
_GLANCE = 0.005  # s
_LEARNED = 75_000  # weights that travel before the robot begins, as of two layers of 256


Told = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Network:
    """What is between edge and hub."""

    rtt: float = 0.06  # s there and back
    rate: float | None = 2.5e6  # bytes per second each way; None: no limit
    jitter: float = 0.0  # s, each way
    outage: float = 0.0  # s of silence in the middle of the trial


class Report(NamedTuple):
    """What a trial has shown."""

    episodes: tuple[float, ...]  # s each
    ideal: float  # s an episode takes where every order is there at once
    periods: int
    in_time: int  # periods whose order was there
    steps: int
    lost: int  # steps that are not stored at the end
    doubled: int  # steps that are stored twice or more
    sent: int  # bytes from edge to hub, as the network carried them
    upload: float  # s from the first step until the last was stored
    floor: float  # s that at least takes: as long as the robot, or as the bytes at the network's rate
    round_trip: float | None  # s, as the hub measures it
    reconnected: float | None  # s from the end of the outage until the hub hears the edge again; None: no outage


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try.

    Raises:
        BadOption: a value that is not allowed.
    """

    network: Network
    frequency: float = 10.0  # steps per second
    steps: int = 50  # of an episode
    episodes: int = 3

    def __post_init__(self) -> None:
        real("frequency", self.frequency, 0.1, 1000.0, "steps per second, 0.1..1000")
        whole("steps", self.steps, 1)
        whole("episodes", self.episodes, 1)
        real("rtt", self.network.rtt, 0.0, 10.0, "s, 0..10")
        real("outage", self.network.outage, 0.0, 3600.0, "s, 0..3600")

    def run(self, folder: Path, told: Told = lambda done, total, now: None) -> Report:
        """Take the episodes, and wait until all is stored.

        Args:
            folder: empty, for the hub's buffer and the edge's spool.
            told: of steps stored, steps in all, and what goes on; several times a second.

        Raises:
            PeerLost: the network is too narrow, or too often silent.
        """
        network, published = self.network, Broadcaster()
        env, policy = PacedCameras(self.frequency, self.steps), Still()
        total = self.steps * self.episodes
        with ExitStack() as opened:
            buffer = opened.enter_context(Buffer.open(folder / "buffer"))
            hub = opened.enter_context(Hub(store=BufferStore(buffer), weights=published))
            relay = Relay(f"127.0.0.1:{hub.port}", delay=network.rtt / 2, rate=network.rate, jitter=network.jitter)
            opened.enter_context(relay)
            spool = opened.enter_context(Spool.open(folder / "spool"))
            receiver = Receiver(policy.spec_hash, finite=True)
            edge = opened.enter_context(Edge(relay.address, spool, name="trial", receiver=receiver))
            edge.wait(_HUB)
            published.publish({"w": np.zeros(_LEARNED, np.float32)}, policy.spec_hash)
            wait = _Wait(lambda now: told(len(buffer), total, now))
            wait.until("weights are on their way", lambda: receiver.newest() is not None, _FLUSH)
            before, began = relay.carried[0], time.monotonic()
            with ThreadPoolExecutor(1, "trial-robot") as robot:
                lasts = total / self.frequency
                work = robot.submit(collect, edge, "robot", env, policy, receiver, Event(), steps=total)
                reconnected = self._outage(relay, hub, wait, lasts / 2) if network.outage else None
                wait.until("the robot works", work.done, 10 * lasts + _FLUSH)
                work.result()
            wait.until("the rest travels", lambda: not edge.outlet.under_way, _FLUSH)
            upload, sent = time.monotonic() - began, relay.carried[0] - before
            found = Counter(buffer.read(buffer.numbers()).reward.tolist())
            return Report(
                tuple(env.episodes), self.steps / self.frequency, len(env.periods), sum(env.periods), total,
                sum(float(k) not in found for k in range(total)), sum(count > 1 for count in found.values()),
                sent, upload, max(sum(env.episodes), sent / network.rate if network.rate else 0.0),
                hub.edges()[0].round_trip, reconnected,
            )  # fmt: skip

    def _outage(self, relay: Relay, hub: Hub, wait: _Wait, after: float) -> float:
        """Silence after so many s; returns the s until the hub hears the edge again."""
        wait.until("the robot works", _in(after), _FLUSH)
        relay.cut()
        wait.until("the network is gone", _in(self.network.outage), _FLUSH + self.network.outage)
        silent = _heard(hub)
        relay.restore()
        return wait.until("the network is back", lambda: _heard(hub) != silent, _FLUSH)


class _Wait:
    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def until(self, what: str, ready: Callable[[], bool], timeout: float) -> float:
        """Until it is so; returns how many s that took. Raises PeerLost."""
        began = time.monotonic()
        while not ready():
            self._told(what)
            if time.monotonic() - began > timeout:
                raise PeerLost(f"{what}, for more than {timeout:.0f} s; give the link a higher rate, or the robot a lower one")
            time.sleep(_GLANCE)
        return time.monotonic() - began


def _in(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _heard(hub: Hub) -> tuple[bool, float, int]:
    """Changes with every sign of life."""
    status = hub.edges()[0]
    return status.connected, status.since, status.received if status.connected else 0
