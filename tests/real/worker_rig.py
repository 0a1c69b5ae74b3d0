"""A toy arm's job, and programs that drive it and die. No vendor."""

import os
import subprocess
import sys
import time

import numpy as np

from user_gym.core import Command
from user_gym.real.berth import Place
from user_gym.robots import specs
from user_gym.testing.bench import Bench

SPEC = specs.spec("franka-fr3")
TASK = Bench(SPEC)
START = TASK.start(np.random.default_rng(0))


class Berth:
    def __init__(self, job):
        self.job = job

    def take(self):
        return Place(self.job)

    def began(self, time):
        assert time == 0.0

    def release(self):
        pass


def until(holds, timeout=5.0):
    """Wait for another process."""
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def stay(state):
    return Command(0.0, tcp=state.tcp)


PARENT = """
import sys, time, numpy as np
sys.path[:0] = {path!r}
import os
from toy import VirtualClock
from user_gym.real.job import Job
from user_gym.real.robot import RealRobot
from user_gym.testing.bench import PERIOD
from worker_rig import SPEC, START, TASK, Berth
job = Job("toy", "toy:ToyDriver", SPEC, "tcp", "nowhere", VirtualClock(), TASK.workspace, PERIOD, False,
          options={options!r})
robot = RealRobot(SPEC, "tcp", Berth(job))
robot.connect()
robot.reset(START)
child = os.fork() if {fork} else 0
if {fork} and not child:
    time.sleep(60)
print(robot.pid, child, flush=True)
time.sleep(60)
"""


def orphan(tmp_path, fork=False, **options):
    """A worker whose parent was killed; its process id, and when that was. With `fork`, a child of the parent lives on."""
    options["diary"] = str(tmp_path / "diary")
    code = PARENT.format(path=[os.path.dirname(__file__)], options=options, fork=fork)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        pid, child = map(int, parent.stdout.readline().split())
        parent.kill()
        killed = time.monotonic()
    return (pid, killed, child) if fork else (pid, killed)


def alive(pid) -> bool:
    """Whether any of its threads is: the first is a zombie while others still end."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().split(") ")[1][0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
