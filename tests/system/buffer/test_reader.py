"""Each column of a batch is its own, and runs end with their columns."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import SIDE, episode

from user_gym.system import Buffer


def two_cameras(steps=6, first=0, side=40, names=("one", "two"), **changes):
    """Two cameras and a depth picture as an extra, all of them compressed: each is another function of the row."""
    chunk = episode(steps, changes.pop("number", 0), first=first)[0]
    rows = np.arange(first, first + steps + 1)
    obs = {"state": chunk.obs["state"]}
    for place, name in enumerate(names):
        obs[name] = np.zeros((steps + 1, side, SIDE, 3), np.uint8) + (rows * 2 + place).astype(np.uint8)[:, None, None, None]
    extra = {
        name: np.zeros((steps, 40, 40, 3), np.uint8) + (rows[:-1] * 2 + place).astype(np.uint8)[:, None, None, None]
        for place, name in ((7, "depth"), (9, "mask"))
    }
    return replace(chunk, obs=obs, extra=extra, **changes)


@pytest.mark.parametrize("names", [("one", "two"), ("two", "one"), ("one",)])
@pytest.mark.parametrize("way", [{}, {"cache_bytes": 0}])
def test_pictures_of_different_columns_are_not_taken_for_each_other(tmp_path, names, way):
    with Buffer.open(tmp_path / "buffer", **way) as buffer:
        whole = two_cameras(12, names=names)
        parts = [two_cameras(6, names=names), two_cameras(6, first=6, names=names, sequence=1)]
        parts[0].terminated[:] = False
        for part in parts:
            buffer.append(part)
        for rng in range(3):
            for number in (0, 8):
                np.testing.assert_array_equal(buffer.chunk(number).obs[names[0]][0], whole.obs[names[0]][number // 6 * 6])
            batch = buffer.sample(40, np.random.default_rng(rng))
            row = batch.reward.astype(int)
            for place, name in enumerate(names):
                assert (batch.obs[name][:, 3, 3, 0] == row * 2 + place).all()
                assert (batch.next_obs[name][:, 3, 3, 0] == row * 2 + 2 + place).all()
            assert (batch.extra["depth"][:, 3, 3, 0] == row * 2 + 7).all()
            assert (batch.extra["mask"][:, 3, 3, 0] == row * 2 + 9).all()


def test_a_run_ends_where_the_columns_of_an_episode_change(tmp_path):
    for way in ({}, {"cache_bytes": 0}):
        with Buffer.open(tmp_path / f"buffer{len(way)}", **way) as buffer:
            first, second = episode(8, chunks=2)
            buffer.append(first)
            second.obs["extra"] = second.obs.pop("camera")
            buffer.append(second)
            batch = buffer.sample(200, np.random.default_rng(0), horizon=6)
            begin = batch.reward[:, 0]
            np.testing.assert_array_equal(batch.valid.sum(1), np.minimum(6, np.where(begin < 4, 4, 8) - begin))
            np.testing.assert_array_equal(batch.next_obs["state"][:, 0], begin + batch.valid.sum(1))
