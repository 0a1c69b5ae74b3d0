"""The process of one robot: it acts with the newest weights, and hands its experience to the owner of the buffer."""

from __future__ import annotations

import math
import time
from contextlib import closing, nullcontext
from threading import Event

from user_gym.system.chunk import ChunkBuilder
from user_gym.system.collector import Collector
from user_gym.system.processes.body import build, form
from user_gym.system.processes.callables import named
from user_gym.system.processes.caller import Caller, SocketCaller
from user_gym.system.processes.folder import RunFolder
from user_gym.system.processes.journal import say
from user_gym.system.processes.judging import Seat, judged
from user_gym.system.processes.link import Report
from user_gym.system.processes.outbox import Outbox
from user_gym.system.processes.plan import OWNER, CollectorPlan, Plan
from user_gym.system.quarantine import endure
from user_gym.system.spaces import spec_hash
from user_gym.system.weights import SharedSubscriber, Subscriber

_GLANCE = 0.02  # s between two looks for the first weights


def run(folder: RunFolder, name: str, report: Report, stop: Event) -> bool:
    """Collect on the machine that the run's folder is on; as `collect`."""
    with SharedSubscriber(folder.digest) as weights:
        return collect(folder.plan(), name, SocketCaller(folder.socket(OWNER)), weights, report, stop)


def collect(plan: Plan, name: str, caller: Caller, weights: Subscriber, report: Report, stop: Event) -> bool:
    """Collect until the run has its steps, or `stop` is set; whether nothing is left to do.

    Args:
        plan: of the run.
        name: of this collector.
        caller: reaches the owner of the buffer.
        weights: the learner's.
        report: says how it goes.
        stop: set when it is to end.
    """
    mine = plan.collector(name)
    report.set(state="builds", robot=mine.robot)
    with closing(build(mine)) as env:
        policy = named(plan.agent.make)(env.observation_space, env.action_space, plan.options).policy
        outbox = Outbox(caller, {"name": name, "form": form(env)}, plan.buffer.lossy, report, stop)
        report.set(state="waits for the buffer's owner")
        welcome = outbox.open()
        if welcome is None or not (welcome.enough or _wait_for(weights, stop, report)):
            outbox.close(goodbye=False)
            return False
        seat = Seat(plan.collectors.index(mine), welcome.episode, outbox.tell, lambda url: report.set(address=url))
        try:
            with judged(env, plan, seat) or nullcontext(env) as rewarded:
                collector = Collector(
                    rewarded, policy, outbox, limiter=outbox, broadcaster=weights, builder=_builder(mine, plan, spec_hash(
                        env.observation_space, env.action_space)),
                    seed=plan.seed_of(name), random_steps=math.ceil(plan.random_steps / len(plan.collectors)),
                    env_steps=welcome.steps, episodes=welcome.episode, max_faults=1, each=report.moved,
                )  # fmt: skip
                say(f"{name} goes on with episode {welcome.episode}, {welcome.steps} steps of it are stored")
                report.begun = welcome.steps > 0
                report.set(began=round(time.time(), 3))
                try:
                    if not welcome.enough:
                        _collect(collector, outbox, report, stop)
                finally:
                    report.begun |= collector.episodes > welcome.episode  # its robot could do what the plan says
                    report.moved()
                    env.close()  # first: the robot is held, however long the owner takes
        finally:
            enough = outbox.enough  # not asked twice: who has not said goodbye is not done
            left = outbox.close(goodbye=enough)
    say(f"{name} ends with {collector.env_steps} steps")
    return enough and left


def _builder(mine: CollectorPlan, plan: Plan, spaces: str) -> ChunkBuilder:
    return ChunkBuilder(
        mine.name, mine.robot, mine.task, max_seconds=plan.max_seconds, period=mine.period, clock=mine.clock,
        env_id=mine.env, spec_hash=spaces,
    )  # fmt: skip


def _wait_for(weights: Subscriber, stop: Event, report: Report) -> bool:
    """Until there are weights: a robot never acts with a policy that the run has left behind."""
    report.set(state="waits for the first weights")
    while weights.newest() is None:
        report.moved()
        if stop.wait(_GLANCE):
            return False
    return True


def _collect(collector: Collector, outbox: Outbox, report: Report, stop: Event) -> None:
    def told(state: str) -> None:
        if state != "collects":
            say(state)
        report.set(state=state, faults=collector.faults)

    endure(collector, stop, lambda: outbox.enough, outbox.idle, told)
