"""Arms in PhysX pass the suites that every backend passes."""

from typing import ClassVar

import pytest

from user_gym.testing.batch_suite import BatchSuite
from user_gym.testing.env_suite import EnvSuite
from user_gym.testing.robot_suite import RobotSuite
from user_gym.testing.vector_suite import VectorSuite

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)


class TestFrankaFr3(RobotSuite):
    robot, backend = "franka-fr3", "maniskill"


@pytest.mark.slow
class TestArxX5(RobotSuite):
    robot, backend = "arx-x5", "maniskill"


@pytest.mark.slow
class TestFrankas(BatchSuite):
    robot, backend = "franka-fer", "maniskill"


class TestX5s(BatchSuite):
    robot, backend = "arx-x5", "maniskill"


class TestPegInsert(EnvSuite):
    id, draws = "User/PegInsert-maniskill-v0", False
    kwargs: ClassVar = {"robot": "arx-x5"}


@pytest.mark.slow
class TestCharger(EnvSuite):
    id, draws = "User/Charger-maniskill-v0", False
    kwargs: ClassVar = {"robot": "arx-l5", "control": "joint"}


@pytest.mark.slow
class TestPickPlace(EnvSuite):
    id, draws = "User/PickPlace-maniskill-v0", False


class TestCapTighten(EnvSuite):
    id, draws = "User/CapTighten-maniskill-v0", False


@pytest.mark.slow
class TestTableCleanup(EnvSuite):
    id, draws = "User/TableCleanup-maniskill-v0", False
    extra_info = frozenset({"stage", "done_objects"})
    kwargs: ClassVar = {"robot": "arx-x5"}


@pytest.mark.slow
class TestTableCleanups(VectorSuite):
    id = "User/TableCleanup-maniskill-v0"


@pytest.mark.slow
class TestPickPlaces(VectorSuite):
    id = "User/PickPlace-maniskill-v0"
