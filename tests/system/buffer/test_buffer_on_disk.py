"""The buffer on disk gives back what was put in: from memory, through the cache, from blocks, and in another process."""

import subprocess
import sys

import numpy as np
import pytest
from pictures import episode, tells

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.testing.storage_suite import StorageSuite

WAYS = {"memory": {}, "blocks": {"cache_bytes": 0}, "cache": {"cache_bytes": 1 << 16}, "one thread": {"threads": 1}}


class TestBufferOnDisk(StorageSuite):
    def open(self):
        return Buffer.open(self.folder / "buffer")


class TestBufferWithoutCache(StorageSuite):
    def open(self):
        return Buffer.open(self.folder / "buffer", cache_bytes=0, segment_bytes=4096)


def fill(buffer, noisy=False):
    for number in range(6):
        for chunk in episode(17, number, first=100 * number, chunks=4, noisy=noisy):
            buffer.append(chunk)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_pictures_and_their_successors_come_back(tmp_path, way, noisy):
    with Buffer.open(tmp_path / "buffer", **WAYS[way]) as buffer:
        fill(buffer, noisy)
        seen = set(tells(buffer.sample(600, np.random.default_rng(0)), noisy).tolist())
        assert seen == {100 * number + step for number in range(6) for step in range(17)}
        batch = buffer.sample(200, np.random.default_rng(1), horizon=6)
        first = tells(batch, noisy)
        np.testing.assert_array_equal(batch.valid.sum(axis=1), np.minimum(6, 17 - first % 100))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_generator_draws_the_same_transitions_whichever_way_they_are_read(tmp_path, way):
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer)
        expected = buffer.sample(64, np.random.default_rng(5), horizon=3)
    with Buffer.open(tmp_path / "buffer", **WAYS[way]) as again:
        for _ in range(2):  # before the light columns are in memory, perhaps, and after
            got = again.sample(64, np.random.default_rng(5), horizon=3)
            np.testing.assert_array_equal(got.reward, expected.reward)
            np.testing.assert_array_equal(got.next_obs["camera"], expected.next_obs["camera"])
            np.testing.assert_array_equal(got.valid, expected.valid)


def test_an_observation_between_two_chunks_is_stored_once(tmp_path):
    sizes = []
    for chunks in (1, 10):
        with Buffer.open(tmp_path / f"buffer{chunks}") as buffer:
            for chunk in episode(100, chunks=chunks, noisy=True):
                buffer.append(chunk)
        sizes.append(sum(file.stat().st_size for file in (tmp_path / f"buffer{chunks}" / "segments").iterdir()))
    raw = 101 * 40 * 40 * 3
    assert sizes[0] < 1.03 * raw
    assert sizes[1] - sizes[0] < 10 * 2048  # heads, and no pictures


def test_another_process_sees_what_is_committed(tmp_path):
    read = (
        "import numpy as np; from user_gym.system import Buffer\n"
        f"with Buffer.open({str(tmp_path / 'buffer')!r}, read_only=True) as buffer:\n"
        "    print(len(buffer), int(buffer.sample(400, np.random.default_rng(0)).reward.max()))"
    )

    def seen():
        return subprocess.run(
            [sys.executable, "-c", read], capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()

    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer)
        assert seen() == ["102", "516"]
        buffer.append(episode(5, 9, first=900)[0])
        assert seen() == ["107", "904"]


def test_a_reader_follows_the_writer(tmp_path):
    with Buffer.open(tmp_path / "buffer") as buffer:
        fill(buffer)
        with Buffer.open(tmp_path / "buffer", read_only=True) as reader:
            tells(reader.sample(50, np.random.default_rng(0)))
            for number in range(10, 20):
                buffer.append(episode(3, number, first=100 * number)[0])
                assert len(reader) == len(buffer)
                one, two = (b.sample(50, np.random.default_rng(number), horizon=2) for b in (buffer, reader))
                np.testing.assert_array_equal(one.reward, two.reward)
                tells(two)


def test_out_is_filled_and_returned(tmp_path):
    with Buffer.open(tmp_path / "buffer") as buffer:
        with pytest.raises(BadOption, match="nothing yet"):
            buffer.empty(4)
        fill(buffer)
        out = buffer.empty(32, horizon=4)
        batch = buffer.sample(32, np.random.default_rng(0), horizon=4, out=out)
        assert batch.obs["camera"] is out.obs["camera"]
        tells(batch)
        for wrong in (buffer.empty(31, horizon=4), buffer.empty(32), buffer.empty(32, horizon=3)):
            with pytest.raises(BadOption, match="out"):
                buffer.sample(32, np.random.default_rng(0), horizon=4, out=wrong)


def test_draws_are_uniform_with_a_cache_far_smaller_than_the_data(tmp_path):
    with Buffer.open(tmp_path / "buffer", cache_bytes=1 << 15, segment_bytes=1 << 14) as buffer:
        fill(buffer)
        rng, rewards = np.random.default_rng(0), []
        for _ in range(40):
            rewards.append(tells(buffer.sample(255, rng)))
        with buffer.loader(255, seed=1, ahead=5) as loader:
            for _, batch in zip(range(40), loader, strict=False):
                rewards.append(tells(batch))
        for half in (rewards[:40], rewards[40:]):
            _, counts = np.unique(np.concatenate(half), return_counts=True)
            assert len(counts) == 102
            assert ((counts - 100) ** 2 / 100).sum() < 150.1  # chi-square, 101 degrees of freedom: 1 in 1000
