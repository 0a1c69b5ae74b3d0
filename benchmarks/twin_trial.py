"""One arm to break: an environment on a protocol twin in a process of its own, and a witness of what the arm really does."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

import gymnasium
import numpy as np

import user_gym  # noqa: F401 - registers the ids
from user_gym.core import F64
from user_gym.errors import RobotFault, UserGymError
from user_gym.robots import kinematics, specs
from user_gym.robots.motors import MOST_TIMEOUT
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess
from user_gym.tasks.expert import PegInsertExpert
from user_gym.tasks.peg_insert import PegInsert

REAL = "User/PegInsert-real-v0"
PATIENCE = 60.0  # s of the wall's time that anything may take
TRIES = 30  # resets until an arm is under way: paced time on a machine that is no real-time one stops it now and then
_LOOK = 0.002  # s between two looks of the witness
_places = itertools.count(1)


class Sample(NamedTuple):
    """What the arm really did at one moment."""

    time: float  # s, of the twin's clock
    q: F64  # (dof,) rad
    dq: F64  # (dof,) rad/s
    motion: str


class Witness:
    """Looks at the joints through the side door until closed. It disturbs nothing: see the probes' bit-identical run."""

    def __init__(self, robot: str, address: str) -> None:
        self._spec, self._side = specs.spec(robot), Side(address, PATIENCE)
        self._samples: list[Sample] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness")

    def open(self) -> None:
        """Begin; returns after the first look."""
        self._side.connect()
        self._look()
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(_LOOK):
            self._look()

    def _look(self) -> None:
        seen = self._side.ask("posture").header
        self._samples.append(Sample(seen["time"], np.array(seen["q"]), np.array(seen["dq"]), seen["motion"]))

    @property
    def newest(self) -> Sample:
        """The last look."""
        return self._samples[-1]

    def tool(self, sample: Sample) -> F64:
        """Position of the TCP (3,) m."""
        return kinematics.position(self._spec, sample.q)

    def mark(self) -> int:
        """A moment that `travel` and `rest` count from: a look that begins after this call."""
        count = len(self._samples)
        until(lambda: len(self._samples) > count + 1, "a look of the witness")
        return len(self._samples) - 1

    def travel(self, mark: int, seconds: float) -> float:
        """m that the TCP was away from where it was, at most, within so many s of the twin's time."""
        first = self._samples[mark]
        places = [self.tool(s) for s in self._samples[mark:] if s.time <= first.time + seconds]
        return float(np.linalg.norm(np.array(places) - places[0], axis=1).max())

    def speed(self) -> float:
        """rad/s of the fastest joint, mean over the last ten looks."""
        return float(np.mean([np.abs(s.dq).max() for s in self._samples[-10:]]))

    def close(self) -> None:
        """End it."""
        self._ending.set()
        self._thread.join()
        self._side.close()


def until(holds: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
    """Wait for another process or thread. Raises TimeoutError."""
    end = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {timeout:g} s")
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has buried yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Trial:
    """An arm, its twin, the environment that drives it and the witness. `with` opens and closes all.

    Args:
        robot: name of the arm.
        time: "gated": the twin's time passes in steps only, as long as the environment is connected; "paced": with the wall's.
        twin: options of the twin.
        side_door: False: the environment takes the twin for a real arm, and knows no truth.
        **options: of the environment.
    """

    def __init__(
        self, robot: str, time: str = "gated", twin: Mapping[str, Any] | None = None, side_door: bool = True, **options: Any
    ) -> None:
        self.robot, self.spec = robot, specs.spec(robot)
        self.task = PegInsert(self.spec)
        # The longest time-out that an ARX driver takes: a busy machine may be late, and that is not what is tried here.
        own = {} if robot.startswith("franka") else {"timeout": MOST_TIMEOUT}
        self._time, self._twin, self._door, self._options = time, {**own, **(twin or {})}, side_door, options
        self._stack = ExitStack()

    def __enter__(self) -> Trial:
        with ExitStack() as stack:
            kind, address = self._place(stack)
            process = stack.enter_context(TwinProcess(kind, self.robot, {**address, "mode": "paced", **self._twin}))
            place = address.get("address") or address["bus"]
            self.place: dict[str, Any] = {"robot": self.robot, "address": place}
            if self._door:
                self.place |= {"twin": process.side, "clock": "gate" if self._time == "gated" else "wall"}
            self.side = Side(process.side, PATIENCE)
            self.side.connect()
            stack.callback(self.side.close)
            self.witness = Witness(self.robot, process.side)
            self.witness.open()
            stack.callback(self.witness.close)
            self.env = gymnasium.make(REAL, **self.place, **self._options)
            stack.callback(self.env.close)
            self._stack = stack.pop_all()
        return self

    def _place(self, stack: ExitStack) -> tuple[str, dict[str, str]]:
        number = next(_places)
        if self.robot.startswith("franka"):
            pid = os.getpid()
            return "user_gym.sim.fci.twin:FciTwin", {"address": f"127.{pid >> 8 & 127 | 1}.{pid & 255}.{number}"}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        return "user_gym.sim.can.twin:CanTwin", {"bus": f"seqpacket:{folder}/can"}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def worker(self) -> int:
        """Process id of the driver."""
        pid = self.env.unwrapped.robot.pid  # pyright: ignore[reportAttributeAccessIssue]
        assert pid is not None
        return pid

    def begin(self, steps: int = 4, tcp: F64 | None = None) -> None:
        """An episode, some steps in, with the scripted expert; again where the machine's load stops the arm meanwhile."""
        for attempt in range(TRIES):
            try:
                self.episode(steps, attempt, tcp)
                break
            except RobotFault:
                if attempt == TRIES - 1:
                    raise

    def episode(self, steps: int, seed: int | None = None, tcp: F64 | None = None) -> int:
        """A reset, then `follow`."""
        self.env.reset(seed=seed, options=None if tcp is None else {"tcp": tcp})
        return self.follow(steps)

    def follow(self, steps: int, action: F64 | None = None) -> int:
        """So many steps of the expert, or of one action, or to the end of the task; how many they were. Raises what they do."""
        self.expert = PegInsertExpert(self.task)
        for step in range(steps):
            if self.step(action):
                return step + 1
        return steps

    def step(self, action: F64 | None = None) -> bool:
        """One step, of the expert if nothing else is asked; whether the episode is over."""
        if action is None:
            state = self.env.unwrapped.state  # pyright: ignore[reportAttributeAccessIssue]
            action = np.asarray(self.expert.action(state), float)
        _, _, terminated, truncated, _ = self.env.step(action.astype(np.float32))
        return bool(terminated or truncated)

    def told(self, steps: int, action: F64 | None = None) -> UserGymError | None:
        """What the environment raises within so many steps, or to the end of the episode."""
        try:
            for _ in range(steps):
                if self.step(action):
                    return None
        except UserGymError as error:
            return error
        return None

    def let_pass(self, seconds: float) -> None:
        """So many s of the twin's time, in which nobody gives orders. A gated twin runs by itself meanwhile."""
        self.run(True)
        self.wait(seconds)
        self.run(False)

    def wait(self, seconds: float) -> None:
        """So many s of the twin's time, which passes by itself; that of a gated twin does once its client is dead."""
        end = self.witness.newest.time + seconds
        until(lambda: self.witness.newest.time >= end, f"{seconds:g} s of the twin's time")

    def run(self, freely: bool) -> None:
        """Let a gated twin's time run by itself, or only in steps again."""
        if self._time == "gated":
            self.side.ask("mode", mode="paced" if freely else "gated")
