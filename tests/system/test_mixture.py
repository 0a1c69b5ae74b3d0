"""Shares of a batch."""

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer, Mixture


def shares(batch):
    """How many rows come from the demonstration, whose rewards begin at 100."""
    return int((batch.reward >= 100).sum()), int((batch.reward < 100).sum())


def test_each_part_gives_its_share_and_columns_stay_together():
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(50))
    buffer.append(chunk(3, base=100, source="human", kind="demo"))
    demos, rest = buffer.view("kind = 'demo'"), buffer.view("kind = 'policy'")
    batch = Mixture([(demos, 0.5), (rest, 0.5)], batch_size=64)(buffer, np.random.default_rng(0))
    assert shares(batch) == (32, 32)
    np.testing.assert_array_equal(batch.obs["state"][:, 0], batch.reward)
    np.testing.assert_array_equal(batch.next_obs["state"][:, 0], batch.reward + 1)
    np.testing.assert_array_equal(batch.action[:, 0], batch.reward)
    np.testing.assert_array_equal(batch.ordered[:, 0], batch.reward + 0.5)
    assert len(batch.terminated) == len(batch.truncated) == len(batch.policy_version) == len(batch.is_intervention) == 64
    uneven = Mixture([(demos, 1), (rest, 2)], batch_size=10)(buffer, np.random.default_rng(0))
    assert shares(uneven) == (3, 7)


def test_an_empty_part_leaves_its_share_to_the_others():
    buffer = Buffer.open(":memory:")
    mixture = Mixture([(buffer.view("kind = 'demo'"), 0.5), (buffer.view("kind = 'policy'"), 0.5)], batch_size=8)
    with pytest.raises(BadOption, match="empty"):
        mixture(buffer, np.random.default_rng(0))
    buffer.append(chunk(5))
    assert shares(mixture(buffer, np.random.default_rng(0))) == (0, 8)


def test_senseless_shares_are_refused():
    buffer = Buffer.open(":memory:")
    for parts, size in (([], 8), ([(buffer, 0.0)], 8), ([(buffer, 1), (buffer, 1)], 1)):
        with pytest.raises(BadOption):
            Mixture(parts, size)
