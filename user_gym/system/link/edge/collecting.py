"""One robot of an edge: its policy acts where the robot is, with the newest weights that came, network or not.

It knows neither TLS nor files. The policy's class is named on this side alone: `policy_of`.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import entry_points
from threading import Event
from typing import TYPE_CHECKING, Any

from user_gym.core import Builder, Chunk, Policy
from user_gym.core.device import RawSource
from user_gym.errors import UnknownName
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.collector import Collector
from user_gym.system.link.edge.edge import Edge
from user_gym.system.link.identity import names
from user_gym.system.link.raw.marking import Marking
from user_gym.system.link.raw.rows import Labels
from user_gym.system.processes.callables import named
from user_gym.system.quarantine import endure
from user_gym.system.spaces import spec_hash
from user_gym.system.weights import Receiver

if TYPE_CHECKING:
    import gymnasium

GROUP = "user_gym.policies"  # of entry points
_GLANCE = 0.02  # s
_LOOK = 0.1  # s between two looks of a robot that rests
_EPISODES = 10_000_000  # more than one robot has: episode n is seeded by seed + n


def policy_of(path: str) -> Callable[..., Policy]:
    """What makes a policy of an observation and an action space: "module:Class", or the name of an installed entry point.

    Raises:
        BadOption: there is no such callable.
        UnknownName: no distribution has an entry point of this name.
    """
    if ":" in path:
        return named(path)
    found = {point.name: point for point in entry_points(group=GROUP)}
    if path not in found:
        raise UnknownName("policy", path, found, "name one as module:Class")
    return found[path].load()


class Robot:
    """Collects with one env and one policy, of which it is the only user. `facts` may be asked from any thread.

    Args:
        name: one of the edge's.
        env: it is not closed here.
        policy: acts.
        env_id: as in gym.make.
        model: the robot's name as in gym.make(robot=...).
        task: name of the task.
        period: s per step, where info has no "time".
        clock: which clock info["time"] is on.
        seed: of environment, policy and random steps; 0: one that is made of the names of edge and robot.
        random_steps: the first steps take uniform actions.
        steps: to take.

    Attributes:
        taken: steps.
        waited: s that it was kept waiting for the hub, or for room.
    """

    def __init__(
        self,
        name: str,
        env: gymnasium.Env[Any, Any],
        policy: Policy,
        *,
        env_id: str = "",
        model: str = "",
        task: str = "",
        period: float = 0.1,
        clock: str = "sim",
        seed: int = 0,
        random_steps: int = 0,
        steps: int = sys.maxsize,
    ) -> None:
        self.name, self._env, self._policy = name, env, policy
        self._labels = {"robot": model, "task": task, "period": period, "clock": clock, "env_id": env_id}
        self._raw_labels = Labels(robot=model, task=task, env_id=env_id, clock=clock)
        self._seed, self._random_steps, self._steps = seed, random_steps, steps
        self._collector: Collector | None = None
        self._facts: Mapping[str, Any] = {"state": "waits for the hub"}
        self.taken, self.waited = 0, 0.0

    @property
    def facts(self) -> Mapping[str, Any]:
        """How it is, for the edge's beats."""
        collector = self._collector
        counted = {} if collector is None else {"faults": collector.faults, "episode": collector.episodes}
        return {**self._facts, **counted, "waited": round(self.waited, 3), "version": self._policy.version}

    def collect(self, edge: Edge, receiver: Receiver, stop: Event) -> None:
        """Until its steps are taken, `stop` is set, or the hub has enough. Waits for the first weights before that.

        A robot that fails is left alone for a while, longer each time; one that a person stopped stays so.

        Args:
            edge: open, and let in at least once, so that no episode's number is used twice.
            receiver: of the edge and of this policy: made with its spec_hash, so that no other weights are taken.
            stop: end after the step that is being taken.

        Raises:
            UserGymError: the edge has given up, and why; or this robot cannot go on.
        """
        self._facts = {"state": "waits for the first weights"}
        while receiver.newest() is None:
            if edge.failure is not None:
                raise edge.failure
            if edge.outlet.enough or stop.wait(_GLANCE):
                return
        source, env = names.source(edge.name, self.name), self._env
        spaces = spec_hash(env.observation_space, env.action_space)
        builder: Builder = ChunkBuilder(source, spec_hash=spaces, **self._labels)
        recorder = edge.record(self.name, _offered(env), self._raw_labels)
        if recorder is not None:
            builder = Marking(builder, recorder)
        way = _Way(self, edge, stop)
        self._collector = collector = Collector(
            env, self._policy, way, limiter=way, broadcaster=receiver, builder=builder,
            seed=self._seed or _seed(source), random_steps=self._random_steps, episodes=edge.next_episode(self.name),
            max_faults=1,
        )  # fmt: skip
        began = round(time.time(), 3)

        def told(state: str) -> None:
            self._facts = {"state": state, "began": began}

        def rest(seconds: float) -> None:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and not (edge.outlet.enough or stop.wait(_LOOK)):
                if edge.failure is not None:
                    raise edge.failure

        try:
            with recorder or nullcontext():
                endure(collector, stop, lambda: edge.outlet.enough, rest, told, self._steps)
        finally:
            self.taken = collector.env_steps
            self._facts = {"state": "done" if edge.outlet.enough else "stopped", "began": began}


def collect(
    edge: Edge, robot: str, env: gymnasium.Env[Any, Any], policy: Policy, receiver: Receiver, stop: Event, **options: Any
) -> int:
    """Let one robot collect, in this thread; steps taken. `options` are those of `Robot`, all else is as there."""
    made = Robot(robot, env, policy, **options)
    made.collect(edge, receiver, stop)
    return made.taken


def _offered(env: gymnasium.Env[Any, Any]) -> Sequence[RawSource]:
    """What the robot's devices say beyond the observation; nothing where the env does not say."""
    return env.get_wrapper_attr("raw_sources") if env.has_wrapper_attr("raw_sources") else ()


class _Way:
    """The edge's outlet until this robot is to end, and how long the robot waited for permission."""

    def __init__(self, robot: Robot, edge: Edge, stop: Event) -> None:
        self._robot, self._outlet, self._stop = robot, edge.outlet, stop

    def put(self, item: Chunk) -> None:
        """As `Outlet.put`."""
        self._outlet.put(item, self._stop)

    def insert(self, n: int) -> None:
        """As `Permission.insert`."""
        began = time.monotonic()
        try:
            self._outlet.insert(n, self._stop)
        finally:
            self._robot.waited += time.monotonic() - began


def _seed(source: str) -> int:
    """No two robots have the same; the same one always has."""
    return _EPISODES * (1 + int.from_bytes(hashlib.blake2b(source.encode(), digest_size=4).digest()))
