"""A toy arm without brakes that is leased, programs that drive it and die, and the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

from toy import VirtualClock
from worker_rig import SPEC, TASK, alive, until

from user_gym.core import Device
from user_gym.real.berth import Place
from user_gym.real.job import Job
from user_gym.real.robot import RealRobot
from user_gym.robots import lease
from user_gym.testing.bench import PERIOD

ARM = Device("toy", "robot", SPEC.name, "toy-arm")
PATIENCE = 30.0  # s for what another process has to do


def job(diary, **options):
    options = {"diary": str(diary), "brakes": False, **options}
    return Job("toy", "toy:ToyDriver", SPEC, "tcp", "toy-arm", VirtualClock(), TASK.workspace, PERIOD, False, options=options)


class Leased:
    """A berth: leases the arm, also from a driver process that holds it."""

    def __init__(self, job, adopt=True):
        self._job, self._adopt, self.hold = job, adopt, None

    def take(self):
        self.hold = self.hold or lease.take(ARM, adopt=self._adopt)
        return Place(self._job, self.hold)

    def began(self, time):
        pass

    def release(self):
        if self.hold is not None:
            self.hold.release()
            self.hold = None


def robot(diary, adopt=True, control="tcp", **options):
    return RealRobot(SPEC, control, Leased(replace(job(diary, **options), control=control), adopt))


PROGRAM = """
import os, sys, time
sys.path[:0] = {path!r}
from adoption_rig import robot
from worker_rig import START
arm = robot({diary!r}, **{options!r})
arm.connect()
arm.reset(START)
child = os.fork() if {fork} else 0
if {fork} and not child:
    time.sleep(60)
print(arm.pid, child, flush=True)
time.sleep(60)
"""


class Program:
    """Drives the arm until it is killed."""

    def __init__(self, diary, fork=False, **options):
        code = PROGRAM.format(path=[os.path.dirname(__file__)], diary=str(diary), options=options, fork=fork)
        self._process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self.driver, self._child = map(int, self._process.stdout.readline().split())

    def kill(self):
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def close(self):
        self.kill()
        for pid in (self._child, self.driver):
            if pid and alive(pid):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def orphaned(diary, **options):
    """A driver process that waits for its next owner."""
    program = Program(diary, **options)
    try:
        program.kill()
        waits(program.driver)
        yield program
    finally:
        program.close()


def waits(driver):
    """Until the driver process says that it waits for an owner."""
    until(lambda: (owner := lease.holder(ARM)) is not None and owner.waiting and owner.pid == driver, PATIENCE)
