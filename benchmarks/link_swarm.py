"""Many simulated edges of one process: each a connection of its own, with TLS, that brings blocks at a stated rate.

    python -m benchmarks.link_swarm OPTIONS      JSON; says "ready" once all are in, and what was seen at the end

A simulated edge speaks the link's own bytes, without a spool and a robot: what is measured is the hub.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.core import Chunk
from user_gym.errors import PeerLost
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.dialling import dialled
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.greeting import greet
from user_gym.system.link.stream.race import race
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_HUB
from user_gym.system.link.wire.message import Message

_TIMEOUT = 60.0  # s


def blocks(source: str, count: int, nbytes: int) -> list[bytes]:
    """Episodes of one step, whose picture is noise: no codec makes them smaller."""
    rng, encoder, made = np.random.default_rng(abs(hash(source)) % 2**32), Encoder(), []
    for episode in range(count):
        picture = rng.integers(0, 255, (2, nbytes // 2), np.uint8)
        none, one = np.zeros(1, bool), np.ones(1, bool)
        chunk = Chunk(
            source=source, episode=episode, sequence=0, robot="paced", task="paced", kind="policy",
            obs={"camera": picture}, action=np.zeros((1, 6), np.float32), ordered=np.zeros((1, 6), np.float32),
            reward=np.array([episode], np.float32), terminated=none, truncated=one, success=none,
            policy_version=np.zeros(1, np.int64), is_intervention=none, reward_source=("rule",),
            time=np.array([0.1]), wall_time=time.time(),
        )  # fmt: skip
        made.append(encoder.encode(chunk, follows=False).data)
    return made


class Simulated:
    """One edge."""

    def __init__(self, address: str, bundle: Bundle, count: int, nbytes: int, period: float) -> None:
        self._address, self._bundle, self._period = address, bundle, period
        self.source = f"{bundle.name}/robot"
        self._blocks = blocks(self.source, count, nbytes)
        self._sent: dict[int, float] = {}  # episode -> when
        self.latencies: list[float] = []
        self.entered = asyncio.Event()

    async def run(self, go: asyncio.Event, phase: float) -> None:
        """From its dialling until all is acknowledged."""
        while not self.entered.is_set():
            try:
                await self._visit(go, phase)
            except PeerLost:  # many come at once; who is not heard in time dials again, as edges do
                if self.entered.is_set():
                    raise

    async def _visit(self, go: asyncio.Event, phase: float) -> None:
        async with dialled(self._address, self._bundle) as stream:
            hello = {"operator": False, "sources": [self.source], "torn": {}, "weights": False, "held": None}
            await greet(stream, self._bundle.name, hello)
            connection = Connection(stream, Assembly(FROM_HUB), self._deliver)
            self.entered.set()
            await race(connection.run(), self._work(connection, go, phase), self._beat(connection))

    async def _work(self, connection: Connection, go: asyncio.Event, phase: float) -> None:
        await go.wait()
        due = time.monotonic() + phase * self._period
        for episode, data in enumerate(self._blocks):
            await asyncio.sleep(due - time.monotonic())
            due += self._period
            self._sent[episode] = time.monotonic()
            transfer = episode.to_bytes(8, "little") + b"episode."
            connection.send(Message(Kind.BLOCK, {}, {"block": np.frombuffer(data, np.uint8)}), transfer)
        end = time.monotonic() + _TIMEOUT
        while self._sent and time.monotonic() < end:
            await asyncio.sleep(0.05)

    async def _beat(self, connection: Connection) -> None:
        while True:
            connection.send(Message(Kind.BEAT, {"simulated": True}), newest=True)
            await asyncio.sleep(1.0)

    async def _deliver(self, message: Message) -> None:
        if message.kind is Kind.STORED:
            now = time.monotonic()
            self.latencies += [now - self._sent.pop(episode) for _, episode, _ in message.words["stored"]]


async def run(options: dict[str, Any]) -> dict[str, Any]:
    """All of them."""
    bundles = [Bundle.load(Path(path)) for path in options["bundles"]]
    count = int(options["seconds"] / options["period"])
    edges = [Simulated(options["address"], bundle, count, options["nbytes"], options["period"]) for bundle in bundles]
    go, tasks = asyncio.Event(), []
    for k, edge in enumerate(edges):
        tasks.append(asyncio.ensure_future(edge.run(go, (k + options["phase"]) / len(edges))))
        await asyncio.wait({tasks[-1], asyncio.ensure_future(edge.entered.wait())}, return_when=asyncio.FIRST_COMPLETED)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    go.set()
    await asyncio.gather(*tasks)
    return {
        "acknowledged": {edge.source: len(edge.latencies) for edge in edges},
        "latencies": [x for e in edges for x in e.latencies],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
