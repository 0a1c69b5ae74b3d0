"""Returns of n steps, from batches that were drawn with a horizon. Pure numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from user_gym.core import F32, Batch, real
from user_gym.errors import BadOption


class Return(NamedTuple):
    """target = reward + discount * value(batch.next_obs)."""

    reward: F32  # (n,) discounted sum over the valid steps
    discount: F32  # (n,) of the value after them: 0 where the episode terminated


def n_step(batch: Batch, discount: float) -> Return:
    """Discounted rewards of each row's steps, and what a value after them counts.

    A run that ends early, at a time limit or where newer steps are not stored yet, counts the steps it has and bootstraps
    from the observation after the last of them; one that ends in a terminal state does not.

    Args:
        batch: drawn with a horizon of one step or more.
        discount: per step, 0 .. 1.
    """
    discount = real("discount", discount, 0.0, 1.0, "0 .. 1")
    if batch.valid is None:
        return Return(batch.reward.copy(), np.where(batch.terminated, 0.0, discount).astype(np.float32))
    if batch.reward.shape != batch.valid.shape:
        raise BadOption("batch", f"reward {batch.reward.shape} and valid {batch.valid.shape}", "equal shapes (n, horizon)")
    powers = discount ** np.arange(batch.valid.shape[1])
    reward = (np.where(batch.valid, batch.reward, 0.0) * powers).sum(axis=1)
    after = np.where((batch.terminated & batch.valid).any(axis=1), 0.0, discount ** batch.valid.sum(axis=1))
    return Return(reward.astype(np.float32), after.astype(np.float32))
