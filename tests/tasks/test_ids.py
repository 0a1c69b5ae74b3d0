"""Each id of a task but peg insertion, under the suite and both checkers. Peg insertion's are in tests/testing."""

from typing import ClassVar

from user_gym.testing.env_suite import EnvSuite


class TestCharger(EnvSuite):
    id = "User/Charger-sim-v0"


class TestChargerPixels(EnvSuite):
    id = "User/Charger-sim-v0"
    kwargs: ClassVar = {"robot": "arx-x5", "obs": "pixels"}


class TestCapTighten(EnvSuite):
    id = "User/CapTighten-sim-v0"


class TestCapTightenJointPixels(EnvSuite):
    id = "User/CapTighten-sim-v0"
    kwargs: ClassVar = {"robot": "arx-l5", "control": "joint", "obs": "pixels"}


class TestPickPlace(EnvSuite):
    id = "User/PickPlace-sim-v0"


class TestPickPlaceJointPixels(EnvSuite):
    id = "User/PickPlace-sim-v0"
    kwargs: ClassVar = {"robot": "arx-x5", "control": "joint", "obs": "pixels"}


class TestTableCleanup(EnvSuite):
    id = "User/TableCleanup-sim-v0"
    extra_info = frozenset({"stage", "done_objects"})


class TestTableCleanupJointPixels(TestTableCleanup):
    kwargs: ClassVar = {"robot": "arx-l5", "control": "joint", "obs": "pixels"}


class TestRandomised(EnvSuite):
    id = "User/CapTighten-sim-v0"
    kwargs: ClassVar = {"robot": "arx-x5", "randomise": "all"}
    draws = False
    extra_info = frozenset(f"randomised_{name}" for name in ("pose", "friction", "light", "colours", "camera", "latency"))
