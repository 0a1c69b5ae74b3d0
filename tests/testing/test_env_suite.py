"""Every id, robot, observation and control passes the env suite, and the suite catches environments that break a rule."""

from functools import wraps
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from user_gym.env import RobotEnv
from user_gym.testing.env_suite import EnvSuite


class TestFrankaFr3(EnvSuite):
    kwargs: ClassVar = {"robot": "franka-fr3"}

    @pytest.fixture(autouse=True)
    def _everything_that_is_made_is_closed(self, monkeypatch):
        made, closed = [], []
        monkeypatch.setattr(RobotEnv, "__init__", noting(RobotEnv.__init__, made))
        monkeypatch.setattr(RobotEnv, "close", noting(RobotEnv.close, closed))
        yield
        still_open = {id(env._cell) for env in made} - {id(env._cell) for env in closed}  # a pickled one has its copy's cell
        assert not still_open


def noting(method, objects):
    """The method, and each object that it is called on goes into a list."""

    @wraps(method)
    def noted(self, *args, **kwargs):
        objects.append(self)
        return method(self, *args, **kwargs)

    return noted


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


class Faulty(gym.Wrapper):
    """A sound environment behind one fault."""

    @property
    def unwrapped(self):
        return self

    @property
    def state(self):
        return self.env.unwrapped.state


class GivesNumpyFlags(Faulty):
    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, np.float32(reward), np.bool_(terminated), truncated, info


class ForgetsAKey(Faulty):
    def step(self, action):
        *step, info = self.env.step(action)
        del info["executed_action"]
        return *step, info


class AddsAKey(Faulty):
    def reset(self, *, seed=None, options=None):
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, {**info, "wrist_age": 0.01}

    def step(self, action):
        *step, info = self.env.step(action)
        return *step, {**info, "wrist_age": 0.01}


class TerminatesAtTheLimit(Faulty):
    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated or truncated, False, info


class IgnoresItsSeed(Faulty):
    def reset(self, *, seed=None, options=None):
        return self.env.reset(options=options)


class ReusesItsObservation(Faulty):
    mine = None

    def step(self, action):
        obs, *step = self.env.step(action)
        self.mine = obs if self.mine is None else self.mine
        self.mine["state"][:] = obs["state"]
        return self.mine, *step


class MovesOnABadAction(Faulty):
    def step(self, action):
        try:
            return self.env.step(action)
        except Exception:
            self.env.step(np.zeros(6))
            raise


class LeavesItsSpace(Faulty):
    def step(self, action):
        obs, *step = self.env.step(action)
        return {"state": obs["state"] * 50}, *step


SUITE = EnvSuite()


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (GivesNumpyFlags, SUITE.test_a_step_has_pythons_types_and_the_documented_info),
        (AddsAKey, SUITE.test_a_step_has_pythons_types_and_the_documented_info),
        (ForgetsAKey, SUITE.test_a_step_has_pythons_types_and_the_documented_info),
        (TerminatesAtTheLimit, None),
        (IgnoresItsSeed, None),
        (ReusesItsObservation, SUITE.test_what_was_handed_out_is_not_written_again),
        (MovesOnABadAction, SUITE.test_bad_actions_are_refused_and_nothing_moves),
        (LeavesItsSpace, SUITE.test_observations_are_inside_their_space),
    ],
)
def test_the_suite_catches_an_environment_that(fault, test) -> None:
    suite = EnvSuite()
    suite.make = lambda **more: fault(gym.make(suite.id, disable_env_checker=True, **more))
    alone = {
        TerminatesAtTheLimit: suite.test_a_time_limit_truncates,
        IgnoresItsSeed: suite.test_equal_seeds_give_equal_episodes,
    }
    with pytest.raises(AssertionError):
        test(suite.make()) if test else alone[fault]()


def test_a_key_that_is_declared_is_welcome() -> None:
    suite = EnvSuite()
    suite.extra_info = frozenset({"wrist_age"})
    env = AddsAKey(suite.make())
    suite.test_a_step_has_pythons_types_and_the_documented_info(env)
    env.close()
