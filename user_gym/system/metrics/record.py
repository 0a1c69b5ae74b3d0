"""What a run is doing, as one record. It knows neither who makes it nor where it is shown.

Counters and waits count from the start of the process that makes the record, unless a field says otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from user_gym.errors import WrongRun

FORMAT = 1  # of a record as JSON; another one is refused
BOUNDS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # versions; upper bounds of the staleness histogram, a last bin is open

Made = TypeVar("Made")


class State(StrEnum):
    """What a robot is doing."""

    STARTING = "starting"  # its process starts, or builds its environment
    ACTING = "acting"  # steps and resets
    WAITING = "waiting"  # for room, for the learner, for the buffer's owner or for the first weights
    QUARANTINED = "quarantined"  # kept out after faults, until it is healthy
    GONE = "gone"  # its collector is not there, or does not answer
    ENDED = "ended"  # its collector has done its share


@dataclass(frozen=True, slots=True)
class RobotRecord:
    """One robot and its collector."""

    name: str  # of the collector, unique in a run
    robot: str  # what kind of arm; "" where unknown
    state: State
    heard: float  # s since the epoch: when it handed over steps last, or answered; nan: never
    steps: int  # stored
    episodes: int  # finished
    success_rate: float  # of the latest 20 finished episodes; nan before the first
    intervention_rate: float  # share of the steps of these episodes that a person ordered; nan before the first
    faults: int  # each ended an episode
    utilisation: float  # share of the time that it did not wait; nan where unknown
    staleness: float  # versions that the policy of its newest chunk was behind when it was stored; nan: not known

    @property
    def alive(self) -> bool:
        """Whether its collector is there and answers."""
        return self.state not in (State.GONE, State.ENDED)


@dataclass(frozen=True, slots=True)
class LearnerRecord:
    """The learner."""

    updates: int  # of the whole run
    rate: float  # updates/s since the record before; nan in the first
    ratio: float  # updates per step of the whole run; nan during warm-up
    version: int  # of the weights published last; -1: none
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the last update


@dataclass(frozen=True, slots=True)
class BufferRecord:
    """Where experience is kept, and what is on its way there."""

    transitions: int  # that can be drawn now
    nbytes: float  # in memory; nan where unknown
    queued: float  # chunks that wait to be stored; nan where unknown


@dataclass(frozen=True, slots=True)
class Staleness:
    """By how many versions the policy that acted was behind the newest one, for each step of a policy when it was stored."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)  # steps: up to BOUNDS[0], up to BOUNDS[1] ..., above all
    total: int = 0  # sum over these steps, versions

    @property
    def mean(self) -> float:
        """Versions; nan before the first step."""
        steps = sum(self.counts)
        return self.total / steps if steps else math.nan


@dataclass(frozen=True, slots=True)
class Wait:
    """How long one side has waited for one reason."""

    side: str  # "learner", or a collector's name
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A look at a run."""

    run: str  # its name
    time: float  # s since the epoch
    elapsed: float  # s since the process that makes the record began
    env_steps: int  # of the whole run
    robots: tuple[RobotRecord, ...]
    learner: LearnerRecord
    buffer: BufferRecord
    staleness: Staleness = Staleness()
    waits: tuple[Wait, ...] = ()
    ended: bool = False  # this record is the last one of its process

    @property
    def success_rate(self) -> float:
        """Mean over the robots that have finished an episode; nan before the first."""
        known = [robot.success_rate for robot in self.robots if not math.isnan(robot.success_rate)]
        return sum(known) / len(known) if known else math.nan

    def numbers(self) -> dict[str, float]:
        """All numbers that are finite, by names as "learner/updates", for tools that draw curves."""
        shown: dict[str, float] = {"staleness/mean": self.staleness.mean, "buffer/queued": self.buffer.queued}
        shown |= {"buffer/transitions": self.buffer.transitions, "buffer/bytes": self.buffer.nbytes}
        shown |= {f"learner/{name}": getattr(self.learner, name) for name in ("updates", "rate", "ratio", "version")}
        shown |= {f"agent/{name}": value for name, value in self.learner.metrics.items()}
        for robot in self.robots:
            counted = ("alive", "steps", "episodes", "success_rate", "intervention_rate", "faults", "utilisation", "staleness")
            shown |= {f"robots/{robot.name}/{name}": float(getattr(robot, name)) for name in counted}
        shown |= {f"waits/{wait.side}/{wait.reason}": wait.seconds for wait in self.waits}
        return {name: value for name, value in shown.items() if math.isfinite(value)}

    def to_json(self) -> str:
        """One line of strict JSON; numbers that are not finite become null."""
        return json.dumps({"format": FORMAT} | _finite(asdict(self)), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> RunRecord:
        """What `to_json` wrote. Raises WrongRun for anything else."""
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT:
                raise WrongRun(f"a record of format {raw['format']!r}; this version of user_gym reads {FORMAT}")
            counts = tuple(map(int, raw["staleness"]["counts"]))
            if len(counts) != len(BOUNDS) + 1:
                raise ValueError(f"{len(counts)} bins of staleness")
            metrics = {str(name): _number(value) for name, value in raw["learner"]["metrics"].items()}
            return _made(
                cls, raw,
                robots=tuple(_made(RobotRecord, one, state=State(one["state"])) for one in raw["robots"]),
                learner=_made(LearnerRecord, raw["learner"], metrics=metrics),
                buffer=_made(BufferRecord, raw["buffer"]),
                staleness=_made(Staleness, raw["staleness"], counts=counts),
                waits=tuple(_made(Wait, one) for one in raw["waits"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, WrongRun):
                raise
            raise WrongRun(f"no record of a run: {type(error).__name__}: {error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def _number(value: Any) -> float:
    """A float; null is nan."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _made(kind: type[Made], raw: Mapping[str, Any], **made: Any) -> Made:
    """A record of this kind; fields that are not in `made` are str, int, float or bool, as they are declared."""
    for each in fields(kind):  # pyright: ignore[reportArgumentType]
        if each.name in made:
            continue
        value = raw[each.name]
        if each.type == "float":
            value = _number(value)
        elif type(value).__name__ != each.type:
            raise TypeError(f"{each.name} {value!r} is no {each.type}")
        made[each.name] = value
    return kind(**made)
