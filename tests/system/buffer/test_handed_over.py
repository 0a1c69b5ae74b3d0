"""Small batches are handed over several at a time, and nobody can tell."""

import numpy as np
import pytest

from user_gym.errors import Closed
from user_gym.system import Buffer
from user_gym.testing.storage_suite import steps


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_batches_come_in_the_order_of_their_draws_whole_and_without_end(ahead):
    with Buffer.open(":memory:") as buffer:
        buffer.extend([steps(10, 100 * episode, episode, 0) for episode in range(20)])
        rng = np.random.default_rng(5)
        with buffer.loader(16, seed=5, ahead=ahead) as loader:
            for number in range(1, 41):
                batch, expected = next(loader), buffer.sample(16, rng)
                assert batch.reward.tolist() == expected.reward.tolist()
                assert batch.obs["state"].tolist() == expected.obs["state"].tolist()
                assert loader.stats().batches == number
            assert loader.stats().ahead == ahead + 2 * ahead - 1  # drawn, and two sets of arrays
        with pytest.raises(Closed):
            next(loader)
