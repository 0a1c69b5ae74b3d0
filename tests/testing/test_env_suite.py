"""Every id, robot, observation and control passes the env suite."""

from typing import ClassVar

from user_gym.testing.env_suite import EnvSuite


class TestFrankaFr3(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fr3"}


class TestFrankaFr3Joint(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fr3", "control": "joint"}


class TestFrankaFr3Pixels(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fr3", "obs": "pixels"}


class TestFrankaFer(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fer"}


class TestFrankaFerJointPixels(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fer", "control": "joint", "obs": "pixels"}


class TestArxX5(EnvSuite):
    kwargs: ClassVar = {"robot": "arx-x5"}


class TestArxX5Joint(EnvSuite):
    kwargs: ClassVar = {"robot": "arx-x5", "control": "joint"}


class TestArxX5Pixels(EnvSuite):
    kwargs: ClassVar = {"robot": "arx-x5", "obs": "pixels"}


class TestArxL5(EnvSuite):
    kwargs: ClassVar = {"robot": "arx-l5"}


class TestArxL5JointPixels(EnvSuite):
    kwargs: ClassVar = {"robot": "arx-l5", "control": "joint", "obs": "pixels"}
