"""A toy arm behind a worker process, and what its driver was told."""

import adoption_rig
import pytest
from toy import VirtualClock
from worker_rig import SPEC, TASK, Berth

from user_gym.real.guard import Thresholds
from user_gym.real.job import Job
from user_gym.real.robot import RealRobot
from user_gym.testing.bench import PERIOD


@pytest.fixture
def stops(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))


@pytest.fixture
def make(tmp_path, stops):
    made = []

    def build(clock=None, patience=None, thresholds=None, stale=None, moves_gripper=False, control="tcp", **options):
        job = Job(
            "toy", "toy:ToyDriver", SPEC, control, "nowhere", clock or VirtualClock(), TASK.workspace, PERIOD, moves_gripper,
            stale=stale, thresholds=thresholds or Thresholds(), options={"diary": str(tmp_path / "diary"), **options},
        )  # fmt: skip
        robot = RealRobot(SPEC, control, Berth(job), patience)
        made.append(robot)
        return robot

    yield build
    for robot in made:
        robot.close()


@pytest.fixture
def diary(tmp_path, stops):
    path = tmp_path / "diary"
    return lambda: [line.split(" ", 1)[1] for line in path.read_text().splitlines()]


@pytest.fixture
def place(tmp_path, stops, monkeypatch):
    """The diary of arms that are leased, in a folder of leases of their own."""
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path / "diary"


@pytest.fixture
def heir(place):
    """Makes the robot of a next program, in this process."""
    made = []

    def build(**options):
        made.append(adoption_rig.robot(place, **options))
        return made[-1]

    yield build
    for arm in made:
        arm.close()
