"""The counters of a run, with one authority: steps and episodes of each robot, updates, and who may go on. It knows no socket.

Steps are counted in the buffer, so that what was acknowledged is counted, whatever was killed. What the buffer does not tell,
or not any more after pruning, lies in owner.json: at most a second old, and never needed for a step to be safe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from user_gym.core import Acknowledgement, Chunk
from user_gym.errors import Gone, NoSpace
from user_gym.system.atomic_file import read_json, write_json
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.block import Block
from user_gym.system.metrics.tally import Counted, Stored, Tally
from user_gym.system.processes.journal import say
from user_gym.system.processes.plan import Plan
from user_gym.system.ratelimit import LimiterState, SamplesPerInsert

_EVERY = 1.0  # s between two writes of the counters
_MOST = 1 << 60  # for JSON: no bound


@dataclass
class Robot:
    """What is counted for one source."""

    steps: int = 0  # stored
    episodes: int = 0  # finished
    next_episode: int = 0  # above all that are stored
    upto: int = 0  # number of the transition behind the newest that is counted here
    success: int = 0  # of the finished ones
    staleness: float = 0.0  # versions that the policy of the newest chunk was behind the newest then
    ended: bool = False  # it will not come again
    running: list[float] = field(default_factory=lambda: [-1, 0])  # episode, and whether it has succeeded so far


class Ledger:
    """Thread-safe.

    Args:
        plan: of the run.
        path: of owner.json.
    """

    def __init__(self, plan: Plan, path: Path) -> None:
        self.plan, self._path = plan, path
        self.limiter = SamplesPerInsert(plan.updates_per_step, plan.tolerance, plan.learning_starts)
        self.robots = {collector.source: Robot() for collector in plan.collectors}
        self.version, self.learned = -1, False
        self.form = ""  # names, shapes and dtypes of what is seen and done
        self._tally = Tally()  # of what this process has stored
        self._lock = RLock()
        self._ever = 0  # transitions that the buffer had been given when these counters were right
        self._written = -math.inf

    def load(self, buffer: Buffer) -> None:
        """Go on where the run was."""
        kept = self._kept()
        self.version = kept.get("version", -1)
        ever = int(buffer.stats()["transitions_ever"])
        trusted = kept.get("ever", 0) <= ever  # else the index was made anew, and counts otherwise
        for name, robot in self.robots.items():
            for key, value in kept.get("robots", {}).get(name, {}).items():
                setattr(robot, key, value)
            view = buffer.view(f"kind = 'policy' AND source = '{name}'")
            robot.steps = robot.steps + len(view.numbers(robot.upto)) if trusted else max(robot.steps, len(view))
            robot.upto = ever
            newest = newest_of(buffer, name)
            if newest is not None:
                robot.next_episode = max(robot.next_episode, newest.episode + 1)
                self.version = max(self.version, int(newest.policy_version.max()))
        self.form = kept.get("form", "")
        self._ever = ever
        self.limiter.restore(LimiterState(self.steps, kept.get("updates", 0)))
        if not self.enough:  # the run was given more steps
            for robot in self.robots.values():
                robot.ended = False
        self.keep()

    def _kept(self) -> dict[str, Any]:
        """What was written last; nothing where that cannot be read, as after the power went."""
        try:
            kept = read_json(self._path)
            if kept is None or isinstance(kept, dict):
                return kept or {}
            why = f"{type(kept).__name__} is no table"
        except ValueError as error:
            why = str(error)
        say(f"{self._path} is damaged: {why}; all is counted anew in the buffer, which does not tell what was pruned from it")
        return {}

    def write(self) -> None:
        """Keep the counters. Raises NoSpace: older ones stay, which the buffer completes."""
        with self._lock:
            robots = {name: dataclasses.asdict(robot) for name, robot in self.robots.items()}
            words = {"ever": self._ever, "robots": robots, "updates": self.updates, "version": self.version, "form": self.form}
            self._written = time.monotonic()
            write_json(self._path, words, durable=False)

    def keep(self) -> None:
        """As `write`, where nothing is lost without: a full disk is said, and no more."""
        try:
            self.write()
        except NoSpace as error:
            say(str(error))

    @property
    def steps(self) -> int:
        """Stored, of all robots."""
        with self._lock:
            return sum(robot.steps for robot in self.robots.values())

    @property
    def updates(self) -> int:
        """Of the learner, as it said last."""
        return self.limiter.state().sampled

    @property
    def enough(self) -> bool:
        """Whether the run has all its steps."""
        return self.limiter.state().inserted >= self.plan.steps

    @property
    def closed(self) -> bool:
        """Whether no more steps come."""
        return self.enough and all(robot.ended for robot in self.robots.values())

    def fits(self, form: str) -> bool:
        """Whether spaces are those of the run; the first ones are."""
        with self._lock:
            self.form = self.form or form
            return self.form == form

    def stored(self, block: Block, answer: Acknowledgement) -> None:
        """A block of a robot is in the buffer."""
        with self._lock:
            robot = self.robots[block.head.source]
            robot.next_episode = max(robot.next_episode, block.head.episode + 1)
            if not answer.repeated:
                robot.steps += answer.steps
                robot.upto = answer.first + answer.steps
                self._ever = max(self._ever, robot.upto)
                self._judge(robot, block)
                self._insert(answer.steps)
            if time.monotonic() - self._written > _EVERY:
                self.keep()

    def _insert(self, steps: int) -> None:
        with contextlib.suppress(TimeoutError):  # they count all the same; `room` says who has to wait
            self.limiter.insert(steps, timeout=0)

    def _judge(self, robot: Robot, block: Block) -> None:
        stored = _counted(block)
        self._tally.add(stored, self.version, time.time())
        staleness = self._tally.sources[stored.source].staleness
        robot.staleness = robot.staleness if math.isnan(staleness) else staleness
        success = stored.success or (robot.running[0] == stored.episode and bool(robot.running[1]))
        robot.running = [stored.episode, success]
        if stored.over:
            robot.episodes += 1
            robot.success += success

    def end(self, name: str) -> None:
        """A robot has let go for good. Safe before it returns. Raises NoSpace: it has not, then."""
        with self._lock:
            before, self.robots[name].ended = self.robots[name].ended, True
            try:
                self.write()
            except NoSpace:
                self.robots[name].ended = before
                raise

    def learner(self, updates: int, version: int) -> None:
        """How far the learner is."""
        with self._lock:
            self.version = max(self.version, version)
            if updates != self.updates:
                self.limiter.reached_updates(updates)

    def room(self, sharers: int) -> dict[str, Any]:
        """What a collector is told."""
        with self._lock:
            room = self.limiter.room
            left = self.plan.steps - self.limiter.state().inserted
            # One less than is left: who has as many under way waits to hear that it was enough.
            share = -1 if room < 0 else max(0, int(min(room, left - 1, _MOST))) // max(1, sharers)
            return {"room": share, "enough": self.enough}

    def permission(self) -> dict[str, Any]:
        """What the learner is told."""
        with self._lock:
            allowed = self.limiter.allowed
            target = self.plan.updates_per_step * max(0, self.steps - self.plan.learning_starts)
            return {
                "allowed": int(min(allowed, _MOST)),
                "target": math.floor(target + 1e-6),
                "inserted": self.limiter.state().inserted,
                "closed": self.closed,
            }

    def _latest(self, name: str) -> dict[str, float | None]:
        """Shares of a robot's latest episodes; None before the first that this process has seen the end of."""
        seen = self._tally.sources.get(name) or Counted()
        return {"success_rate": _finite(seen.success_rate), "intervention_rate": _finite(seen.intervention_rate)}

    @property
    def facts(self) -> dict[str, Any]:
        """For the status."""
        with self._lock:
            waited, staleness = self.limiter.waited, self._tally.staleness
            return {
                "steps": self.steps,
                "of": self.plan.steps,
                "updates": self.updates,
                "version": self.version,
                "owed": self.limiter.owed,
                "ratio": _finite(self.limiter.reached),
                "collectors_waited": round(waited[0], 3),
                "staleness": {"counts": list(staleness.counts), "total": staleness.total},
                "robots": {name: dataclasses.asdict(robot) | self._latest(name) for name, robot in self.robots.items()},
            }


def _counted(block: Block) -> Stored:
    head = block.head
    by_person, success = (int(np.count_nonzero(head.light(name))) for name in ("is_intervention", "success"))
    over = bool(head.light("terminated")[-1] or head.light("truncated")[-1])
    return Stored(head.source, head.episode, by_person, success > 0, over, head.light("policy_version"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def newest_of(buffer: Buffer, source: str) -> Chunk | None:
    """The chunk of a source that came last; None: there is none."""
    view = buffer.view(f"source = '{source}'")
    while len(numbers := view.numbers()):
        try:
            return buffer.chunk(int(numbers[-1]))
        except Gone:
            continue  # found damaged just now: it is not in the view any more
    return None
