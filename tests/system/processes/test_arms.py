"""Real drivers on protocol twins, as robots of a run: one that fails or dies costs its own share, and comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from user_gym.robots import stop
from user_gym.robots.motors import MOST_TIMEOUT
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess
from user_gym.system import Buffer

pytestmark = pytest.mark.slow
fr3 = pytest.mark.skipif(not find_spec("franky"), reason="no wheel of franky-control here")
can = pytest.mark.skipif(not find_spec("can"), reason="python-can is not installed")
PATIENCE = 60.0
FULL = 100  # steps of an episode whose time was up


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path


@contextmanager
def twin(robot, folder) -> Iterator[tuple[dict, Side]]:
    """A gated twin: what a plan says of it, and its side door."""
    if robot.startswith("franka"):
        pid = os.getpid()
        place = f"127.{210 + pid % 20}.{pid // 20 % 250 + 1}.{time.monotonic_ns() % 250 + 1}"
        made, options = "user_gym.sim.fci.twin:FciTwin", {"address": place}
    else:
        place = f"seqpacket:{folder}/bus"
        made, options = "user_gym.sim.can.twin:CanTwin", {"bus": place, "timeout": MOST_TIMEOUT}
    with TwinProcess(made, robot, {**options, "mode": "paced"}) as process:
        side = Side(process.side, PATIENCE)
        side.connect()
        yield {"kind": "User/PegInsert-real-v0", "address": place, "twin": process.side}, side
        side.close()


def started(runs, robot, place):
    """A run of the twin and a simulated arm of the same kind, both at work. It has no end."""
    arms = {"twin": place, "sim": {"kind": "User/PegInsert-sim-v0"}}
    collectors = [
        {"name": name, "env": "arm_robots:PacedArm-v0", "robot": robot, "kwargs": kwargs} for name, kwargs in arms.items()
    ]
    run = runs(steps=1_000_000, tolerance=1e6, collectors=collectors, agent={"make": "arm_robots:agent"}).start()
    for name in arms:
        run.until(lambda name=name: steps(run, name) >= 20, f"20 steps of {name}")
    return run


def steps(run, name):
    return run.facts("owner").get("robots", {}).get(name, {}).get("steps", 0)


def more(run, name, count=20):
    at = steps(run, name)
    run.until(lambda: steps(run, name) >= at + count, f"{count} more steps of {name}")


def state(run, name):
    return run.facts(name).get("state", "")


def ended(run):
    run.parent.terminate()
    assert run.end()[0] == 130, run.logs()
    for episodes in run.experience().values():
        assert all(sequences == list(range(len(sequences))) for sequences in episodes.values())


@can
def test_a_fault_of_an_arm_truncates_its_episode_and_the_arm_rejoins_when_it_is_healthy(runs, folder):
    with twin("arx-x5", folder) as (place, side):
        run = started(runs, "arx-x5", place)
        other, mine = run.pid("sim"), run.pid("twin")
        for faults in range(1, 6):  # until one comes while an episode runs: most come there, some while the arm is reset
            side.ask("fault", name="over-current", motor=6)
            run.until(lambda: "quarantined for" in state(run, "twin"), "the fault")
            assert "over current" in state(run, "twin")
            more(run, "sim")
            side.ask("heal")
            run.until(lambda: state(run, "twin") == "collects", "it to come back")
            more(run, "twin")
            assert (run.pid("sim"), run.pid("twin")) == (other, mine)  # no process had to be started again
            assert run.facts("twin")["faults"] >= faults
            if cut := shortened(run):
                break
        assert run.facts("sim")["faults"] == 0
        ended(run)
        assert cut
        assert min(cut) < max(run.experience()["twin"])


def shortened(run):
    """Episodes of the twin that were truncated before their time was up."""
    with Buffer.open(run.folder.buffer, read_only=True) as buffer:
        ends = buffer.view("source = 'twin' AND truncated").numbers()
        episodes = {buffer.chunk(int(end)).episode for end in ends}
        return [one for one in episodes if len(buffer.view(f"source = 'twin' AND episode = {one}")) < FULL]


@fr3
def test_an_arm_whose_collector_is_killed_rejoins_by_itself(runs, folder):
    with twin("franka-fr3", folder) as (place, _):
        run = started(runs, "franka-fr3", place)
        other = run.pid("sim")
        killed = run.kill("twin")
        more(run, "sim")
        more(run, "twin")
        assert run.pid("sim") == other
        assert run.pid("twin") != killed
        ended(run)


@can
def test_an_arm_without_brakes_is_held_when_its_collector_is_killed_and_rejoins_by_itself(runs, folder):
    with twin("arx-x5", folder) as (place, _):
        run = started(runs, "arx-x5", place)
        other, drivers = run.pid("sim"), listening(folder)
        killed = run.kill("twin")
        more(run, "sim")
        more(run, "twin")
        assert listening(folder) == drivers  # the driver process that held the arm drives it
        assert run.pid("sim") == other
        assert run.pid("twin") != killed
        ended(run)
        assert not listening(folder)  # and the run lets go of it in order


@can
def test_one_that_must_not_be_taken_over_rejoins_when_a_person_lets_go(runs, folder):
    with twin("arx-x5", folder) as (place, _):
        run = started(runs, "arx-x5", {**place, "adopt": False})
        run.kill("twin")
        more(run, "sim")
        run.until(lambda: "is leased" in state(run, "twin"), "the next collector to find the arm held")
        again = run.pid("twin")
        assert stop.tell(stop.RELEASE).reached
        more(run, "twin")
        assert run.pid("twin") == again  # it waited, and was not started over and over
        ended(run)


def listening(folder):
    """The driver processes there are."""
    return sorted(ear.name for ear in (folder / "stops").glob("*.stop"))
