"""`user-gym edge` as a process of its own, for a run whose plan names its robots."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import count

from running import HERE, PATIENCE, toml

ENV = "toy_robots:ToyRobot-v0"
_numbers = count(1)


def address():
    """One that no other test has."""
    return f"127.{os.getpid() >> 8 & 127 | 1}.{os.getpid() & 255}.{next(_numbers) % 250 + 1}:5871"


def robot(name, **more):
    return {"name": name, "env": ENV, "kwargs": {"step": 0.005}, **more}


def at_edges(*sources, **changes):
    """Changes to a plan: its collectors, those with a / at edges."""
    collectors = [robot(s.split("/")[-1], **({"edge": s.split("/")[0]} if "/" in s else {})) for s in sources]
    return {"collectors": collectors, "hub": {"listen": address()}, **changes}


class EdgeProcess:
    """`user-gym edge` of a run's plan."""

    def __init__(self, run, name, **changes):
        robots = [robot(c.name) for c in run.plan.edges if c.edge == name]
        path = run.folder.path.parent
        words = {"hub": run.plan.hub.listen, "name": name, "policy": "toy_robots:policy"}
        words |= {"spool": f"{path}/spool-{name}", "raw": f"{path}/raw-{name}"}
        (path / f"{name}.toml").write_text(toml({**words, "robots": robots, **changes}))
        self.command = [sys.executable, "-W", "error", "-m", "user_gym.cli", "edge", "--config", str(path / f"{name}.toml")]
        self.log = path / f"{name}-{time.monotonic_ns()}.log"
        self.start()

    def start(self):
        paths = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        with self.log.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "USER_GYM_STOPS": f"{self.log}.stops"}
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        return self.process.wait(PATIENCE)

    @property
    def said(self):
        return self.log.read_text()
