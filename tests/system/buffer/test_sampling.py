"""What a batch is drawn with is looked at before anything is drawn."""

import numpy as np
import pytest

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.testing.storage_suite import steps


@pytest.mark.parametrize("rng", [None, 7, np.random, np.random.RandomState(0)])
def test_who_draws_without_a_generator_is_told_of_one(rng):
    with Buffer.open(":memory:") as buffer:
        buffer.append(steps(4, 0, 0))
        for storage in (buffer, buffer.view("TRUE")):
            with pytest.raises(BadOption, match=r"bad rng .*Generator; take np\.random\.default_rng\(0\)"):
                storage.sample(4, rng)
