"""What a run of several processes is: an agent, robots that collect for it, and how far. It knows no file and no process.

The plan comes from the person who starts the run: it may name code. Nothing that arrives over a socket ever does.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from user_gym.core import real, whole
from user_gym.errors import BadOption, UnknownName, UserGymError
from user_gym.system.freshness import Beyond
from user_gym.system.link.identity import names
from user_gym.system.processes.callables import named
from user_gym.system.processes.tables import open_table, record, table, text

BASELINE = "baselines.plan"  # RLPD's, from the checkout
RULE = "rule"  # the reward that environments give themselves
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MORE = {"steps", "tolerance", "checkpoint_seconds", "patience", "hub"}  # what a run that goes on may be given anew


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """What learns. Each callable is "module:name"; all are handed the same options."""

    make: str = f"{BASELINE}:agent"
    """(observation space, action space, options) -> core.Agent"""
    sampler: str = ""
    """(buffer, options) -> system.Sampler; empty: uniform batches. Left out together with `make`: RLPD's. Where the plan has a
    freshness, it is handed `system.Fresh` over the buffer"""
    prepare: str = ""
    """(buffer, options), called before the first robot moves, such as to store demonstrations; empty: nothing. As `sampler`"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """what the callables are handed, beside seed, steps, updates_per_step, learning_starts and batch_size of the plan, and its
    reward where that is another than the rule"""

    def __post_init__(self) -> None:
        for name in ("make", "sampler", "prepare"):
            value = getattr(self, name)
            if not isinstance(value, str) or not (_CALLABLE.fullmatch(value) or (value == "" and name != "make")):
                raise BadOption(f"agent.{name}", value, "a callable as 'package.module:name'")
        if "reward" in open_table("agent.options", self.options):
            cure = "write it beside steps: robots ask for it too"
            raise BadOption("agent.options.reward", self.options["reward"], "an option of the plan", cure)


@dataclass(frozen=True, slots=True)
class CollectorPlan:
    """One robot."""

    name: str
    """its source in the buffer, and the name of its process; unique in the run. Of an edge's robot: as the edge calls it"""
    env: str
    """as in gymnasium.make: "User/PegInsert-sim-v0", or "module:Id" of a module that registers it"""
    edge: str = ""
    """the machine elsewhere whose robot it is, which comes to the run's hub: its source is "EDGE/NAME". Empty: this one"""
    robot: str = ""
    """written into each chunk, and handed to the environment if it is not empty"""
    device: str = ""
    """id of the robot in the inventory of its machine, handed to the environment if it is not empty; on a cluster, this
    collector runs where that robot is, once it is free"""
    task: str = ""
    """written into each chunk"""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """further arguments of gymnasium.make"""
    seed: int = 0
    """of the environment and of exploration; 0: another one for each collector, made of the run's"""
    clock: str = "sim"
    """which clock info["time"] is on"""
    period: float = 0.1
    """s per step, where info has no "time" """

    def __post_init__(self) -> None:
        if self.edge != "":
            names.checked(f"collectors.edge of {self.name!r}", self.edge)
            names.checked(f"collectors.name of edge {self.edge!r}", self.name)
        elif not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or self.name in ROLES:
            allowed = f"1..40 of A-Z a-z 0-9 . _ -, the first a letter or digit, and none of {', '.join(ROLES)}"
            raise BadOption("collectors.name", self.name, allowed)
        for name in ("env", "robot", "device", "task", "clock"):
            text(f"collectors.{name} of {self.name!r}", getattr(self, name), empty=name in ("robot", "device", "task"))
        open_table(f"collectors.kwargs of {self.name!r}", self.kwargs)
        whole(f"collectors.seed of {self.name!r}", self.seed, 0)
        real(f"collectors.period of {self.name!r}", self.period, 1e-6, 3600.0, "s, 1e-6 .. 3600")

    @property
    def source(self) -> str:
        """What its experience is known by."""
        return names.source(self.edge, self.name) if self.edge else self.name


