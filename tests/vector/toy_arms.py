"""An arm without time: each exchange and reset asks a function of the test, which may wait for the test or raise."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from user_gym.core import Cell, Command, RobotState, Scene, Start
from user_gym.robots import specs
from user_gym.testing.bench import PERIOD, Bench
from user_gym.vector import IndependentVectorEnv

PATIENCE = 20.0  # s: a test that waits longer has failed
SPEC = specs.spec("franka-fr3")


def nothing(_: int) -> None:
    """As it should be."""


@dataclass(eq=False)
class ToyArm:
    """It is where it was told to be. `on_exchange` and `on_reset` get the number of the call, from 1 on."""

    on_exchange: Callable[[int], None] = nothing
    on_reset: Callable[[int], None] = nothing
    spec = SPEC
    names = ("plate",)
    exchanges: int = 0
    resets: int = 0
    closed: int = 0
    threads: set[str] = field(default_factory=set)

    def connect(self) -> None:
        self.threads.add(threading.current_thread().name)

    def reset(self, start: Start) -> RobotState:
        self.resets += 1
        self.on_reset(self.resets)
        self.tcp, self.time = start.tcp, 0.0
        return self.state()

    def exchange(self, command: Command) -> RobotState:
        self.exchanges += 1
        self.on_exchange(self.exchanges)
        self.tcp, self.time = command.tcp, self.time + PERIOD
        return self.state()

    def state(self) -> RobotState:
        self.threads.add(threading.current_thread().name)
        dof, six = np.zeros(SPEC.dof), np.zeros(6)  # at rest
        return RobotState(np.float64(self.time), SPEC.home, dof, dof, self.tcp.copy(), six, six, np.float64(0))

    def observe(self) -> Scene:
        return Scene(self.names, np.zeros((1, 7)), np.ones(1, bool), "sim", self.time)

    def set_compliance(self, compliance) -> None:
        self.compliance = compliance

    def close(self) -> None:
        self.closed += 1
        self.threads.add(threading.current_thread().name)


def build(spec, task, control, arm: ToyArm) -> Cell:
    return Cell(robot=arm, scene=arm, cameras={})


class Raises:
    """A fault at some calls: of those numbers, or of all from the first of an open range on."""

    def __init__(self, error: Exception, *calls: int, since: int = 10**9) -> None:
        self.error, self.calls, self.since = error, calls, since

    def __call__(self, call: int) -> None:
        if call in self.calls or call >= self.since:
            raise self.error


class Gate:
    """Holds a call of that number until the test opens it."""

    def __init__(self, call: int) -> None:
        self.call, self.entered, self.opened = call, threading.Event(), threading.Event()

    def __call__(self, call: int) -> None:
        if call == self.call:
            self.entered.set()
            assert self.opened.wait(PATIENCE)

    def wait(self) -> None:
        assert self.entered.wait(PATIENCE)

    def open(self) -> None:
        self.opened.set()


def vector(*arms: ToyArm, **options) -> IndependentVectorEnv:
    """The arms in one environment; attempts to bring one back do not wait."""
    rows = [{"arm": arm} for arm in arms]
    return IndependentVectorEnv(len(arms), Bench, "toy", rows=rows, **{"retry": 0.0, "max_episode_steps": 1000} | options)
