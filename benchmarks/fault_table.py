"""Every fault that a twin can have, one at a time: what the environment reported, whether the arm stood, how training went on.

    python -m benchmarks.fault_table                       # all: the tables of docs/faults.md
    python -m benchmarks.fault_table --part deaths --robots arx-x5

Each arm is a protocol twin in a process of its own behind the unmodified vendor client or our CAN driver. The scripted expert
moves it, one fault is injected through the side door (or a process is killed), and the loop goes on as a training loop does.
A witness at the side door looks at the joints all the while.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks import fault_deaths, fault_training
from benchmarks.camera_stream import Stream
from benchmarks.machine import describe
from benchmarks.twin_trial import Trial, alive, until
from user_gym.core import F64
from user_gym.errors import Reflex, UserGymError
from user_gym.robots import specs
from user_gym.robots.wire.fci import ERRORS

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
STEPS = 30  # in which a fault has to show itself
REST = 1.0  # s of the twin's time after the report before the arm is looked at
BUSY = 3  # resets more after a repair: in the wall's time a busy machine stops an arm now and then
STANDS = 0.02  # rad/s
HEAD = [
    "| arm | fault | `step()` said | the arm, 1 s later | `reset()` said | next episode |",
    "| --- | --- | --- | --- | --- | --- |",
]
DOWN = np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
UP = -DOWN  # the threshold of a contact stays: a low one would stop the expert again
BESIDE = np.array([0.02, 0.0, 0.09, 0.0, 0.0, 0.0])  # m from the goal: down from there is the board


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break an arm."""

    name: str  # for people
    act: Callable[[Trial], object]
    time: str  # of the twin
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the environment
    action: F64 | None = None  # what is ordered afterwards; None: the expert goes on
    mend: Callable[[Trial], object] = lambda trial: trial.side.ask("heal")  # what a person does


def say(name: str, **arguments: Any) -> Callable[[Trial], object]:
    """Have a fault of the side door."""
    return lambda trial: trial.side.ask("fault", name=name, **arguments)


def command(*words: str) -> None:
    """Run `user-gym`, as an operator does in another window."""
    subprocess.run([sys.executable, "-m", "user_gym.cli", *words], check=True, capture_output=True, timeout=60)


def freeze(trial: Trial) -> None:
    """The driver process stands still for a second of the twin's time."""
    os.kill(trial.worker, signal.SIGSTOP)
    trial.let_pass(1.0)
    os.kill(trial.worker, signal.SIGCONT)


def both(time: str) -> Iterator[Fault]:
    """Faults that every arm knows."""
    yield Fault("`user-gym stop`", lambda trial: command("stop"), time)
    yield Fault("contact above the guard's 15 N", lambda trial: None, time, {"force": 15.0}, DOWN)
    yield Fault("kill -9 of the driver process", lambda trial: os.kill(trial.worker, signal.SIGKILL), time)
    terminate = "SIGTERM to the driver process"
    yield Fault(terminate, lambda trial: os.kill(trial.worker, signal.SIGTERM), time)
    yield Fault("driver process stopped for 1 s (SIGSTOP)", freeze, time)


def of_franka() -> Iterator[Fault]:
    """Faults of the control box. Gated where that is all the same: then the twin counts the ticks, not this machine."""
    for reason in ("cartesian_reflex", "joint_reflex", "joint_motion_generator_velocity_discontinuity"):
        yield Fault(f"reflex: {reason}", say("reflex", reason=reason), "gated")
    driven = {"driver_options": {"force_threshold": 15.0}, "force": 1e3}
    yield Fault("contact above SetCollisionBehavior's 15 N", lambda trial: None, "gated", driven, DOWN)
    yield Fault("motion limits enforced by the box", say("limits", active=True), "gated")
    yield Fault("30 % of the commands lost", say("loss", share=0.3, seed=1), "gated")
    yield Fault("all commands lost: the lost-cycle rule", say("loss", share=1.0), "gated")
    yield Fault("commands 3 ms late", say("delay", ticks=3), "gated")
    yield Fault("commands 50 ms late", say("delay", ticks=50), "gated")
    yield Fault("user stop pressed", say("user_stop"), "gated")
    yield Fault("gripper misses", say("gripper"), "gated")
    yield Fault("dead link", say("dead"), "gated")
    yield from both("gated")


def of_arx() -> Iterator[Fault]:
    """Faults of motors and bus, in the wall's time: an arm without brakes stands only while its driver's loop turns."""
    for name, fault in (("mute", "does not answer"), ("bad-dlc", "answers with 4 bytes"), ("unknown-id", "answers on 0x123")):
        yield Fault(f"motor 5 {fault}", say(name, motor=5), "paced")
    for name in ("over-temperature", "over-current"):
        for motor, place in ((5, "wrist"), (2, "shoulder")):
            yield Fault(f"{name} of motor {motor} ({place})", say(name, motor=motor), "paced")
    yield Fault("bus off", say("bus-off"), "paced")
    yield Fault("adapter unplugged", say("unplug"), "paced")
    yield Fault("no order for 1.5 s", lambda trial: trial.let_pass(1.5), "paced")
    yield from both("paced")


