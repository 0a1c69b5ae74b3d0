"""One end of a link as a process: a hub with its buffer, or an edge with a robot that only waits. Told what to do on stdin.

    python -m benchmarks.link_end hub|edge OPTIONS      both JSON; then an order a line, and a line for each answer

Clocks of both are the machine's monotonic one, so times can be compared.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from user_gym.core import Chunk
from user_gym.system.buffer import Buffer
from user_gym.system.channel import Channel
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.collector import Collector
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.edge.collecting import collect
from user_gym.system.link.hub import BufferStore, Hub
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.system.link.remote.host import Host
from user_gym.system.link.remote.served import Served
from user_gym.system.link.trial.paced import ACTIONS, PacedCameras, Still
from user_gym.system.weights import Broadcaster, Receiver

LEARNED = 75_000  # weights, as of two layers of 256
TIMEOUT = 300.0  # s
FAR = "PacedCameras-v0"  # what the edge serves to a policy that is far away
_GLANCE = 0.002  # s

Facts = dict[str, Any]


class HubEnd:
    """The learner's side; it publishes weights once a second."""

    def __init__(self, options: Facts, opened: ExitStack) -> None:
        self._buffer = opened.enter_context(Buffer.open(Path(options["buffer"])))
        self._published = Broadcaster()
        folder = HubFolder(Path(options["folder"]))
        hub = Hub(options["address"], store=BufferStore(self._buffer), weights=self._published, folder=folder)
        self._hub = opened.enter_context(hub)
        self._publish()

    @property
    def ready(self) -> Facts:
        """What the parent is told first."""
        return {"port": self._hub.port}

    def _publish(self) -> None:
        self._published.publish({"w": np.random.default_rng().normal(size=LEARNED).astype(np.float32)}, Still.spec_hash)
        again = threading.Timer(1.0, self._publish)
        again.daemon = True
        again.start()

    def far(self, edge: str, steps: int, chunk: int) -> Facts:
        """An episode whose policy is here: so many actions a message, and the answer brings what was seen meanwhile."""
        policy = Still()
        env = RemoteEnv(self._hub, edge, FAR, channel="network", timeout=TIMEOUT, reset_timeout=TIMEOUT)
        with closing(env):
            began = time.monotonic()
            obs, info = env.reset()
            for _ in range(steps // chunk):
                action = policy.act(obs).actions[0]
                obs, _, _, _, info = env.step(action) if chunk == 1 else env.step_chunk([action] * chunk)[-1]
            return {"seconds": time.monotonic() - began, "in_time": info["in_time"], "periods": info["periods"]}

    def heard(self, edge: str, timeout: float, anew: bool) -> Facts:
        """When the edge is heard next; anew: on another connection than that of now."""
        before, end = self._life(edge, anew), time.monotonic() + timeout
        while (now := self._life(edge, anew)) in (before, ()) and time.monotonic() < end:
            time.sleep(_GLANCE)
        return {"at": time.monotonic(), "is": now not in (before, ())}

    def _life(self, edge: str, anew: bool) -> tuple[float, ...]:
        """Changes with every sign of life, or with every connection."""
        found = [status for status in self._hub.edges() if status.name == edge and status.connected]
        return tuple(x for s in found for x in ((s.since,) if anew else (s.since, s.received)))

    def stored(self) -> Facts:
        """The number of every step that is stored."""
        return {"steps": [int(x) for x in self._buffer.read(self._buffer.numbers()).reward]}

    def status(self, edge: str) -> Facts:
        """As the hub sees it."""
        status = next(status for status in self._hub.edges() if status.name == edge)
        return {
            "received": status.received,
            "blocks": status.blocks,
            "repeated": status.repeated,
            "round_trip": status.round_trip,
        }


class EdgeEnd:
    """The robot's side."""

    def __init__(self, options: Facts, opened: ExitStack) -> None:
        pictures = options.get("pictures")
        self._pictures = None if pictures is None else np.load(pictures)
        self._spool = opened.enter_context(Spool.open(Path(options["spool"])))
        self._receiver = Receiver(Still.spec_hash, finite=True)
        bundle = Bundle.load(Path(options["bundle"]))
        journal = options.get("journal")
        if journal is not None:
            _note_steps(self._spool, Path(journal))
        self._env = PacedCameras(pictures=self._pictures)
        served = Served(FAR, make=lambda env_id, **options: _Newest(lambda: self._env))
        host = opened.enter_context(Host({"robot": [served]}, watchdog=TIMEOUT))
        self._edge = Edge(options.get("address"), self._spool, bundle=bundle, receiver=self._receiver, host=host)
        opened.enter_context(self._edge)
        self._stop = threading.Event()
        self._collecting: threading.Thread | None = None
        self._after: list[Callable[[], Facts]] = []

    @property
    def ready(self) -> Facts:
        """What the parent is told first."""
        return {}

    def wait(self) -> Facts:
        """Until the hub has let this edge in."""
        self._edge.wait(TIMEOUT)
        return {}

    def robot(self, frequency: float, steps: int, first: int = 0) -> Facts:
        """Another robot."""
        self._env = PacedCameras(frequency, steps, self._pictures, first)
        return {}

    def near(self, steps: int) -> Facts:
        """An episode whose policy is here; and how long until all of it is stored at the hub."""
        before, began = self._spool.nbytes, time.monotonic()
        assert not before
        collect(self._edge, "robot", self._env, Still(), self._receiver, threading.Event(), steps=steps, task="paced")
        over = time.monotonic()
        assert self._edge.flush(TIMEOUT)
        return {**self._shown(), "upload": time.monotonic() - began, "tail": time.monotonic() - over}

    def local(self, steps: int, folder: str) -> Facts:
        """The same without any link: what is collected goes to a buffer on this machine."""
        channel: Channel[Chunk] = Channel(64)
        builder = ChunkBuilder("local/robot", "", "paced")
        with Buffer.open(Path(folder)) as buffer:

            def drain() -> None:
                for _ in range(steps):
                    chunk = channel.get()
                    buffer.append(chunk)
                    if chunk.truncated[-1]:
                        return

            thread = threading.Thread(target=drain)
            thread.start()
            newest = Broadcaster()
            newest.publish({"w": np.zeros(LEARNED, np.float32)}, Still.spec_hash)
            collector = Collector(self._env, Still(), channel, limiter=_Always(), broadcaster=newest, builder=builder)
            collector.run(threading.Event(), steps)
            thread.join()
        return self._shown()

    def begin(self, frequency: float, first: int) -> Facts:
        """Collect until `end`."""
        self._env = PacedCameras(frequency, 50, self._pictures, first)
        self._stop.clear()

        def run() -> None:
            collect(self._edge, "robot", self._env, Still(), self._receiver, self._stop, task="paced")

        self._collecting = threading.Thread(target=run)
        self._collecting.start()
        return {}

    def end(self, timeout: float) -> Facts:
        """Hold, and wait until all is stored."""
        assert self._collecting is not None
        self._stop.set()
        self._collecting.join()
        if self._edge.failure is not None:
            raise self._edge.failure
        return {"flushed": self._edge.flush(timeout), "in_time": sum(self._env.periods), "periods": len(self._env.periods)}

    def send(self, blocks: int) -> Facts:
        """A backlog of so many s of pictures; how long until it is stored, from the moment it lies there."""
        self._env = PacedCameras(1e4, 10 * blocks, self._pictures)
        builder = ChunkBuilder(f"{self._edge.name}/robot", "", "paced")
        obs, _ = self._env.reset()
        builder.start(obs, self._edge.next_episode("robot"))
        began = time.monotonic()
        for _ in range(10 * blocks):
            action = np.zeros(ACTIONS, np.float32)
            obs, reward, terminated, truncated, info = self._env.step(action)
            chunk = builder.add(action, reward, terminated, truncated, info, obs, 0)
            if chunk is not None:
                self._edge.outlet.put(chunk)
        assert self._edge.flush(TIMEOUT)
        return {"seconds": time.monotonic() - began}

    def _shown(self) -> Facts:
        env = self._env
        return {"seconds": env.episodes[-1], "in_time": sum(env.periods), "periods": len(env.periods)}


class _Newest(gymnasium.Env[Any, Any]):
    """The robot of now, for a policy that is far away."""

    def __init__(self, now: Callable[[], PacedCameras]) -> None:
        self._now = now
        self.observation_space, self.action_space = now().observation_space, now().action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """As gymnasium.Env."""
        obs, info = self._now().reset(seed=seed)
        return obs, {**info, **self._periods}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As gymnasium.Env."""
        obs, reward, terminated, truncated, info = self._now().step(action)
        return obs, reward, terminated, truncated, {**info, **self._periods}

    @property
    def _periods(self) -> dict[str, int]:
        periods = self._now().periods
        return {"in_time": sum(periods), "periods": len(periods)}


class _Always:
    def insert(self, n: int) -> None:
        """Go on."""


def _note_steps(spool: Spool, journal: Path) -> None:
    """Write down which steps the spool has promised to keep, before the robot hears of it."""
    append = spool.append
    file = journal.open("a", buffering=1)

    def noted(block: Any, *arguments: Any) -> Any:
        result = append(block, *arguments)
        file.write(" ".join(str(int(x)) for x in block.head.light("reward")) + "\n")
        return result

    spool.append = noted  # pyright: ignore[reportAttributeAccessIssue]


def main(role: str, options: Mapping[str, Any]) -> None:
    """Obey until stdin ends."""
    logging.basicConfig(format=f"{role} %(asctime)s %(message)s", level=options.get("level", "ERROR"))
    with ExitStack() as opened:
        end = {"hub": HubEnd, "edge": EdgeEnd}[role](dict(options), opened)
        print(json.dumps(end.ready), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(getattr(end, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
