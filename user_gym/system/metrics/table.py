"""A record as a person reads it: a live table on a terminal, elsewhere a line for each record."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from user_gym.core import real
from user_gym.errors import MissingExtra
from user_gym.system.clock import WALL, Clock
from user_gym.system.metrics.record import BOUNDS, RunRecord, Staleness, State

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEAD = ("ROBOT", "STATE", "HEARD", "STEPS", "EPISODES", "SUCCESS", "BY PERSON", "FAULTS", "UTILISATION", "STALE BY")
_COLOURS = {
    State.STARTING: "yellow", State.ACTING: "green", State.WAITING: "yellow", State.QUARANTINED: "red", State.GONE: "bold red",
    State.ENDED: "",
}  # fmt: skip
_SILENT = 10.0  # s without a record of a run that has not ended: it is said in red


class Table:
    """A `Sink`: a table that is drawn over and over where `stream` is a terminal, else a line for each record.

    Args:
        period: s between two records.
        stream: None: standard output.
        clock: says how old a record is.
    """

    def __init__(self, period: float = 1.0, stream: TextIO | None = None, clock: Clock = WALL) -> None:
        self.period = real("period", period, 0.0, 3600.0, "s, 0 .. 3600")
        self._stream, self._clock = stream or sys.stdout, clock
        self.live = self._stream.isatty()
        self._shown = None

    def open(self) -> None:
        """Raises MissingExtra on a terminal without rich."""
        if not self.live or self._shown is not None:
            return
        try:
            from rich.console import Console
            from rich.live import Live
        except ModuleNotFoundError as error:
            raise MissingExtra((error.name or "rich").partition(".")[0], "viz") from error
        self._shown = Live(console=Console(file=self._stream), auto_refresh=False)  # no thread: it is drawn when there is news
        self._shown.start()

    def write(self, record: RunRecord) -> None:
        """As `Sink.write`."""
        if self._shown is not None:
            self._shown.update(table(record, self._clock.epoch()), refresh=True)
        elif not self.live:
            print(line(record), file=self._stream, flush=True)

    def close(self) -> None:
        """As `Sink.close`; the last table stays on the terminal."""
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.stop()


def line(record: RunRecord) -> str:
    """The record in one line."""
    learner, alive = record.learner, sum(robot.alive for robot in record.robots)
    return "  ".join(
        (
            time.strftime("%H:%M:%S", time.localtime(record.time)),
            f"{record.env_steps} steps",
            f"{alive} of {len(record.robots)} robots",
            f"success {_share(record.success_rate)}",
            f"{learner.updates} updates at {_number(learner.rate)}/s",
            f"version {learner.version}",
            f"stale by {_number(record.staleness.mean)}",
            f"{_number(record.buffer.queued)} queued",
            *(["ended"] if record.ended else []),
        )
    )


def table(record: RunRecord, now: float) -> RenderableType:
    """The whole record, for a rich console; `now` is s since the epoch. Raises MissingExtra."""
    try:
        from rich import box
        from rich.console import Group
        from rich.table import Table as Grid
        from rich.text import Text
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "rich").partition(".")[0], "viz") from error
    age = max(0.0, now - record.time)
    silent = not record.ended and age > _SILENT
    state = "ended" if record.ended else f"silent for {_seconds(age)}" if silent else f"running, seen {_seconds(age)} ago"
    title = Text.assemble((record.run, "bold"), "  ", (state, "bold red" if silent else ""), f"  {record.env_steps} steps")
    robots = Grid(*_HEAD, box=box.SIMPLE_HEAD, pad_edge=False)
    for robot in record.robots:
        name = f"{robot.name} ({robot.robot})" if robot.robot else robot.name
        heard = "never" if math.isnan(robot.heard) else f"{_seconds(max(0.0, now - robot.heard))} ago"
        success, by_person, used = map(_share, (robot.success_rate, robot.intervention_rate, robot.utilisation))
        robots.add_row(
            Text(name), Text(robot.state, _COLOURS[robot.state]), heard, str(robot.steps), str(robot.episodes), success,
            by_person, str(robot.faults), used, _number(robot.staleness),
        )  # fmt: skip
    facts = Grid.grid(padding=(0, 2))
    for name, words in _facts(record):
        facts.add_row(Text(name, "bold"), Text(words))
    return Group(title, robots, facts)


def _facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    learner, buffer = record.learner, record.buffer
    yield (
        "learner",
        f"{learner.updates} updates at {_number(learner.rate)}/s, {_number(learner.ratio)} per step, version {learner.version}",
    )
    if learner.metrics:
        yield "agent", ", ".join(f"{name} {_number(value)}" for name, value in learner.metrics.items())
    memory = "" if math.isnan(buffer.nbytes) else f"{buffer.nbytes / 1e6:.1f} MB in memory, "
    yield "buffer", f"{buffer.transitions} transitions, {memory}{_number(buffer.queued)} chunks queued"
    yield "staleness", _bins(record.staleness)
    if record.waits:
        yield "waited", ", ".join(f"{wait.side} {_seconds(wait.seconds)} for {wait.reason}" for wait in record.waits)


def _bins(staleness: Staleness) -> str:
    steps = sum(staleness.counts)
    if not steps:
        return "no step of a policy is counted yet"
    lows = [0, *(bound + 1 for bound in BOUNDS)]
    names = [str(high) if low == high else f"{low}-{high}" for low, high in zip(lows, BOUNDS, strict=False)] + [f"{lows[-1]}+"]
    bins = (f"{name}: {count / steps:.0%}" for name, count in zip(names, staleness.counts, strict=True) if count)
    return f"{_number(staleness.mean)} versions on average; {', '.join(bins)}"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _seconds(value: float) -> str:
    """Seconds for a person: "12 s", "3 min", "5 h"."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min")):
        if value < limit:
            return f"{value / size:.0f} {unit}"
    return f"{value / 3600:.0f} h"
