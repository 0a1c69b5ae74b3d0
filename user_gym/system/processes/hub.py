"""The process that edges come to: what their robots collect goes to the owner of the buffer, the learner's weights to them.

It is the only one of a run that strangers reach, and it keeps nothing: it may be killed at any moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Event
from typing import Any

from user_gym.errors import PeerLost
from user_gym.system.link.hub import Hub
from user_gym.system.link.hub.status import EdgeStatus
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.raw import Archive
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.hub_store import OwnerStore
from user_gym.system.processes.journal import say
from user_gym.system.processes.link import Report
from user_gym.system.processes.plan import OWNER, CollectorPlan, HubPlan
from user_gym.system.weights import SharedSubscriber, Subscriber

_TURN = 0.1  # s between two looks
_ABSENT = 5.0  # s without its edge after which a run that has all its steps does not wait for a robot
_ROBOT = ("faults", "waited", "began")  # facts of a robot, as its edge says them


def run(folder: RunFolder, name: str, report: Report, stop: Event) -> bool:
    """Let edges in until the run is finished, or `stop` is set: then their robots hold. Whether nothing is left to do."""
    plan = folder.plan()
    assert plan.hub is not None
    with ExitStack() as opened:
        store = opened.enter_context(closing(OwnerStore(folder.socket(OWNER)).open()))
        report.set(state="waits for the learner")
        while not store.ready.wait(_TURN):
            report.moved()
            if stop.is_set():
                return folder.finished() is not None
        archive = opened.enter_context(Archive.open(folder.raw, most_bytes=None))
        weights = opened.enter_context(SharedSubscriber(folder.digest))
        hub = opened.enter_context(_hub(plan.hub, store, archive, weights))
        store.changed = hub.tell
        address = f"{plan.hub.listen.rpartition(':')[0]}:{hub.port}"
        report.begun = True
        say(f"listens at {address}")
        began, said = time.time(), set[str]()
        while not stop.wait(_TURN):
            report.moved()
            for failure in (hub.failure, store.failure):
                if failure is not None:
                    raise failure
            edges = {edge.name: edge for edge in hub.edges()}
            robots = {one.source: _facts(one, edges.get(one.edge)) for one in plan.edges}
            report.set(state="listens", address=address, disk=hub.full, edges=robots)
            if store.enough:
                _end(store, plan.edges, edges, began, said)
        finished = folder.finished() is not None
        if not finished:
            report.set(state="stops the robots of edges")
            for edge, answer in hub.stop(by="user-gym run --stop").items():
                say(f"{edge} was told to stop: {answer}")
        store.close()  # first: nobody waits for an owner any more
    return finished


def _hub(plan: HubPlan, store: OwnerStore, archive: Archive, weights: Subscriber) -> Hub:
    return Hub(
        plan.listen, store=store, archive=archive, weights=weights, hosts=plan.hosts, mutual=not plan.tokens,
        folder=HubFolder(Path(plan.folder)) if plan.folder else None, insecure=plan.insecure, rate=plan.rate,
    )  # fmt: skip


def _end(
    store: OwnerStore, robots: Sequence[CollectorPlan], edges: dict[str, EdgeStatus], began: float, said: set[str]
) -> None:
    """The run has enough: for a robot that has said goodbye, or that is not there, nobody waits."""
    for robot in robots:
        edge = edges.get(robot.edge)
        since = began if edge is None else edge.since
        left = edge is not None and edge.left
        away = edge is None or not edge.connected
        if robot.source not in said and away and (left or time.time() - since > _ABSENT):
            with suppress(PeerLost):  # the next owner is told
                store.absent(robot.source)
                said.add(robot.source)


def _facts(robot: CollectorPlan, edge: EdgeStatus | None) -> dict[str, Any]:
    """A robot for the status of the run, as a process of this machine has it."""
    if edge is None:
        return {"state": f"waits for edge {robot.edge}", "edge": robot.edge, "silent": 0.0}
    of_robots = edge.facts.get("robots")
    told = of_robots.get(robot.name) if isinstance(of_robots, dict) else None
    told = told if isinstance(told, dict) else {}
    state = str(told.get("state", "connected"))
    if not edge.connected:
        since = time.strftime("%H:%M:%S", time.localtime(edge.since))
        state = f"{'left' if edge.left else 'away'} since {since}{f'; {edge.complaint}' if edge.complaint else ''}"
    facts: dict[str, Any] = {
        "state": state, "edge": edge.host or robot.edge, "version": edge.version,
        "silent": 0.0 if edge.connected else round(time.time() - edge.since, 2),
    }  # fmt: skip
    facts |= {key: told[key] for key in _ROBOT if _is_number(told.get(key))}
    if _is_number(edge.facts.get("unacknowledged")):
        facts["unacknowledged"] = edge.facts["unacknowledged"]
    if edge.round_trip is not None:
        facts["round_trip"] = round(edge.round_trip, 4)
    return facts


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
