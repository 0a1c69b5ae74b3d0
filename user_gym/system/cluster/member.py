"""One actor of a run as its driver sees it. Ray starts it again when it dies; here it is told to, when its work fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import ray
from ray.exceptions import RayActorError, RayTaskError

from user_gym.system.cluster.actors import Ending
from user_gym.system.processes.child import why_stuck
from user_gym.system.processes.ends import Ends
from user_gym.system.processes.exits import DONE, FAILED, REFUSED, STOPPED
from user_gym.system.processes.silence import Silence

_START = 3.0  # s that a new process may take until it says how it is
_BEAT = 0.25  # s between two questions how it is


class Member:
    """A `Supervised`. Owned by the driver's main thread.

    Args:
        role: what it does.
        name: unique in the run.
        actor: a `Role`.
        needs: resources that it has to itself.
        patience: s that its work may stand still.

    Attributes:
        placed: whether it runs: it has a node, and has said how it is since it was started there.
        since: when that changed, s of the monotonic clock.
    """

    def __init__(self, role: str, name: str, actor: Any, needs: Mapping[str, float], patience: float) -> None:
        self.role, self.name, self._actor, self._needs, self._patience = role, name, actor, needs, patience
        self._work: Any = None  # reference of what its work comes to
        self._asked: Any = None  # reference of its facts
        self._next, self._silence, self._killed = 0.0, Silence(), ""
        self._ends = Ends()
        self._pid: int | None = None
        self.starts = 0
        self.placed, self.since = False, time.monotonic()
        self.done = self._told = False
        self.log = "Ray's logs (ray logs)"
        self.facts: Mapping[str, Any] = {}
        self.last = ""

    def look(self) -> None:
        """Ask how it is, and take the answer to the question before; waits for nothing."""
        now = time.monotonic()
        if self._asked is None:
            if now >= self._next:
                self._asked, self._next = self._actor.facts.remote(), now + _BEAT
            return
        if not _there(self._asked):
            return
        asked, self._asked = self._asked, None
        try:
            facts: dict[str, Any] = cast(Any, ray.get(asked))
        except RayActorError:
            self._set_placed(False)
            return
        if facts["pid"] != self._pid:
            ended = f"killed: {self._killed}" if self._killed else "ended by a signal, or with its machine"
            self.last, self._killed = self.last if self._pid is None else ended, ""
            self._pid, self.starts = facts["pid"], self.starts + 1
        self.facts = facts
        self._silence.broken()
        self._set_placed(True)

    def _set_placed(self, placed: bool) -> None:
        if placed != self.placed:
            self.placed, self.since = placed, time.monotonic()

    @property
    def alive(self) -> bool:
        """As `Supervised`; also while Ray looks for a place for it."""
        return self._work is not None and not _there(self._work)

    @property
    def due(self) -> bool:
        """As `Supervised`."""
        return not (self.done or self._work is not None) and self._ends.due

    @property
    def hangs(self) -> str:
        """As `Supervised`."""
        return why_stuck(self._silence, self.facts, self._patience) if self.alive and self.placed else ""

    @property
    def failures(self) -> int:
        """As `Supervised`."""
        return self._ends.failures

    def adopt(self) -> bool:
        """As `Supervised`. No: actors end with their driver."""
        return False

    def start(self) -> None:
        """As `Supervised`. If the actor dies, Ray starts it again and asks it for its work again."""
        self._work = self._actor.work.options(max_task_retries=-1).remote()
        self._ends.began()

    def ended(self) -> int | None:
        """As `Supervised`. What failed begins again in a new process."""
        if self._work is None or self.alive:
            return None
        try:
            ending = Ending(*ray.get(self._work))
        except RayActorError as error:  # it could not be made, such as where a machine lacks what the run needs
            reason = str(error).strip().splitlines()[-1]
            self.facts = {**self.facts, "error": f"Ray cannot start {self.name}: {reason}"}
            ending = Ending(REFUSED, reason)
        except RayTaskError as error:  # what no role expects, such as a folder whose rights were taken
            ending = Ending(FAILED, f"failed: {str(error).strip().splitlines()[-1]}")
        self._work = None
        if ending.code == REFUSED:
            self.facts = {"error": ending.state.removeprefix("error: "), **self.facts}
        elif ending.code not in (DONE, STOPPED):
            self.last, self._pid = ending.state, None
            self.kill("")
        self._ends.add(ending.code)
        return ending.code

    def stop(self) -> None:
        """As `Supervised`."""
        self._told = True
        if self.placed:
            self._actor.stop.remote()
        else:  # it waits for a place, or to be started again: there is nothing to end in order
            ray.kill(self._actor)

    def kill(self, why: str) -> None:
        """As `Supervised`. Ray starts it again, unless it was told to stop."""
        self._killed, self._asked = why, None  # what it may have answered is of the one that is killed
        ray.kill(self._actor, no_restart=self._told)
        self._set_placed(False)

    @property
    def status(self) -> dict[str, Any]:
        """As `Supervised`."""
        state = "done" if self.done else str(self.facts["state"]) if self.placed else self._missing()
        pid = self._pid if self.placed else None
        silent = round(self._silence.raw, 2)
        return {**self.facts, "state": state, "pid": pid, "starts": self.starts, "silent": silent, "last_end": self.last}

    def _missing(self) -> str:
        """What it waits for. Resources are taken when its process begins to start, which lasts seconds."""
        if time.monotonic() - self.since < _START:
            return "starts"
        for name, amount in self._needs.items():
            if ray.cluster_resources().get(name, 0.0) < amount:
                return f"waits for {name}: no node of the cluster has it"
            if ray.available_resources().get(name, 0.0) < amount:
                return f"waits for {name}: it is taken"
        return "starts"


def _there(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])
