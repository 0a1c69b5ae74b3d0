"""A hub with a buffer and edges with spools, in one process, with a bad network between them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from toy_training import chunk

from user_gym.core import Chunk
from user_gym.system.buffer import Buffer
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import BufferStore, Hub
from user_gym.system.link.relay import Relay

TIMEOUT = 20.0  # s
_GLANCE = 0.005  # s


def wait(ready: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Until something is so."""
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, f"not so after {timeout} s"
        time.sleep(_GLANCE)


def episode(edge: str, robot: str, number: int, chunks: int = 3, steps: int = 4, picture: int = 0) -> list[Chunk]:
    """Chunks as a builder makes them: each begins with the observation that the one before ended with."""
    made = []
    for sequence in range(chunks):
        base = 1000 * number + steps * sequence
        obs = {"state": np.arange(base, base + steps + 1, dtype=np.float32)[:, None]}
        if picture:
            noise = np.random.default_rng(base).integers(0, 255, (steps + 1, picture), np.uint8)
            noise[0] = np.arange(picture) % 251
            noise[-1] = noise[0]
            obs["camera"] = noise
        over = np.zeros(steps, bool)
        over[-1] = sequence == chunks - 1
        made.append(
            chunk(
                steps,
                source=f"{edge}/{robot}",
                episode=number,
                sequence=sequence,
                base=base,
                obs=obs,
                truncated=over,
                time=np.arange(1, steps + 1) * 0.1 + sequence,
            )
        )
    return made


class Fleet:
    """A hub's process and its edges', as objects that can be ended and begun again. Everything lies below one folder."""

    def __init__(self, path: Path, hub: Any = None, edge: Any = None, **network: Any) -> None:
        self.path, self._hub_options, self._edge_options = path, hub or {}, edge or {}
        self._stack = ExitStack()
        self._port = 0
        self.edges: dict[str, Edge] = {}
        self._spools: dict[str, Spool] = {}
        self._network = network

    def __enter__(self) -> Fleet:
        self.begin_hub()
        self.relay = self._stack.enter_context(Relay(f"127.0.0.1:{self._port}", **self._network))
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.edges):
            self.end_edge(name)
        self.end_hub()
        self._stack.close()

    def begin_hub(self) -> None:
        self.buffer = Buffer.open(self.path / "buffer", durability="kill")
        self.hub = Hub(f"127.0.0.1:{self._port}", store=BufferStore(self.buffer), **self._hub_options).open()
        self._port = self.hub.port

    def end_hub(self) -> None:
        self.hub.close()
        self.buffer.close()

    def begin_edge(self, name: str = "e1", robots: Any = ("arm",), *, wait_for_hub: bool = True, **options: Any) -> Edge:
        spool = self._spools[name] = Spool.open(self.path / f"spool-{name}", durability="kill", segment_bytes=100_000)
        options = {"name": name, **self._edge_options, **options}
        edge = self.edges[name] = Edge(self.relay.address, spool, robots=robots, **options).open()
        if wait_for_hub:
            edge.wait(TIMEOUT)
        return edge

    def end_edge(self, name: str) -> None:
        self.edges.pop(name).close()
        self._spools.pop(name).close()

    def stored(self, source: str) -> list[float]:
        """The one number that each stored transition of a source carries, in order."""
        view = self.buffer.view(f"source = '{source}'")
        numbers = view.numbers()
        return self.buffer.read(numbers).reward.tolist() if len(numbers) else []

    def check(self, source: str, episodes: int, chunks: int = 3, steps: int = 4) -> None:
        """Nothing is lost, nothing is doubled, and all is in order."""
        wanted = [1000.0 * n + k for n in range(episodes) for k in range(chunks * steps)]
        found = self.stored(source)
        counts = Counter(found)
        assert not [number for number in wanted if number not in counts], "lost"
        assert not [number for number, count in counts.items() if count > 1], "doubled"
        assert found == wanted
