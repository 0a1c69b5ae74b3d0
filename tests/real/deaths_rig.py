"""A twin in a process of its own, and a program in the middle of a motion of its arm, for tests of what a death does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np

from user_gym.robots import kinematics, specs
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess

PATIENCE = 60.0  # s of the wall's time for anything that has to happen
UNDER_WAY = 0.02  # m that the tool has moved when the signal comes
TRAVEL = 0.05  # m; orders reach 1 cm beyond the tool, which comes to rest from 0.1 m/s
CREEP = 0.005  # m that an arm at rest may move in a second, while other programs keep its driver waiting

PROGRAM = """
import gymnasium, numpy as np, user_gym
from user_gym.errors import RobotFault
env = gymnasium.make("User/PegInsert-real-v0", **{options!r})
action = np.zeros(env.action_space.shape, np.float32)
action[1] = -1.0
while True:
    try:
        env.reset(seed=0, options={{"tcp": env.unwrapped.task.goal + [0, 0.04, 0.09, 0, 0, 0]}})
        print(env.unwrapped.robot.pid, flush=True)
        for _ in range(9):
            env.step(action)
    except RobotFault as fault:  # this machine may be too busy for the wall's time
        print("late:", fault, flush=True)
"""


def until(holds, what):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.005)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Arm:
    """A twin in a process of its own, and the truth about it."""

    def __init__(self, robot, kind, place, clock, **options):
        self.spec = specs.spec(robot)
        self._process = TwinProcess(f"user_gym.sim.{kind}", robot, {**place, "mode": "paced", **options})
        self._process.open()
        self.side = Side(self._process.side, PATIENCE)
        self.side.connect()
        address = place.get("address") or place["bus"]
        self.options = {"robot": robot, "address": address, "twin": self._process.side, "clock": clock}

    def look(self):
        return self.side.ask("posture").header

    @property
    def tool(self):
        return kinematics.position(self.spec, np.array(self.look()["q"]))

    def travel(self, seconds):
        """m that the tool was away at most from where it is now, within so many s of the twin's time."""
        first, seen = self.look(), [self.tool]

        def over():
            seen.append(self.tool)
            return self.look()["time"] >= first["time"] + seconds

        until(over, f"{seconds} s of the twin's time")
        return np.linalg.norm(np.array(seen) - seen[0], axis=1).max()

    def close(self):
        self.side.close()
        self._process.close()


class Sweep:
    """A program that moves the tool sideways again and again; `with` enters in the middle of a motion."""

    def __init__(self, arm):
        self._arm = arm
        code = PROGRAM.format(options=arm.options)
        self.program = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self):
        moved, tries, said = 0.0, 0, ""
        while moved < UNDER_WAY:
            tries += 1
            assert tries < 20, f"the arm did not move; its program said {said!r}"
            said = self.program.stdout.readline()
            if said.startswith("late:"):
                continue
            self.driver = int(said)
            began, end = self._arm.tool, time.monotonic() + PATIENCE / 10
            while moved < UNDER_WAY and time.monotonic() < end:
                moved = began[1] - self._arm.tool[1]
        return self

    def __exit__(self, *error):
        self.program.kill()
        self.program.wait(PATIENCE)
        self.program.stdout.close()
        if alive(self.driver):  # it may be stopped, or hold an arm without brakes
            os.kill(self.driver, signal.SIGKILL)
