"""An ideal arm: it is where it was ordered to be, one step later. Built by its name inside the worker."""

import os
import signal
import threading
import time
import weakref
from dataclasses import replace

import numpy as np

from user_gym.core import RobotState
from user_gym.errors import LinkLost, NotReset, Reflex, RobotFault
from user_gym.robots import kinematics, pose, reach, stop


class VirtualClock:
    """Time that passes only when it is told to."""

    overruns = 0

    def __init__(self):
        self.now = 0.0

    def connect(self):
        pass

    def start(self):
        pass

    def check(self):
        pass

    def tick(self, period):
        self.now += period

    def free(self):
        return self

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass

    def close(self):
        pass


class Client:
    """A vendor's, that a robot serves as long as it lives."""


class ToyDriver:
    """Notes what it was told in `diary`, a file, so that a test sees it after the process died."""

    def __init__(
        self,
        spec,
        control,
        address,
        clock,
        diary=None,
        brakes=True,
        broken="",
        wrench=0.0,
        answers=1 << 30,
        hurried=False,
        slow=0.0,
        lowering=0.0,
        short=0.0,
        turned=0.0,
    ):
        self.spec, self.control, self.clock = spec, control, VirtualClock() if hurried else clock
        self.brakes, self.broken, self.wrench, self.slow = brakes, broken, wrench, slow
        self.lowering, self.short = lowering, short
        self._diary, self._answers = diary, answers
        self._q, self._time, self._following = spec.home.copy(), 0.0, False
        self._q[0] += turned
        self._gripper, self._pressed = 0.0, 0.0
        self._interrupted = threading.Event()

    def note(self, text):
        if self._diary:
            with open(self._diary, "a") as diary:
                diary.write(f"{time.monotonic():.4f} {text}\n")

    def connect(self):
        if self.broken == "connect":
            raise LinkLost("no toy at this address")
        self.note(f"connect {os.getpid()}")
        if self.broken == "before":
            raise Reflex("a reflex from before")

    def measure(self):
        self._answers -= 1
        if self._answers < 0:
            raise LinkLost("no motor answers")
        tool = kinematics.forward(self.spec, self._q)
        zero = np.zeros(self.spec.dof)
        return RobotState(
            np.float64(self._time), self._q.copy(), zero, zero.copy(), pose.to_chart(tool), np.zeros(6),
            np.array([0, 0, self._pressed, 0, 0, 0.0]), np.float64(self._gripper),
        )  # fmt: skip

    def move(self, waypoints, speed):
        goals = [reach.solve(self.spec, w + [0, 0, self.short, 0, 0, 0]) for w in waypoints]
        self._following = False
        for waypoint, q in zip(waypoints, goals, strict=True):
            self.note(f"move {np.round(waypoint, 4).tolist()} {speed}")
            if self.broken == "slow":
                self._interrupted.wait(20)
            self.clock.tick(0.1)
            self._q = q
        if self.broken == "obstacle":
            self._pressed = self.wrench

    def interrupt(self):
        self._interrupted.set()

    def begin(self):
        self._time, self._following = 0.0, True
        self.clock.start()
        self.note("begin")
        return self.measure()

    def exchange(self, command, period):
        if not self._following:
            raise NotReset("exchange before begin")
        if self.broken == "reflex":
            self.broken = ""
            self._following = False
            raise Reflex("toy reflex")
        if self.broken == "lost":
            self.broken, client = "", Client()
            weakref.finalize(client, self.note, "client gone")
            raise LinkLost("toy link")
        if self.broken == "stop":
            self.broken = ""
            stop.tell()
            end = time.monotonic() + 5
            while time.monotonic() < end:
                self.clock.check()
                time.sleep(0.001)
        if self.broken == "crash":
            raise KeyError("a vendor's surprise")
        if self.broken == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60 if self.broken == "hang" else self.slow)
        if command.tcp is not None:
            self.note(f"order {np.round(command.tcp, 6).tolist()}")
        self._q = reach.solve(self.spec, command.tcp) if command.joints is None else command.joints.copy()
        if self.broken == "sag":
            self._q = reach.solve(self.spec, command.tcp - [0, 0, 0.001, 0, 0, 0])
        hand = self.spec.gripper
        most = hand.speed * period / hand.width
        self._gripper += float(np.clip(command.gripper - self._gripper, -most, most))
        self.clock.tick(period)
        self._time += period
        return replace(self.measure(), wrench=np.array([0, 0, self.wrench, 0, 0, 0.0]))

    def set_compliance(self, compliance):
        self.note(f"compliance {compliance.stiffness[0]}")

    def hold(self):
        self._following = False
        self.note("hold")
        if self.broken == "hold":
            raise KeyError("a vendor's surprise")

    def recover(self):
        if self.broken == "for good":
            raise RobotFault("a person has to look")
        self.note("recover")

    def close(self):
        time.sleep(self.lowering)
        self.note("close")