@dataclass(frozen=True, slots=True)
class HubPlan:
    """Where edges come in; as `link.hub.Hub`."""

    listen: str = "127.0.0.1:5870"
    """HOST:PORT"""
    folder: str = ""
    """who may come in, as `user-gym hub enroll` made it; empty: everybody, which is allowed on loopback alone"""
    hosts: tuple[str, ...] = ()
    """names and addresses under which edges reach it, besides that of `listen`"""
    tokens: bool = False
    """let edges in by their token alone, without a certificate"""
    insecure: bool = False
    """go without TLS off loopback: whoever reaches the port is in"""
    rate: float | None = None
    """bytes per second of weights to each edge; left out: no limit"""

    def __post_init__(self) -> None:
        text("hub.listen", self.listen, empty=False)
        text("hub.folder", self.folder, empty=True)
        if isinstance(self.hosts, str) or not all(isinstance(host, str) and host for host in self.hosts):
            raise BadOption("hub.hosts", self.hosts, "a list of names and addresses")
        object.__setattr__(self, "hosts", tuple(self.hosts))
        for name in ("tokens", "insecure"):
            if not isinstance(getattr(self, name), bool):
                raise BadOption(f"hub.{name}", getattr(self, name), "true or false")
        if self.rate is not None:
            real("hub.rate", self.rate, 1.0, math.inf, "bytes per second, 1 or more")


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """How experience is kept; as `Buffer.open` takes it."""

    capacity: int | None = None
    durability: str = "kill"
    cache_bytes: int = 512 << 20
    """of the learner"""
    lossy: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.capacity is not None:
            whole("buffer.capacity", self.capacity, 1)
        if self.durability not in ("power", "kill"):
            raise BadOption("buffer.durability", self.durability, "power or kill")
        whole("buffer.cache_bytes", self.cache_bytes, 0)
        for name, quality in table("buffer.lossy", self.lossy).items():
            if whole(f"buffer.lossy.{name}", quality, 1) > 100:
                raise BadOption(f"buffer.lossy.{name}", quality, "1 .. 100, quality of JPEG")


@dataclass(frozen=True, slots=True)
class FreshnessPlan:
    """How old the policy may be whose steps are learned from; as `Fresh`."""

    limit: float
    """versions that were published since the one that chose a step"""
    beyond: str = Beyond.WAIT
    """what becomes of staler steps: "drop", "down-weight" or "wait" """

    def __post_init__(self) -> None:
        real("freshness.limit", self.limit, 0.0, math.inf, "versions >= 0; inf: none is stale")
        if self.beyond not in tuple(Beyond):
            raise BadOption("freshness.beyond", self.beyond, ", ".join(Beyond))


