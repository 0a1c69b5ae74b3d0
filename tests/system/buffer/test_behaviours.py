"""What a replay buffer of another framework does wrong, each reproduced there, and what this one does."""

import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from pictures import episode, tells

from user_gym.errors import NoSpace
from user_gym.system import Buffer
from user_gym.system.buffer.segment import Segment

RNG = 0


def sampled(buffer, n=400):
    return set(tells(buffer.sample(n, np.random.default_rng(RNG)), noisy=True).tolist())


@pytest.fixture
def buffer(tmp_path):
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        yield buffer


def fill(buffer, episodes=5, steps=6):
    for number in range(episodes):
        buffer.append(episode(steps, number, first=100 * number, noisy=True)[0])
    return {100 * number + step for number in range(episodes) for step in range(steps)}


def test_a_copy_of_the_folder_has_all_that_its_index_lists_not_only_what_was_sampled(buffer, tmp_path):
    stored = fill(buffer)
    buffer.sample(2, np.random.default_rng(0))
    shutil.copytree(tmp_path / "buffer", tmp_path / "copy")
    with Buffer.open(tmp_path / "copy") as copy:
        assert len(copy) == len(stored)
        assert sampled(copy) == stored


def test_what_was_appended_before_the_first_sample_is_there_after_a_restart(buffer, tmp_path):
    stored = fill(buffer)
    buffer.close()
    with Buffer.open(tmp_path / "buffer") as again:
        assert sampled(again) == stored


def test_a_restart_on_the_same_folder_goes_on_with_the_old_data(buffer, tmp_path):
    stored = fill(buffer)
    buffer.close()
    with Buffer.open(tmp_path / "buffer") as again:
        assert again.append(episode(6, 0, noisy=True)[0]).repeated
        again.append(episode(3, 9, first=900, noisy=True)[0])
        assert sampled(again) == stored | {900, 901, 902}


def test_asking_for_more_than_is_stored_gives_as_many_as_were_asked_for(buffer):
    fill(buffer, episodes=1)
    assert len(tells(buffer.sample(500, np.random.default_rng(0)), noisy=True)) == 500


def test_statistics_count_what_is_there_now_and_not_what_left(tmp_path):
    with Buffer.open(tmp_path / "buffer", capacity=12) as buffer:
        fill(buffer)
        stats = buffer.stats()
        assert stats["transitions"] == len(buffer) == 12
        assert stats["transitions_ever"] == 30
        assert len(buffer.view("steps > 0")) == 12


def test_appends_while_others_sample_tear_no_batch(buffer):
    fill(buffer)
    done, failures = threading.Event(), []

    def sample(seed):
        rng = np.random.default_rng(seed)
        try:
            while not done.is_set():
                tells(buffer.sample(16, rng, horizon=1 + seed), noisy=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=sample, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for number in range(10, 40):
        for chunk in episode(6, number, first=100 * number, chunks=2, noisy=True):
            buffer.append(chunk)
    done.set()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len(buffer) == 30 + 180


def test_a_write_that_fails_is_raised_and_the_same_append_works_afterwards(buffer, monkeypatch):
    stored, append = fill(buffer), Segment.append
    chunks = episode(6, 9, first=900, chunks=2, noisy=True)
    buffer.append(chunks[0])

    def full(self, data):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Segment, "append", full)
    with pytest.raises(NoSpace):
        buffer.append(chunks[1])
    monkeypatch.setattr(Segment, "append", append)
    assert sampled(buffer) == stored | {900, 901, 902}
    buffer.append(chunks[1])
    assert sampled(buffer) == stored | set(range(900, 906))


def test_a_long_episode_makes_nobody_else_larger(tmp_path):
    sizes = []
    for name, longest in (("short", 5), ("long", 200)):
        with Buffer.open(tmp_path / name) as buffer:
            buffer.append(episode(longest, 99, first=9900, noisy=True)[0])
            before = sum(file.stat().st_size for file in (tmp_path / name / "segments").iterdir())
            fill(buffer)
            sizes.append(sum(file.stat().st_size for file in (tmp_path / name / "segments").iterdir()) - before)
            assert buffer.sample(64, np.random.default_rng(0)).reward.shape == (64,)
    assert sizes[0] == sizes[1]


def test_a_row_that_was_missing_in_the_cache_is_found_there_the_next_time(tmp_path):
    with Buffer.open(tmp_path / "buffer") as buffer:
        for number in range(5):
            buffer.append(episode(6, number, first=100 * number)[0])  # clean pictures: they are compressed
        rng = np.random.default_rng(0)
        tells(buffer.sample(300, rng))
        missed = buffer.stats()["cache_misses"]
        assert missed > 0
        tells(buffer.sample(300, rng))
        assert buffer.stats()["cache_misses"] == missed
        assert buffer.stats()["cache_hits"] >= 30


def test_a_new_column_and_a_second_robot_with_another_action_size_are_welcome(buffer):
    fill(buffer)
    chunk = episode(6, 50, first=5000, source="b", robot="arx-x5", noisy=True)[0]
    wider = np.concatenate([chunk.action, chunk.action[:, :1]], axis=1)
    buffer.append(replace(chunk, action=wider, ordered=wider))
    buffer.append(episode(6, 51, first=5100, noisy=True, extra={"log_prob": np.zeros(6, np.float32)})[0])
    batch = buffer.sample(400, np.random.default_rng(0))
    tells(batch, noisy=True)
    assert batch.action.shape == (400, 3)
    assert batch.padding is not None
    np.testing.assert_array_equal(batch.padding.extent["action"][:, 0], np.where(batch.reward // 100 == 50, 3, 2))
    np.testing.assert_array_equal(batch.padding.present["extra.log_prob"], batch.reward // 100 == 51)
