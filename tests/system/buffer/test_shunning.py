"""Blocks that cannot be read, or left while a batch was read: the others go on being sampled."""

import threading

import numpy as np
import pytest
from pictures import episode, tells
from stores import flip, segments

from user_gym.system import Buffer
from user_gym.system.buffer.keeping import Keeping
from user_gym.system.buffer.store import Store

TIMEOUT = 60.0
MODES = {"writer": False, "reader": True}
WAYS = {"memory": {}, "blocks": {"cache_bytes": 0}}


def filled(path, episodes=4, chunks=3, **options):
    with Buffer.open(path, durability="kill", **options) as buffer:
        for number in range(episodes):
            for chunk in episode(12, number, first=100 * number, chunks=chunks, noisy=True):
                buffer.append(chunk)


def seen(buffer, n=500, horizon=1, rng=0):
    return set(tells(buffer.sample(n, np.random.default_rng(rng), horizon=horizon), noisy=True).tolist())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [k / 12 for k in range(12)])
def test_a_flipped_byte_costs_its_block_and_what_hangs_on_it(tmp_path, mode, way, share):
    """Wherever it lies in the file: the block of four steps, and the step after it, whose observation lay there."""
    filled(tmp_path / "buffer")
    with Buffer.open(tmp_path / "buffer", read_only=MODES[mode], **WAYS[way]) as buffer:
        path = segments(tmp_path / "buffer")[0]
        flip(path, 64 + int(share * (path.stat().st_size - 64)))
        everything = {100 * number + step for number in range(4) for step in range(12)}
        for rng in range(3):
            for horizon in (1, 5):
                left = seen(buffer, horizon=horizon, rng=rng)
        lost = sorted(everything - left)
        assert len(lost) in (0, 4, 5)  # 0: padding between regions, or what nobody reads twice
        assert len(buffer) == 48 - len(lost)
        assert left == everything - set(lost)


@pytest.mark.parametrize("mode", MODES)
def test_a_segment_that_is_deleted_costs_its_blocks_and_no_more(tmp_path, mode, monkeypatch):
    monkeypatch.setattr(Keeping, "load", lambda self: None)  # whose file is open reads on
    filled(tmp_path / "buffer", segment_bytes=60_000)
    paths = segments(tmp_path / "buffer")
    assert len(paths) > 3
    with Buffer.open(tmp_path / "buffer", read_only=MODES[mode], cache_bytes=0) as buffer:
        paths[1].unlink()
        left = seen(buffer)
        assert 24 < len(left) < 48
        assert len(buffer) == len(left)
        assert seen(buffer, horizon=4) == left


def test_who_reads_in_another_process_follows_what_is_pruned_and_compacted(tmp_path):
    with Buffer.open(tmp_path / "buffer", durability="kill", segment_bytes=60_000) as buffer:
        for number in range(4):
            buffer.append(episode(12, number, first=100 * number, noisy=True)[0])
        with Buffer.open(tmp_path / "buffer", read_only=True, cache_bytes=1 << 14) as reader:
            failures, done = [], threading.Event()

            def sample():
                rng = np.random.default_rng(3)
                try:
                    with reader.loader(32, seed=3, ahead=4) as loader:
                        while not done.is_set():
                            tells(next(loader), noisy=True)
                            tells(reader.sample(8, rng, horizon=3), noisy=True)
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=sample)
            thread.start()
            for number in range(4, 30):
                for chunk in episode(12, number, first=100 * number, chunks=2, noisy=True):
                    buffer.append(chunk)
                if number % 3 == 0:
                    oldest = buffer._lookup.entries().first[:2].tolist()
                    buffer._store.prune(firsts=oldest)
                    buffer._store.compact(0.0)
            done.set()
            thread.join(TIMEOUT)
            assert not thread.is_alive()
            assert not failures
            assert len(reader) == len(buffer)
            assert seen(reader) <= {100 * n + step for n in range(30) for step in range(12)}


def test_transitions_that_left_memory_while_a_batch_was_drawn_are_not_mistaken_for_others():
    with Buffer.open(":memory:", capacity=1000) as buffer:
        failures, done = [], threading.Event()

        def check():
            rng = np.random.default_rng(0)
            try:
                while not done.is_set():
                    batch = buffer.sample(64, rng)
                    np.testing.assert_array_equal(batch.obs["state"][:, 0] + 1, batch.next_obs["state"][:, 0])
                    np.testing.assert_array_equal(batch.obs["state"][:, 0], batch.reward)
            except BaseException as error:
                failures.append(error)

        def light(number):
            chunk = episode(50, number, first=100 * number)[0]
            del chunk.obs["camera"]
            return chunk

        buffer.append(light(0))
        thread = threading.Thread(target=check)
        thread.start()
        for number in range(1, 200):
            buffer.append(light(number))
            assert len(buffer) <= 1000
        done.set()
        thread.join(TIMEOUT)
        assert not failures
        drawn = buffer.draw(32, np.random.default_rng(0))
        for number in range(200, 300):
            buffer.append(light(number))
        assert buffer._reader._resident is not None
        assert buffer._reader._resident.positions(drawn, 0) is None


def test_who_reads_in_another_process_follows_segments_to_a_cold_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(Keeping, "load", lambda self: None)  # whose file is open reads on
    filled(tmp_path / "buffer", segment_bytes=60_000)
    with Buffer.open(tmp_path / "buffer", read_only=True, cache_bytes=0) as reader:
        with Store.open(tmp_path / "buffer") as store:
            assert store.move_cold(tmp_path / "cold") > 0
        assert len(seen(reader)) == len(reader) == 48


def test_a_segment_that_is_gone_while_light_columns_are_loaded_is_no_matter_of_others(tmp_path, caplog):
    filled(tmp_path / "buffer", segment_bytes=60_000)
    segments(tmp_path / "buffer")[1].unlink()
    with Buffer.open(tmp_path / "buffer", read_only=True) as reader:
        if (thread := reader._keeping.thread) is not None:
            thread.join(TIMEOUT)
        assert "are not sampled until" in caplog.text
        assert tells(reader.read(np.arange(8)), noisy=True).tolist() == list(range(8))
        assert reader.stats()["light_bytes"] > 0