def line(text: object, most: int = 150) -> str:
    """The first line of an error, for a cell."""
    words = str(text).splitlines()[0].replace("|", "\\|")
    return words if len(words) <= most else words[: most - 3] + "..."


def named(error: BaseException | None) -> str:
    return "nothing" if error is None else f"**{type(error).__name__}** {line(error)}"


def suffer(robot: str, fault: Fault) -> str:
    """One row."""
    with Trial(robot, fault.time, **fault.options) as trial:
        return endure(trial, fault)


def endure(trial: Trial, fault: Fault) -> str:
    """The row of an arm that nobody has moved yet."""
    if fault.action is None:
        trial.begin()
    else:
        trial.begin(0, trial.task.goal + BESIDE)
    mark = trial.witness.mark()
    fault.act(trial)
    error = trial.told(STEPS, fault.action)
    if error is None:
        state = "goes on with its episode"
    else:
        trial.let_pass(REST)
        speed, travel = trial.witness.speed(), 1e3 * trial.witness.travel(mark, np.inf)
        state = f"{'stands' if speed < STANDS else '**moves**'} ({speed:.4f} rad/s), {travel:.1f} mm from where it was"
    row = f"| {trial.robot} | {fault.name} | {named(error)} | {state} | {' | '.join(come_back(trial, fault))} |"
    return row.replace(trial.place["address"], "ADDRESS")


def stale_camera(robot: str) -> str:
    """The row of a camera that freezes. It is a real one, so the twin behind the arm is taken for a real arm, too."""
    with Stream() as stream:
        cameras = {camera.name: stream.camera for camera in specs.spec(robot).cameras}
        fault = Fault(
            "camera freezes",
            lambda trial: stream.flowing.clear(),
            "paced",
            {"obs": "pixels", "cameras": cameras, "side_door": False},
            mend=lambda trial: stream.flowing.set(),
        )
        return suffer(robot, fault)


def come_back(trial: Trial, fault: Fault) -> tuple[str, str]:
    """What the resets said, and what the episode after them did. A person does what a reset could not."""
    heard: list[str] = []
    tries = ("", "**repaired**: ", *["again: "] * BUSY, "**released, put upright by hand**: ")
    for person in tries:
        if "repaired" in person:
            fault.mend(trial)
        elif "released" in person and trial.robot.startswith("arx"):
            driver = trial.worker
            command("stop", "--release")
            until(lambda: not alive(driver), "the end of the driver process")  # noqa: B023 - within this turn
            trial.side.ask("lift")
        try:
            trial.env.reset()
        except UserGymError as error:
            if not person.startswith("again"):
                heard.append(person + named(error))
            continue
        heard.append(f"{person}goes on")
        try:
            steps = trial.follow(100) if fault.action is None else trial.follow(5, UP)
        except UserGymError as error:
            return "; ".join(heard), named(error)
        return "; ".join(heard), f"{steps} steps"
    return "; ".join(heard), "**none**"


def reflexes(robot: str) -> str:
    """The row of all kinds of reflex."""
    stopped = resumed = 0
    with Trial(robot) as trial:
        for reason in ERRORS:
            trial.begin(2)
            trial.side.ask("fault", name="reflex", reason=reason)
            error = trial.told(2)
            trial.let_pass(0.2)
            stopped += isinstance(error, Reflex) and trial.witness.speed() < STANDS
            resumed += isinstance(trial.told(1), Reflex) and trial.episode(1) == 1
    n = len(ERRORS)
    told = f"**Reflex** {stopped} of {n}, with libfranka's name of it; and again until `reset()`"
    return f"| {robot} | each of the {n} kinds of reflex | {told} | stands {stopped} of {n} | goes on {resumed} of {n} | |"


def injected(robot: str, only: str) -> Iterator[str]:
    """Rows of one arm."""
    franka = robot.startswith("franka")
    for fault in of_franka() if franka else of_arx():
        if only in fault.name:
            yield suffer(robot, fault)
    if franka and only in "each reflex":
        yield reflexes(robot)
    if not franka and only in "camera freezes":
        yield stale_camera(robot)


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured."""

    part: tuple[str, ...] = ("injected", "deaths", "training")
    """which tables"""
    robots: tuple[str, ...] = ROBOTS
    """on which arms"""
    only: str = ""
    """injected: only faults whose name contains this"""


def table(part: str, robot: str, only: str) -> Iterator[str]:
    """Rows of one arm."""
    if part == "injected":
        return injected(robot, only)
    return fault_deaths.rows(robot) if part == "deaths" else fault_training.rows(robot)


def main(options: Options) -> None:
    """Measure, and print each row when it is there."""
    print(describe(), flush=True)
    heads = {"injected": HEAD, "deaths": fault_deaths.HEAD, "training": fault_training.HEAD}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("STOPS", "LEASES"):  # no other arm of this user hears of it
            os.environ[f"USER_GYM_{name}"] = str(Path(folder) / name.lower())
        os.environ["USER_GYM_APPROVE"] = "1"  # where a twin is taken for a real arm
        for part in options.part:
            print("", *heads[part], sep="\n")
            for robot in options.robots:
                for row in table(part, robot, options.only):
                    print(row, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
