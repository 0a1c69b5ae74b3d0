"""What an edge is: its robots, whose policy acts, where data waits. A file on the robot's machine says so; it may name code.

Nothing that comes over the network does. docs/link.md has the options.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from user_gym.core import real, whole
from user_gym.errors import BadOption
from user_gym.system.link.edge.hand import LASTING
from user_gym.system.link.edge.spool import MOST_BYTES
from user_gym.system.link.edge.training_group import TrainingGroup
from user_gym.system.link.identity import names
from user_gym.system.link.raw.archive import MOST_BYTES as RAW_BYTES
from user_gym.system.processes.plan import CollectorPlan
from user_gym.system.processes.tables import record

_PICTURE = re.compile(r"(\d{1,5})x(\d{1,5})")


@dataclass(frozen=True, slots=True)
class RobotPlan:
    """One robot."""

    env: str
    """as in gymnasium.make: "User/PegInsert-real-v0", or "module:Id" of a module that registers it"""
    name: str = "robot"
    """of the robot at this edge: what it collects has the source "EDGE/NAME" """
    robot: str = ""
    """as in gymnasium.make(robot=...), and written into its experience"""
    device: str = ""
    """id of the robot in the inventory of this machine, handed to the environment if it is not empty"""
    task: str = ""
    """written into its experience"""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """further arguments of gymnasium.make"""
    seed: int = 0
    """of environment and exploration; 0: another one for each robot of a fleet, made of the names"""
    clock: str = "sim"
    """which clock info["time"] is on"""
    period: float = 0.1
    """s per step, where info has no "time" """
    random_steps: int = 0
    """the first steps take uniform actions"""
    steps: int = sys.maxsize
    """to take; left out: until the hub has enough"""

    def __post_init__(self) -> None:
        names.checked("robots.name", self.name)
        whole(f"robots.random_steps of {self.name!r}", self.random_steps, 0)
        whole(f"robots.steps of {self.name!r}", self.steps, 1)
        self.collector("edge")

    def collector(self, edge: str) -> CollectorPlan:
        """The same, as a run's plan has it. Raises BadOption."""
        return CollectorPlan(
            self.name, self.env, edge, self.robot, self.device, self.task, self.kwargs, self.seed, self.clock, self.period
        )


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """One edge."""

    robots: tuple[RobotPlan, ...]
    policy: str
    """"module:Class", called with the env's two spaces, or the name of an entry point of the group user_gym.policies"""
    policy_options: Mapping[str, Any] = field(default_factory=dict)
    """further keyword arguments of it"""
    hub: str | None = None
    """HOST:PORT; left out: as the bundle says"""
    bundle: Path | None = None
    """who this edge is, from `user-gym hub enroll`"""
    name: str | None = None
    """of this edge, where there is no bundle: only on loopback"""
    spool: Path = Path("spool")
    """folder of what waits for the hub"""
    spool_bytes: int = MOST_BYTES
    """of it, at most; then robots wait"""
    jpeg: int | None = None
    """quality of all pictures that travel; left out: lossless"""
    rate: float | None = None
    """bytes per second sent, at most"""
    raw_rate: float | None = None
    """of them, bytes per second of raw episodes that somebody fetches, at most"""
    columns: tuple[str, ...] | None = None
    """of the observation, that the policy sees and that travel; left out: all"""
    picture: str | None = None
    """HEIGHTxWIDTH of all pictures, that the policy sees and that travel; left out: as the environment gives them"""
    zstd: bool = False
    """Zstandard may press what travels and what is recorded, where LZ4 gains less"""
    record: bool = True
    """keep what devices say beyond the observation, at full rate and resolution"""
    raw: Path | None = None
    """folder of that; left out: beside the spool, with "-raw" behind its name"""
    raw_bytes: int = RAW_BYTES
    """of it, at most; then the oldest episodes leave"""
    take_over: float = LASTING
    """s that what an operator has seen may be old, for its orders to count; 0: nobody takes over a robot of this edge"""
    insecure: bool = False
    """plain text off loopback: anybody on the way reads and changes it"""

    def __post_init__(self) -> None:
        named = [robot.name for robot in self.robots]
        if not named:
            raise BadOption("robots", "none", "one [[robots]] or more")
        for name in named:
            if named.count(name) > 1:
                raise BadOption("robots.name", name, "a name that no other robot of this edge has")
        if not (isinstance(self.policy, str) and self.policy):
            raise BadOption("policy", self.policy, "a text that is not empty")
        for name in ("spool", "raw"):
            value = getattr(self, name)
            if not isinstance(value, (str, Path)) and (name == "spool" or value is not None):
                raise BadOption(name, value, "a path")
            object.__setattr__(self, name, None if value is None else Path(value))
        _check_way(self)
        if not isinstance(self.policy_options, Mapping):
            raise BadOption("policy_options", self.policy_options, "a table of names and values")
        whole("spool_bytes", self.spool_bytes, 1)
        whole("raw_bytes", self.raw_bytes, 1)
        for name in ("rate", "raw_rate"):
            if (value := getattr(self, name)) is not None:
                real(name, value, 1.0, math.inf, "bytes per second, 1 or more")
        if self.columns is not None:
            if not isinstance(self.columns, (list, tuple)) or not all(isinstance(name, str) for name in self.columns):
                raise BadOption("columns", self.columns, "a list of names")
            object.__setattr__(self, "columns", tuple(self.columns))
        real("take_over", self.take_over, 0.0, 60.0, "s, 0 .. 60; 0: nobody takes over")
        for name in ("zstd", "record"):
            if not isinstance(getattr(self, name), bool):
                raise BadOption(name, getattr(self, name), "true or false")
        _ = self.training  # refuses what cannot be

    @property
    def archive(self) -> Path:
        """Folder of what devices say beyond the observation."""
        return self.raw or self.spool.with_name(f"{self.spool.name}-raw")

    @property
    def training(self) -> TrainingGroup:
        """What of the observation travels, and how. Raises BadOption."""
        sides: tuple[int, int] | None = None
        if self.picture is not None:
            found = _PICTURE.fullmatch(self.picture) if isinstance(self.picture, str) else None
            if found is None:
                raise BadOption("picture", self.picture, "HEIGHTxWIDTH in pixels, such as 64x64")
            sides = int(found[1]), int(found[2])
        return TrainingGroup(self.columns, sides, self.jpeg, self.zstd)


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """An edge whose robots are stepped by clients of the hub, instead of collecting by themselves."""

    serve: tuple[str, ...]
    """each "[NAME=][MODULE:]ID": an environment, and its robot's name; left out: robot"""
    serve_options: Mapping[str, Any] = field(default_factory=dict)
    """of gymnasium.make, for all of them; clients choose none of these"""
    watchdog: float | None = None
    """s without a word of its client after which a robot holds; left out: 5"""
    hub: str | None = None
    bundle: Path | None = None
    name: str | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.serve, str) or not self.serve or not all(isinstance(one, str) for one in self.serve):
            raise BadOption("serve", self.serve, "a list of [NAME=][MODULE:]ID")
        _check_way(self)
        if not isinstance(self.serve_options, Mapping):
            raise BadOption("serve_options", self.serve_options, "a table of names and values")
        if self.watchdog is not None:
            real("watchdog", self.watchdog, 0.0, 3600.0, "s, 0 .. 3600")


