"""Chunks with pictures that tell their row, for tests of the buffer on disk."""

import itertools

import numpy as np

from user_gym.core import Chunk

SIDE = 40  # pixels: a row of 4800 bytes lies in the heavy region


def picture(number, noisy=False):
    """A picture of which every pixel depends on the number."""
    if noisy:
        return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    made = np.full((SIDE, SIDE, 3), 90, np.uint8)
    made[:4] = np.frombuffer(np.int64(number).tobytes(), np.uint8)[:3]
    made[5 + number % 30, 5:20] = 200
    return made


def episode(steps, number=0, *, first=0, chunks=1, source="a", robot="franka-fr3", ends="terminated", noisy=False, **changes):
    """An episode in chunks; its steps have the rewards first, first + 1, ..."""
    cuts = np.linspace(0, steps, chunks + 1).astype(int)
    made = []
    for sequence, (begin, end) in enumerate(itertools.pairwise(cuts)):
        rows = np.arange(first + begin, first + end + 1)
        n, none = end - begin, np.zeros(end - begin, bool)
        over = none.copy()
        over[-1] = end == steps
        obs = {
            "state": rows[:, None].astype(np.float32) + np.zeros(3, np.float32),
            "camera": np.stack([picture(row, noisy) for row in rows]),
        }
        columns = {
            "terminated": over if ends == "terminated" else none,
            "truncated": over if ends == "truncated" else none,
            "action": np.stack([rows[:-1], -rows[:-1]], -1).astype(np.float32),
            "obs": obs,
        }
        made.append(
            Chunk(
                source=source,
                episode=number,
                sequence=sequence,
                robot=robot,
                task="peg",
                kind="policy",
                ordered=columns["action"] + 0.5,
                reward=rows[:-1].astype(np.float32),
                success=none,
                policy_version=rows[:-1],
                is_intervention=rows[:-1] % 2 == 0,
                reward_source=("rule",) * n,
                time=0.1 * rows[1:],
                wall_time=float(first),
                **(columns | changes),
            )
        )
    return made


def tells(batch, noisy=False):
    """Raise AssertionError unless every row of a batch is what its reward says; the rewards of the first steps."""
    rewards = batch.reward if batch.valid is None else batch.reward[:, 0]
    count = np.ones(len(rewards), int) if batch.valid is None else batch.valid.sum(axis=1)
    for i, number in enumerate(rewards.astype(int).tolist()):
        after = number + int(count[i])
        assert (batch.obs["state"][i] == number).all()
        assert (batch.next_obs["state"][i] == after).all()
        np.testing.assert_array_equal(batch.obs["camera"][i], picture(number, noisy))
        np.testing.assert_array_equal(batch.next_obs["camera"][i], picture(after, noisy))
    return rewards.astype(int)
