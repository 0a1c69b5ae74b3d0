"""The roles of a run as Ray actors. Ray starts an actor that dies again, and its work; the role knows how to go on."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

import ray

from user_gym.errors import Busy, NoSpace
from user_gym.system.cluster.caller import ActorCaller, answer_of
from user_gym.system.cluster.gate import Gate
from user_gym.system.cluster.inflow import Inflow
from user_gym.system.processes.exits import FULL, TAKEN, code_of
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.link import Report
from user_gym.system.processes.plan import COLLECTOR, LEARNER, OWNER, from_words
from user_gym.system.processes.registry import Name
from user_gym.system.weights import Held

_LAST = 5.0  # s that work has to end in order when Ray ends its actor; Ray gives a node's processes 0.1 s unless told otherwise
_ANSWER = 60.0  # s for weights: large ones over a slow network


class Ending(NamedTuple):
    """How the work of an actor ended."""

    code: int  # of `exits`
    state: str  # its last word


class Role(ABC):
    """What all have in common. Its methods run at the same time, in threads of Ray's.

    Args:
        role: what it does.
        paths: where Python finds the code that the plan names, as in the driver.
    """

    def __init__(self, role: str, paths: Sequence[str]) -> None:
        sys.path[:0] = [path for path in paths if path not in sys.path]
        self._report, self._stop = Report(role=role, state="starts"), Event()
        self._working, self._over = Lock(), Event()
        self._ending: Ending | None = None

    def work(self) -> Ending:
        """Do what the role is for, until nothing is left to do, `stop` is called, or it fails.

        Ray may ask for it once more after a disturbance of the network: it is done once.
        """
        with self._working:
            if self._ending is None:
                code = self._code()
                self._ending = Ending(code, str(self._report.facts["state"]))
                self._over.set()
            return self._ending

    def facts(self) -> dict[str, Any]:
        """How it is."""
        return {**self._report.facts, "pid": os.getpid(), "node": ray.util.get_node_ip_address()}

    def stop(self) -> None:
        """End in order: a robot is held."""
        self._stop.set()

    def __ray_shutdown__(self) -> None:
        """Ray ends this actor, such as when its driver has died."""
        self._stop.set()
        self._over.wait(_LAST)

    def _code(self) -> int:
        """Do it; an exit code of `exits`."""
        return code_of(self._run, self._report)

    @abstractmethod
    def _run(self) -> bool:
        """The role itself; whether nothing is left to do."""


class AtFolder(Role):
    """A role on the machine that the run's folder is on, under its name there.

    Args:
        path: of the folder.
        role: what it does.
        paths: as of `Role`.
        threads: OMP_NUM_THREADS of the driver. Ray would allow one, as no processor is asked for.
    """

    def __init__(self, path: str, role: str, paths: Sequence[str], threads: str | None) -> None:
        super().__init__(role, paths)
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
        self._folder, self._name = RunFolder(Path(path)), role

    def _code(self) -> int:
        held = Name(self._folder.processes, self._name)
        try:
            held.hold()
        except Busy as error:
            say(str(error))
            self._report.set(state=str(error))
            return TAKEN
        except NoSpace as error:
            self._report.set(state=f"disk full: {error}")
            return FULL
        try:
            return super()._code()
        finally:
            held.release()


class Owner(AtFolder):
    """Owns the buffer, and lets the collectors in.

    Args:
        path, paths, threads: as of `AtFolder`.
    """

    def __init__(self, path: str, paths: Sequence[str], threads: str | None) -> None:
        super().__init__(path, OWNER, paths, threads)
        self._gate = Gate(self._folder)

    def _run(self) -> bool:
        from user_gym.system.processes import owner

        return owner.run(self._folder, OWNER, self._report, self._stop)

    def ask(self, name: str, session: str, first: bool, words: dict[str, Any], data: bytes) -> dict[str, Any]:
        """As `Gate`."""
        return self._gate.ask(name, session, first, words, data)

    def weights(self, held: Held | None, rate: float | None) -> tuple[bytes | None, float]:
        """As `Gate`."""
        return self._gate.weights(held, rate)

    def leave(self, name: str) -> None:
        """As `Gate`."""
        self._gate.leave(name)

    def absent(self, name: str) -> None:
        """As `Gate`."""
        self._gate.absent(name)


class Learner(AtFolder):
    """Learns.

    Args:
        path, paths, threads: as of `AtFolder`.
    """

    def __init__(self, path: str, paths: Sequence[str], threads: str | None) -> None:
        super().__init__(path, LEARNER, paths, threads)

    def _run(self) -> bool:
        from user_gym.system.processes import learning

        return learning.run(self._folder, LEARNER, self._report, self._stop)


class Collector(Role):
    """Collects with one robot, on the machine that has it. It finds the owner by its name among the actors of the driver.

    Args:
        plan: of the run, as `Plan.words`: its folder is elsewhere.
        name: of this collector.
        paths: as of `Role`.
    """

    def __init__(self, plan: Mapping[str, Any], name: str, paths: Sequence[str]) -> None:
        super().__init__(COLLECTOR, paths)
        self._plan, self._name = from_words(plan), name

    def _run(self) -> bool:
        from user_gym.system.processes import collecting

        owner = ray.get_actor(OWNER)
        caller = ActorCaller(owner, self._name)
        with Inflow(lambda held, rate: answer_of(owner.weights.remote(held, rate), _ANSWER)) as weights:
            return collecting.collect(self._plan, self._name, caller, weights, self._report, self._stop)
