"""What `user-gym run --ray` does while a run goes on: it asks Ray for the actors, watches them, and stops all in order.

Ray ends the actors when their driver ends, however it does. The run's folder has what the next one goes on from.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from threading import Event
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from user_gym.errors import Busy
from user_gym.system.cluster import actors
from user_gym.system.cluster.member import Member
from user_gym.system.cluster.resources import wanted
from user_gym.system.cluster.session import joined
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.parent import heard, parenting
from user_gym.system.processes.plan import COLLECTOR, LEARNER, OWNER, SUPERVISOR, Plan
from user_gym.system.processes.registry import Name, holder
from user_gym.system.processes.supervisor import Supervisor

_ABSENT = 5.0  # s without a place after which a run that has all its steps does not wait for a collector
_CALLS = 3  # of a collector at the owner's actor, at most, at the same time: one that was given up, a request, weights
_OWN = 4  # calls of an actor by the driver, at most: work, facts, stop, and to spare


class Driver:
    """One run, from `run` to its end: what `Parent` and `Supervisor` are without Ray.

    Args:
        folder: of the run, on this machine.
        plan: what it is.
        each: called at each look, such as to show how it goes.
        address: of the cluster: "auto", "local", or HOST:PORT.
        robots: of this machine, for "local", as `offered`.
    """

    def __init__(
        self, folder: RunFolder, plan: Plan, each: Callable[[], None], address: str, robots: Mapping[str, float]
    ) -> None:
        self._folder, self._plan, self._each, self._address, self._robots = folder, plan, each, address, robots
        self._stop = Event()
        self._said = 0.0  # when the owner was told of those that do not come

    def run(self) -> int:
        """An exit code of `exits`. Raises WrongRun, Busy, BadOption, NoSpace, Unwritable."""
        simulated = sum(not collector.device for collector in self._plan.collectors)
        with ExitStack() as opened:
            opened.enter_context(parenting(self._folder, self._plan))
            path = self._folder.path
            if (there := holder(self._folder.processes, SUPERVISOR)) is not None:  # without Ray, its parent was killed
                raise Busy(
                    f"the run in {path} goes on without Ray, under process {there.pid}; user-gym run --stop {path} first"
                )
            held = Name(self._folder.processes, SUPERVISOR)
            held.hold()
            opened.callback(held.release)
            node = opened.enter_context(joined(self._address, self._robots, simulated))
            opened.enter_context(heard(self._stop))  # after Ray, which hears SIGTERM itself
            owner = self._at_folder(actors.Owner, OWNER, node, {}, _CALLS * len(self._plan.collectors) + _OWN)
            gpu = {"GPU": 1.0} if _has_gpu(node) else {}
            learner = self._at_folder(actors.Learner, LEARNER, node, gpu, _OWN)
            collectors = [self._collector(collector.name) for collector in self._plan.collectors]
            patience = self._plan.patience
            members = [Member(OWNER, OWNER, owner, {}, patience), Member(LEARNER, LEARNER, learner, gpu, patience), *collectors]
            return Supervisor(self._folder, self._stop, members, lambda: self._look(owner, members)).run()

    def _at_folder(
        self, role: type[actors.Owner | actors.Learner], name: str, node: str, needs: Mapping[str, float], calls: int
    ) -> Any:
        # No processor is asked for: these two are where the folder is, also when all processors there are taken.
        return ray.remote(role).options(
            name=name, max_restarts=-1, max_concurrency=calls, num_cpus=0, num_gpus=needs.get("GPU", 0.0),
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(str(self._folder.path), _paths(), os.environ.get("OMP_NUM_THREADS"))  # fmt: skip

    def _collector(self, name: str) -> Member:
        needs = wanted(self._plan.collector(name))
        others = {resource: amount for resource, amount in needs.items() if resource != "CPU"}
        actor = ray.remote(actors.Collector).options(
            max_restarts=-1, max_concurrency=_OWN, num_cpus=needs.get("CPU", 0.0), resources=others,
        ).remote(self._plan.words, name, _paths())  # fmt: skip
        return Member(COLLECTOR, name, actor, needs, self._plan.patience)

    def _look(self, owner: Any, members: list[Member]) -> None:
        for member in members:
            there = member.placed
            member.look()
            if there and not member.placed and member.role == COLLECTOR:
                owner.leave.remote(member.name)
        facts, now = members[0].facts, time.monotonic()
        if facts.get("steps", 0) >= self._plan.steps and now - self._said > 1.0:
            self._said = now
            for member in members:
                if member.role == COLLECTOR and not (member.placed or member.done) and now - member.since > _ABSENT:
                    owner.absent.remote(member.name)
        self._each()


def _paths() -> list[str]:
    """As the processes of a run without Ray have it: the folder that the command was given in comes first."""
    return [os.getcwd(), *filter(None, sys.path)]


def _has_gpu(node: str) -> bool:
    return any(one["NodeID"] == node and one["Resources"].get("GPU", 0.0) >= 1.0 for one in ray.nodes())
