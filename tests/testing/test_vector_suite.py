"""Vector environments pass the vector suite, and the suite catches those that mix arms or modes."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from faults import is_caught

from user_gym.testing.vector_suite import DISABLED, NEXT, SAME, VectorSuite


class TestFrankaFr3(VectorSuite):
    vector_kwargs: ClassVar = {"threads": 2}


class TestArxX5Joint(VectorSuite):
    kwargs: ClassVar = {"robot": "arx-x5", "control": "joint"}


class TestFrankaFr3Joint(VectorSuite):
    kwargs: ClassVar = {"control": "joint"}


class TestArxL5(VectorSuite):
    kwargs: ClassVar = {"robot": "arx-l5"}


class TestFrankaFerPixels(VectorSuite):
    kwargs: ClassVar = {"robot": "franka-fer", "obs": "pixels"}


class Faulty(gym.vector.VectorWrapper):
    """A sound vector environment behind one fault."""

    @property
    def metadata(self):
        return self.env.metadata


class SwapsRewards(Faulty):
    def step(self, actions):
        obs, reward, *step = self.env.step(actions)
        return obs, reward + np.arange(self.num_envs), *step


class ForgetsTheFinalObservation(Faulty):
    def step(self, actions):
        *step, info = self.env.step(actions)
        return *step, {key: value for key, value in info.items() if "final" not in key}


class SeedsAllAlike(Faulty):
    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=[seed] * self.num_envs if isinstance(seed, int) else seed, options=options)


class ResetsEveryone(Faulty):
    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed)


class SeedsBeforeItLooks(Faulty):
    def reset(self, *, seed=None, options=None):
        try:
            return self.env.reset(seed=seed, options=options)
        except ValueError:
            self.env.reset(seed=1)
            raise


class MovesOnABadAction(Faulty):
    def step(self, actions):
        try:
            return self.env.step(actions)
        except ValueError:
            self.env.step(np.zeros(self.action_space.shape))
            raise


class ReusesItsObservation(Faulty):
    mine = None

    def step(self, actions):
        obs, *step = self.env.step(actions)
        self.mine = obs if self.mine is None else self.mine
        self.mine["state"][:] = obs["state"]
        return self.mine, *step


class RunsOn(Faulty):
    """Past the end of an episode."""

    def step(self, actions):
        step = self.env.step(actions)
        done = step[2] | step[3]
        if done.any():
            self.env.reset(options={"reset_mask": done})
        return step


class Suite(VectorSuite):
    fault = Faulty

    def make(self, mode=NEXT, count=3, **more):
        return self.fault(super().make(mode, count, **more))


@pytest.mark.parametrize(
    ("fault", "name", "arguments"),
    [
        (SwapsRewards, "test_every_autoreset_mode_equals_gymnasiums_own_vectoriser", (NEXT,)),
        (ForgetsTheFinalObservation, "test_every_autoreset_mode_equals_gymnasiums_own_vectoriser", (SAME,)),
        (ResetsEveryone, "test_every_autoreset_mode_equals_gymnasiums_own_vectoriser", (DISABLED,)),
        (SeedsAllAlike, "test_a_row_equals_the_single_environment_with_its_seed", None),
        (ResetsEveryone, "test_an_arm_that_is_reset_alone_leaves_the_others_alone", ()),
        (SeedsBeforeItLooks, "test_a_bad_reset_is_refused_and_changes_nothing", None),
        (MovesOnABadAction, "test_bad_actions_are_refused_and_nothing_moves", None),
        (ReusesItsObservation, "test_what_was_handed_out_is_not_written_again", ()),
        (RunsOn, "test_a_step_past_an_end_is_refused_without_autoreset", ()),
    ],
)
def test_the_suite_catches_a_vector_environment_that(fault, name, arguments) -> None:
    suite = Suite()
    suite.fault = fault
    further = {"a_bad_reset": (0, {"speed": 3}), "bad_actions": ("nan",)}
    if arguments is None:
        arguments = (suite.make(), *next((more for part, more in further.items() if part in name), ()))
    is_caught(lambda: getattr(suite, name)(*arguments))
