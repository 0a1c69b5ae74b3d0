"""Draws follow the priorities, whatever was pruned and whatever came later."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadOption, Gone
from user_gym.system import Buffer
from user_gym.system.priorities import Prioritized
from user_gym.testing.storage_suite import steps


class Numbers:
    """A storage of numbers alone."""

    def __init__(self, count=0, gap=1):
        self.all, self.dead = np.arange(count) * gap, set()

    def __len__(self):
        return len(self.numbers())

    def numbers(self, since=0):
        return np.array([number for number in self.all if number >= since and number not in self.dead], np.int64)

    def read(self, numbers, horizon=1, out=None):
        if self.dead & set(numbers.tolist()):
            raise Gone("pruned")
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
    replay.update(storage.all, given_)
    _, drawn, weights = replay.sample(4000, np.random.default_rng(0))
    share = given_ / given_.sum()
    # Draws are stratified: of n, each transition gets its share to within two.
    assert np.abs(counted(drawn, storage.all) - 4000 * share).max() < 2.01
    chance = share[np.searchsorted(storage.all, drawn)]
    np.testing.assert_allclose(weights, chance.min() / chance, rtol=2e-3)


def test_a_new_transition_has_the_largest_priority_and_growing_keeps_the_others():
    storage = Numbers(2)
    replay = Prioritized(storage, alpha=1.0)
    replay.sample(2, np.random.default_rng(0))
    replay.update(np.array([0, 1]), [1.0, 3.0])
    storage.all = np.arange(3000)
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


def test_what_comes_late_among_older_ones_is_drawn_and_the_others_keep_their_priorities():
    storage = Numbers(10)
    storage.dead = {2, 3}
    replay = Prioritized(storage, alpha=1.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update(np.array([0, 1, 4]), [8.0, 0.0, 0.0])
    storage.dead = {4}
    _, drawn, _ = replay.sample(6400, np.random.default_rng(0))
    counts = counted(drawn, range(10))
    # 0 has 8, 1 nothing, 4 has left, 2 and 3 are new and have 8 like it, 5 .. 9 have the 1 that they began with.
    np.testing.assert_allclose(counts / 6400 * 29, [8, 0, 8, 8, 0, 1, 1, 1, 1, 1], atol=0.05)


def test_a_transition_that_left_since_it_was_drawn_is_passed_over_when_its_priority_comes():
    storage = Numbers(3)
    replay = Prioritized(storage, alpha=1.0)
    assert len(replay) == 3
    storage.dead = {1}
    assert len(replay) == 2
    replay.update(np.array([1, 2]), [5.0, 3.0])
    _, drawn, _ = replay.sample(4000, np.random.default_rng(0))
    assert abs(counted(drawn, [2])[0] - 3000) < 2
    replay.update(np.empty(0, np.int64), [])


def test_a_storage_that_forgets_the_old_keeps_the_tree_small():
    storage = Numbers(0)
    replay = Prioritized(storage)
    for begin in range(0, 50_000, 500):
        storage.all = np.arange(max(0, begin - 500), begin + 500)
        replay.sample(8, np.random.default_rng(begin))
    assert len(replay) == 1000
    assert len(replay._tree) == 2048


def test_without_correction_all_weights_are_one():
    replay = Prioritized(Numbers(5), beta=0.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update(np.arange(5), np.arange(5.0))
    assert (replay.sample(50, np.random.default_rng(0))[2] == 1).all()


@pytest.mark.parametrize(
    "priorities", [[1.0], [1.0, np.nan], [1.0, -1.0], [1.0, np.inf], [1.0, 1e200], ["a", "b"], [1j, 1.0], None, [[1.0, 1.0]]]
)
def test_a_priority_that_is_none_is_refused(priorities):
    replay = Prioritized(Numbers(2))
    assert len(replay) == 2
    with pytest.raises(BadOption, match="priorities"):
        replay.update(np.array([0, 1]), priorities)
    assert (replay.sample(50, np.random.default_rng(0))[2] == 1).all()


@pytest.mark.parametrize("numbers", [[0.0, 1.0], ["0", "1"], [[0, 1]], [True, False]])
def test_what_are_no_numbers_of_transitions_is_refused(numbers):
    replay = Prioritized(Numbers(2))
    with pytest.raises(BadOption, match="numbers"):
        replay.update(numbers, np.ones(np.shape(numbers)))


def test_where_all_priorities_are_zero_all_are_drawn_alike():
    replay = Prioritized(Numbers(4), alpha=1.0, beta=1.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update([0, 1, 2, 3], [0, 0, 0, 0])
    _, drawn, weights = replay.sample(400, np.random.default_rng(0))
    assert (counted(drawn, range(4)) == 100).all()
    assert (weights == 1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint8, bool])
def test_numbers_of_any_kind_are_priorities(dtype):
    replay = Prioritized(Numbers(2), alpha=1.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update(np.array([0, 1], np.int32), np.array([0, 1], dtype))
    assert (replay.sample(50, np.random.default_rng(0))[1] == 1).all()


def test_the_greatest_priorities_have_a_finite_sum():
    replay = Prioritized(Numbers(1000), alpha=1.0, beta=1.0)
    replay.sample(1, np.random.default_rng(0))
    replay.update(np.arange(1000), np.full(1000, 1e100))
    _, drawn, weights = replay.sample(1000, np.random.default_rng(0))
    assert (counted(drawn, range(1000)) == 1).all()
    assert (weights == 1).all()


def test_a_buffer_that_is_pruned_between_a_draw_and_its_update_goes_on():
    with Buffer.open(":memory:") as buffer:
        buffer.extend([steps(4, 10 * episode, episode, 0) for episode in range(4)])
        replay = Prioritized(buffer, alpha=1.0, beta=1.0)
        _, drawn, _ = replay.sample(16, np.random.default_rng(0))
        buffer._store.prune("episode = 1")
        replay.update(drawn, np.where(drawn // 4 == 1, 1000.0, drawn))
        batch, numbers, _ = replay.sample(2000, np.random.default_rng(0))
        assert set((batch.reward // 10).astype(int).tolist()) == {0, 2, 3}
        np.testing.assert_allclose(counted(numbers, range(16)) / 2000 * 98, [0, 1, 2, 3, *[0] * 4, *range(8, 16)], atol=0.1)


@pytest.mark.parametrize("option", [{"alpha": -0.1}, {"alpha": 1.1}, {"beta": float("nan")}])
def test_an_exponent_out_of_range_is_refused(option):
    with pytest.raises(BadOption):
        Prioritized(Numbers(2), **option)
