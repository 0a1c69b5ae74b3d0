"""Robots and an agent for runs of several processes: a module that a plan can name."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
from toy_training import Toy, ToyAgent, ToyPolicy

from user_gym.errors import BadOption, Halted, Reflex
from user_gym.system import Fresh


def hang(file):
    """For ever, once, if the file is there."""
    if file and Path(file).exists():
        Path(file).unlink()
        threading.Event().wait()


class ToyRobot(Toy):
    """The toy, at a robot's pace, that can be made to fail.

    Args:
        step, reset: s that each takes.
        trouble: a file; while it exists the robot refuses. With "halt" in it, as a person stopped it.
        closed: a file to leave behind on close.
        hang: a file; the step that finds it removes it, and never ends.
        moved: a file to leave behind at the first reset.
        axes: of an action.
    """

    def __init__(self, robot="toy", step=0.0, reset=0.0, trouble="", closed="", hang="", moved="", axes=1):
        self.pace, self.rest, self.trouble, self.left = step, reset, Path(trouble or "/nowhere"), closed
        self.hang, self.moved = hang, moved
        self.action_space = gymnasium.spaces.Box(-1, 1, (axes,), np.float32)
        self.due = 0.0

    def _pass(self, seconds):
        if seconds:
            self.due = max(self.due + seconds, time.monotonic())
            time.sleep(max(0.0, self.due - time.monotonic()))

    def reset(self, *, seed=None, options=None):
        self._fail()
        if self.moved:
            Path(self.moved).touch()
        self.due = time.monotonic()
        self._pass(self.rest)
        return super().reset(seed=seed)

    def step(self, action):
        self._fail()
        hang(self.hang)
        self._pass(self.pace)
        return super().step(action)

    def _fail(self):
        if self.trouble.exists():
            raise Halted("stopped by hand") if "halt" in self.trouble.read_text() else Reflex("contact")

    def close(self):
        if self.left:
            Path(self.left).write_text("held")


gymnasium.register("ToyRobot-v0", ToyRobot)


class WideRobot(ToyRobot):
    """One that sees something else."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


gymnasium.register("WideRobot-v0", WideRobot)


class JudgedRobot(ToyRobot):
    """One that somebody else may reward, who looks at neither of these."""

    state = scene = None


gymnasium.register("JudgedRobot-v0", JudgedRobot)


def broken(robot="toy"):
    raise RuntimeError("the camera's library cannot be loaded")


gymnasium.register("BrokenRobot-v0", broken)


class SlowAgent(ToyAgent):
    """The toy agent, with an update that takes time, and a count in its checkpoint."""

    def __init__(self, seconds=0.0, hang=""):
        super().__init__()
        self.seconds, self.updates, self.hang = seconds, 0, hang

    def update(self, batch):
        hang(self.hang)
        time.sleep(self.seconds)
        self.updates += 1
        return super().update(batch)

    def save(self, path: Path):
        path.write_text(json.dumps({"mean": self.mean.tolist(), "updates": self.updates}))

    def restore(self, path: Path):
        kept = json.loads(path.read_text())
        self.mean, self.updates = np.array(kept["mean"], np.float32), kept["updates"]


def agent(observations, actions, options):
    return SlowAgent(options.get("update", 0.0), options.get("hang", ""))


def policy(observations, actions, horizon=1):
    """What acts at an edge."""
    return ToyPolicy(horizon)


class Homeless(SlowAgent):
    """Finds no room for a checkpoint while a file exists."""

    def __init__(self, full):
        super().__init__()
        self.full = Path(full)

    def save(self, path: Path):
        if self.full.exists():
            raise OSError(28, "No space left on device")
        super().save(path)


def homeless(observations, actions, options):
    return Homeless(options["full"])


def fresh(storage, options):
    """Batches of a plan that has a freshness."""
    if not isinstance(storage, Fresh):
        raise BadOption("storage", storage, "steps by their staleness")
    return lambda _, rng: storage.sample(options["batch_size"], rng)


class Greedy(SlowAgent):
    """Wants more memory than there is."""

    def update(self, batch):
        raise MemoryError("64 GiB are more than there is")


def greedy(observations, actions, options):
    return Greedy()
