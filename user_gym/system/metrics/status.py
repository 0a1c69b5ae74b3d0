"""The status file of a run of several processes, as a record. It reads what their supervisor wrote, and asks nobody.

What that file does not tell is not known here either, as the buffer's memory. Success is of all finished episodes until the
owner of the buffer has seen one end since it began.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from user_gym.errors import WrongRun
from user_gym.system.metrics.record import BufferRecord, LearnerRecord, RobotRecord, RunRecord, Staleness, State, Wait
from user_gym.system.processes.plan import LEARNER, OWNER, ROLES

_OVER = ("finished", "stopped", "failed")
_STATES = {  # how the first word of a process's own state is read; others are acting
    "builds": State.STARTING,
    "starts": State.STARTING,
    "waits": State.WAITING,
    "quarantined": State.QUARANTINED,
    "halted": State.QUARANTINED,
    "done": State.ENDED,
    "left": State.ENDED,  # of an edge's robot
    "away": State.GONE,  # of an edge's robot
}


def read(path: Path) -> RunRecord:
    """The record of a status file. Raises WrongRun where it is none, FileNotFoundError."""
    try:
        if not (text := path.read_bytes()).strip(b"\0 \n"):
            raise WrongRun(f"{path} is empty, as after the power went; the run writes it anew when it goes on: user-gym run")
        words = json.loads(text)
        processes = words["processes"]
        owner, learner = processes[OWNER], processes[LEARNER]
        counted = owner.get("robots", {})
        names = [name for name in processes if name not in ROLES]
        over = words["state"] in _OVER
        robots = tuple(_robot(name, processes[name], counted.get(name, {}), words["time"], over) for name in names)
        return RunRecord(
            run=Path(words["run"]).name, time=float(words["time"]), elapsed=math.nan, ended=over,
            env_steps=int(owner.get("steps", 0)), robots=robots,
            learner=LearnerRecord(
                updates=int(learner.get("updates", 0)), rate=math.nan, ratio=_known(owner.get("ratio")),
                version=int(learner.get("version", -1)),
                metrics={str(name): float(value) for name, value in learner.get("metrics", {}).items()},
            ),
            buffer=BufferRecord(
                int(owner.get("transitions", 0)), math.nan, float(sum(int(processes[name].get("queued", 0)) for name in names))
            ),
            staleness=_staleness(owner.get("staleness")),
            waits=(
                *(Wait(name, "learner", float(processes[name].get("waited", 0.0))) for name in names),
                Wait("learner", "steps", float(learner.get("waited", 0.0))),
            ),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WrongRun):
            raise
        raise WrongRun(f"{path} is no status of a run: {type(error).__name__}: {error}") from error


def _robot(name: str, process: Mapping[str, Any], counted: Mapping[str, Any], time: float, over: bool) -> RobotRecord:
    episodes, steps = int(counted.get("episodes", 0)), int(counted.get("steps", 0))
    if over:
        state = State.ENDED
    else:
        first = str(process["state"]).split(" ")[0]
        here = "edge" in process or process["pid"] is not None  # a robot of an edge has its process elsewhere
        state = _STATES.get(first, State.ACTING) if here or first == "done" else State.GONE
        if state is State.ACTING and (process.get("waits") or process.get("outbox")):
            state = State.WAITING
    recent, began = counted.get("success_rate"), process.get("began")
    overall = int(counted["success"]) / episodes if episodes else math.nan
    waited = float(process.get("waited", 0.0))
    return RobotRecord(
        name=name, robot=str(process.get("robot", "")), state=state, heard=time - float(process["silent"]), steps=steps,
        episodes=episodes, success_rate=overall if recent is None else float(recent),
        intervention_rate=_known(counted.get("intervention_rate")), faults=int(process.get("faults", 0)),
        utilisation=min(1.0, max(0.0, 1.0 - waited / (time - began))) if began is not None and time > began else math.nan,
        staleness=float(counted["staleness"]) if steps else math.nan,
    )  # fmt: skip


def _known(value: Any) -> float:
    return math.nan if value is None else float(value)


def _staleness(words: Mapping[str, Any] | None) -> Staleness:
    return Staleness() if words is None else Staleness(tuple(map(int, words["counts"])), int(words["total"]))