@dataclass(frozen=True, slots=True)
class Plan:
    """A run."""

    collectors: tuple[CollectorPlan, ...]
    steps: int
    """environment steps of all robots together; each may finish the chunk that it is in"""
    agent: AgentPlan = field(default_factory=AgentPlan)
    buffer: BufferPlan = field(default_factory=BufferPlan)
    freshness: FreshnessPlan | None = None
    hub: HubPlan | None = None
    reward: str = RULE
    """who rewards every robot, in the words that `judge` knows; "rule": its environment"""
    judge: str = f"{BASELINE}:judge"
    """(environment, reward, judging.Seat) -> context of the environment with that reward; it raises before it opens anything.
    Left out: the words of --reward of baselines.rlpd. A function `meant` of the same module, where there is one, says what of a
    reward makes two runs different"""
    updates_per_step: float = 1.0
    tolerance: float = 100.0
    """updates that either side may be ahead; 0: they take turns; inf: no bound"""
    learning_starts: int = 0
    """steps before the first update"""
    random_steps: int = 0
    """the first steps, shared among the robots, take uniform actions"""
    batch_size: int = 256
    publish_every: int = 1
    """updates between two publications of weights"""
    max_seconds: float = 1.0
    """longest chunk, s of robot time"""
    checkpoint_seconds: float = 30.0
    """between two checkpoints of the agent: what a killed learner has to do again"""
    patience: float = 600.0
    """s without a step, an update or a reason to wait, after which a process is killed and started again; inf: never"""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.collectors:
            raise BadOption("collectors", "none", "one [[collectors]] or more")
        sources = [collector.source for collector in self.collectors]
        for source in sources:
            if sources.count(source) > 1:
                raise BadOption("collectors.name", source, "a name that no other collector has")
        if (self.hub is None) == bool(self.edges):
            found = self.hub and "a table, and no collector with an edge"
            allowed = "a table [hub] where a collector has an edge, else none"
            raise BadOption("hub", found, allowed, "docs/processes.md shows a plan with robots elsewhere")
        text("reward", self.reward, empty=False)
        if self.reward != RULE and self.edges:
            allowed = f"{RULE!r} with robots of edges, whose environments reward themselves"
            cure = "leave it out, and give their machines an id whose environment wears user_gym.wrappers.RewardFrom"
            raise BadOption("reward", self.reward, allowed, cure)
        if not isinstance(self.judge, str) or not _CALLABLE.fullmatch(self.judge):
            raise BadOption("judge", self.judge, "a callable as 'package.module:name'")
        whole("steps", self.steps, 1)
        for name, least in (("learning_starts", 0), ("random_steps", 0), ("batch_size", 1), ("publish_every", 1), ("seed", 0)):
            whole(name, getattr(self, name), least)
        real("updates_per_step", self.updates_per_step, 1e-6, 1e6, "updates per step, 1e-6 .. 1e6")
        real("tolerance", self.tolerance, 0.0, math.inf, "updates >= 0; 0: turns; inf: no bound")
        real("max_seconds", self.max_seconds, 1e-3, 3600.0, "s, 0.001 .. 3600")
        real("checkpoint_seconds", self.checkpoint_seconds, 0.0, 86_400.0, "s, 0 .. 86400")
        real("patience", self.patience, 1.0, math.inf, "s >= 1; inf: no bound")

    @property
    def here(self) -> tuple[CollectorPlan, ...]:
        """Collectors of this machine: a process each."""
        return tuple(collector for collector in self.collectors if not collector.edge)

    @property
    def edges(self) -> tuple[CollectorPlan, ...]:
        """Those of machines elsewhere."""
        return tuple(collector for collector in self.collectors if collector.edge)

    def collector(self, source: str) -> CollectorPlan:
        """The collector of this source; on this machine that is its name."""
        for collector in self.collectors:
            if collector.source == source:
                return collector
        raise UnknownName("collector", source, [collector.source for collector in self.collectors])

    def seed_of(self, name: str) -> int:
        """The seed of a collector: no two collectors of a plan that sets none have the same."""
        collector = self.collector(name)
        # Episode n is seeded by seed + n: the distance is more episodes than one robot has in a run.
        return collector.seed or self.seed + 10_000_000 * self.collectors.index(collector)

    @property
    def options(self) -> dict[str, Any]:
        """What the agent's callables are handed."""
        own = {name: getattr(self, name) for name in ("seed", "steps", "updates_per_step", "learning_starts", "batch_size")}
        return own | ({} if self.reward == RULE else {"reward": self.reward}) | dict(self.agent.options)

    @property
    def words(self) -> dict[str, Any]:
        """The plan for JSON; `from_words` is the inverse."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def differences(self, other: Plan) -> list[str]:
        """What keeps a run of the other plan from going on with this one, in words; empty where it may."""
        mine, theirs = self.words, other.words
        same = self.reward == other.reward
        if not same and self.judge == other.judge:  # a judge of another plan is not asked: that would run code it names
            same = self._meant(self.reward) == self._meant(other.reward)
        may = _MORE | ({"reward"} if same else set())
        return [f"{k}={theirs[k]!r} there, {mine[k]!r} here" for k in mine if k not in may and mine[k] != theirs[k]]

    def _meant(self, reward: str) -> str:
        """Who rewards, as the module of the judge means the words, wherever a person is asked; else the words themselves."""
        try:
            return named(f"{self.judge.partition(':')[0]}:meant")(reward)
        except (ImportError, UserGymError):  # it says nothing of that, is not here, or does not know the words
            return reward


# Processes that are no collectors.
OWNER, LEARNER, HUB, SUPERVISOR, PARENT = ROLES = ("owner", "learner", "hub", "supervisor", "parent")
COLLECTOR = "collector"  # the role of all others


def from_words(words: Mapping[str, Any]) -> Plan:
    """The plan that tables of TOML or JSON describe. Raises BadOption and UnknownName, naming the field."""
    words = dict(table("plan", words))
    collectors = words.pop("collectors", ())
    if not isinstance(collectors, (list, tuple)):
        raise BadOption("collectors", collectors, "one [[collectors]] or more")
    made = tuple(record(CollectorPlan, f"collectors[{k}]", one) for k, one in enumerate(collectors))
    if isinstance(agent := words.get("agent", {}), Mapping) and "make" not in agent:
        words["agent"] = {"sampler": f"{BASELINE}:sampler", "prepare": f"{BASELINE}:prepare", **agent}
    for name in ("freshness", "hub"):
        if words.get(name, ...) is None:  # in JSON
            del words[name]
    parts = {"agent": AgentPlan, "buffer": BufferPlan, "freshness": FreshnessPlan, "hub": HubPlan}
    nested = {name: record(kind, name, words.pop(name)) for name, kind in parts.items() if name in words}
    return record(Plan, "", {**words, **nested, "collectors": made})
