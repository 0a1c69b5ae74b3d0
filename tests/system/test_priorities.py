"""Draws follow the priorities, whatever was pruned and whatever came later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.system.priorities import Prioritized


class Numbers:
    """A storage of numbers alone."""

    def __init__(self, count=0, gap=1):
        self.numbers, self.dead = np.arange(count) * gap, set()

    def newer(self, number):
        return self.numbers[self.numbers >= number]

    def lives(self, numbers):
        return ~np.isin(numbers, list(self.dead))

    def read(self, numbers, horizon=1, out=None):
        return tuple(numbers)


def counted(drawn, numbers):
    return np.array([(drawn == number).sum() for number in numbers])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=40), st.integers(1, 3))
def test_each_transition_is_drawn_in_proportion(priorities, gap):
    storage = Numbers(len(priorities), gap)
    replay = Prioritized(storage, alpha=1.0, beta=1.0)
    assert len(replay) == len(priorities)
    given_ = np.array(priorities) + 1e-3
    replay.update(storage.numbers, given_)
    _, drawn, weights = replay.sample(4000, np.random.default_rng(0))
    share = given_ / given_.sum()
    # Draws are stratified: of n, each transition gets its share to within two.
    assert np.abs(counted(drawn, storage.numbers) - 4000 * share).max() < 2.01
    chance = share[np.searchsorted(storage.numbers, drawn)]
    np.testing.assert_allclose(weights, chance.min() / chance, rtol=2e-3)


def test_a_new_transition_has_the_largest_priority_and_growing_keeps_the_others():
    storage = Numbers(2)
    replay = Prioritized(storage, alpha=1.0)
    replay.sample(2, np.random.default_rng(0))
    replay.update(np.array([0, 1]), [1.0, 3.0])
    storage.numbers = np.arange(3000)
    _, drawn, _ = replay.sample(8998, np.random.default_rng(0))
    counts = counted(drawn, range(3000))
    assert counts[0] in (0, 1, 2)
    assert abs(counts[1:].mean() - 3) < 0.01


def test_what_was_pruned_is_not_drawn():
    storage = Numbers(10)
    replay = Prioritized(storage)
    storage.dead = {3, 4, 5}
    _, drawn, _ = replay.sample(300, np.random.default_rng(0))
    assert set(drawn.tolist()) == {0, 1, 2, 6, 7, 8, 9}
    storage.dead = set(range(10))
    with pytest.raises(BadOption, match="nothing yet"):
        replay.sample(1, np.random.default_rng(0))


def test_without_correction_all_weights_are_one():
    replay = Prioritized(Numbers(5), beta=0.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update(np.arange(5), np.arange(5.0))
    assert (replay.sample(50, np.random.default_rng(0))[2] == 1).all()


@pytest.mark.parametrize("priorities", [[1.0], [1.0, np.nan], [1.0, -1.0], [1.0, np.inf]])
def test_a_priority_that_is_none_is_refused(priorities):
    replay = Prioritized(Numbers(2))
    assert len(replay) == 2
    with pytest.raises(BadOption, match="priorities"):
        replay.update(np.array([0, 1]), priorities)
    with pytest.raises(BadOption, match="numbers"):
        replay.update(np.array([0, 7]), [1.0, 1.0])


@pytest.mark.parametrize("option", [{"alpha": -0.1}, {"alpha": 1.1}, {"beta": float("nan")}])
def test_an_exponent_out_of_range_is_refused(option):
    with pytest.raises(BadOption):
        Prioritized(Numbers(2), **option)
