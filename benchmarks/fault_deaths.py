"""What an arm does when a process dies in the middle of a motion, and how the next program gets it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from benchmarks.twin_trial import PATIENCE, REAL, Trial, alive, until
from user_gym.errors import RobotFault, UserGymError
from user_gym.robots import stop

HEAD = [
    "| arm | what died | TCP travels in 0.1 / 0.5 / 1 / 3 s, mm | fastest joint after it | driver process | next program |",
    "| --- | --- | --- | --- | --- | --- |",
]
WITHIN = (0.1, 0.5, 1.0, 3.0)  # s of the twin's time
UNDER_WAY = 0.02  # m of a sideways motion, when the signal comes
VICTIMS = (
    ("training program, kill -9", "program", signal.SIGKILL),
    ("training program, SIGTERM", "program", signal.SIGTERM),
    ("driver process, kill -9", "driver", signal.SIGKILL),
    ("driver process, SIGTERM", "driver", signal.SIGTERM),
    ("both at once, kill -9", "both", signal.SIGKILL),
)


def sweep(options: dict[str, Any]) -> None:
    """The program that dies: tells its driver's process id each time that it begins to move the tool sideways, 1 cm a step."""
    env = gymnasium.make(REAL, **options)
    task = env.unwrapped.task  # pyright: ignore[reportAttributeAccessIssue]
    action = np.array([0, -1, 0, 0, 0, 0], np.float32)
    while True:
        try:
            env.reset(seed=0, options={"tcp": task.goal + [0, 0.04, 0.09, 0, 0, 0]})
            print(env.unwrapped.robot.pid, flush=True)  # pyright: ignore[reportAttributeAccessIssue]
            for _ in range(9):
                env.step(action)
        except RobotFault as fault:  # a machine that is no real-time one
            print(fault, file=sys.stderr)


@contextmanager
def sweeping(trial: Trial) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The program and its driver's process id, in the middle of a motion."""
    code = f"from benchmarks.fault_deaths import sweep; sweep({trial.place!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        try:
            assert program.stdout is not None
            while True:
                driver = int(program.stdout.readline())
                began, end = trial.witness.newest, time.monotonic() + 3.0
                moved = 0.0
                while moved < UNDER_WAY and time.monotonic() < end:
                    time.sleep(0.001)
                    moved = trial.witness.tool(began)[1] - trial.witness.tool(trial.witness.newest)[1]
                if moved >= UNDER_WAY:
                    break
            yield program, driver
        finally:
            program.kill()


def rows(robot: str) -> Iterator[str]:
    """Of one arm, a twin for each death."""
    for name, victim, number in VICTIMS:
        with Trial(robot, "gated" if robot.startswith("franka") else "paced") as trial:
            with sweeping(trial) as (program, driver):
                mark = trial.witness.mark()
                for pid in {"program": [program.pid], "driver": [driver], "both": [driver, program.pid]}[victim]:
                    os.kill(pid, number)
                if victim == "driver":
                    os.kill(program.pid, signal.SIGSTOP)  # its next reset would catch the arm at once
                trial.wait(max(WITHIN))
                travels = " / ".join(f"{1e3 * trial.witness.travel(mark, s):.0f}" for s in WITHIN)
                speed, holds = trial.witness.speed(), alive(driver)
            kept = "holds the arm for its next owner" if holds else "ended"
            row = f"| {robot} | {name} | {travels} | {speed:.3f} rad/s | {kept} | {succeed(trial, driver if holds else 0)} |"
            yield row.replace(trial.place["address"], "ADDRESS")


def succeed(trial: Trial, holder: int) -> str:
    """What another program meets that wants the arm."""
    heard, holders = [], [holder]
    for person in ("", "released, ", *["again, "] * 3, "put upright by hand, "):
        if person.startswith(("released", "put")):
            stop.tell(stop.RELEASE)
            until(lambda: not any(map(alive, holders)), "the end of the driver process", 2 * PATIENCE)  # noqa: B023 - within this turn
        if person.startswith("put") and trial.robot.startswith("arx"):
            trial.side.ask("lift")
        try:
            steps = trial.episode(100, seed=1)
        except UserGymError as error:
            holders += [trial.env.unwrapped.robot.pid or 0]  # pyright: ignore[reportAttributeAccessIssue]
            if person.startswith("again"):  # in the wall's time a busy machine stops an arm now and then
                continue
            heard.append(f"{person}{type(error).__name__} {str(error).splitlines()[0][:150]}")
        else:
            return "; ".join([*heard, f"{person}an episode of {steps} steps"])
    return "; ".join([*heard, "**no episode**"])
