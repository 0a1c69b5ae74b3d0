"""Who asks for transitions by their numbers gets those, or hears why not."""

import numpy as np
import pytest

from user_gym.errors import BadOption, Gone
from user_gym.system import Buffer
from user_gym.testing.storage_suite import steps

COUNT = 1024  # as many as the first allocation holds, so that a place counted from its end would be one


@pytest.fixture(params=[1 << 20, 0], ids=["in memory", "from blocks"])
def buffer(request):
    with Buffer.open(":memory:", cache_bytes=request.param) as buffer:
        buffer.extend([steps(8, 8 * episode, episode, 0) for episode in range(COUNT // 8)])
        yield buffer


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("number", [-1, -COUNT, COUNT, 1 << 40])
def test_a_number_that_was_never_given_is_no_transition(buffer, number, horizon):
    with pytest.raises(BadOption, match=rf"numbers {number}; allowed: 0 .. {COUNT - 1}"):
        buffer.read(np.array([3, number]), horizon)


@pytest.mark.parametrize("numbers", [[], 3, [[1, 2]], [1.0], [True], ["1"]])
def test_what_is_no_row_of_whole_numbers_is_refused(buffer, numbers):
    with pytest.raises(BadOption, match="allowed: one whole number or more"):
        buffer.read(np.array(numbers))


def test_whole_numbers_of_any_size_in_memory_will_do(buffer):
    for numbers in ([5, 700], np.array([5, 700], np.int16), np.array([5, 700], np.uint64)):
        assert buffer.read(numbers).reward.tolist() == [5, 700]


@pytest.mark.parametrize("horizon", [1, 3])
def test_what_was_pruned_is_gone_also_where_its_columns_still_are_in_memory(buffer, horizon):
    buffer.sample(4, np.random.default_rng(0))
    buffer._store.prune("episode = 2 OR episode = 4")
    for number in (16, 23, 32):
        with pytest.raises(Gone, match=f"{number} .*draw others"):
            buffer.read(np.array([0, number]), horizon)
    assert buffer.read(np.array([15, 24, 31, 40])).reward.tolist() == [15, 24, 31, 40]
