"""Each column of a batch is its own, and runs end with their columns."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import SIDE, episode, tells

from user_gym.system import Buffer
from user_gym.system.buffer.segment import Segment


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


@pytest.mark.parametrize("noisy", [False, True])
def test_batches_are_right_when_nothing_is_in_the_page_cache(tmp_path, monkeypatch, noisy):
    with Buffer.open(tmp_path / "buffer", threads=2) as buffer:
        for number in range(6):
            for chunk in episode(20, number, chunks=2, noisy=noisy):
                buffer.append(chunk)
    reads = []

    def absent(segment, offset, pieces):
        segment.expect(offset, sum(piece.nbytes for piece in pieces))
        reads.append(offset)
        return False

    monkeypatch.setattr(Segment, "scatter_held", absent)
    with Buffer.open(tmp_path / "buffer", threads=2, cache_bytes=0) as buffer:
        for seed in range(3):
            tells(buffer.sample(64, np.random.default_rng(seed)), noisy)
    assert reads


@pytest.mark.parametrize("steps", [511, 513, 1500])
def test_more_rows_side_by_side_than_the_kernel_reads_at_once(tmp_path, steps):
    """Of 1024 arrays: two cameras, and a row more than steps."""
    (chunk,) = episode(steps, noisy=True)
    chunk = replace(chunk, obs={**chunk.obs, "other": chunk.obs["camera"][::-1].copy()})
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        buffer.append(chunk)
        batch = buffer.read(np.arange(steps))
        np.testing.assert_array_equal(batch.next_obs["camera"], chunk.obs["camera"][1:])
        np.testing.assert_array_equal(batch.obs["other"], chunk.obs["other"][:-1])