def _check_way(plan: EdgePlan | ServingPlan) -> None:
    """What both have: where the hub is, and who this edge is."""
    for name in ("hub", "name"):
        value = getattr(plan, name)
        if value is not None and not (isinstance(value, str) and value):
            raise BadOption(name, value, "a text that is not empty")
    if not isinstance(plan.bundle, (str, Path)) and plan.bundle is not None:
        raise BadOption("bundle", plan.bundle, "a path")
    object.__setattr__(plan, "bundle", None if plan.bundle is None else Path(plan.bundle))
    if not isinstance(plan.insecure, bool):
        raise BadOption("insecure", plan.insecure, "true or false")


def serving(words: Mapping[str, Any]) -> ServingPlan:
    """The same of an edge that serves. Raises BadOption and UnknownName."""
    return record(ServingPlan, "", words, "option of an edge that serves")


def from_words(words: Mapping[str, Any]) -> EdgePlan:
    """The edge that tables of TOML describe. Raises BadOption and UnknownName, naming the field and what is allowed."""
    words = dict(words)
    robots = words.pop("robots", ())
    if not isinstance(robots, (list, tuple)):
        raise BadOption("robots", robots, "one [[robots]] or more, in double brackets")
    made = tuple(record(RobotPlan, f"robots[{k}]", one, "option of an edge") for k, one in enumerate(robots))
    return record(EdgePlan, "", {**words, "robots": made}, "option of an edge")


def read(path: Path) -> dict[str, Any]:
    """The tables of a file. Raises BadOption where there are none."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadOption("configuration of an edge", str(path), "a file that can be read", str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption("configuration of an edge", str(path), "a file of TOML", str(error)) from error
