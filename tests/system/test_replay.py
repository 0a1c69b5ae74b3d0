"""Prioritized draws and windows of the newest, over real buffers and views."""

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer, Prioritized, n_step


@pytest.fixture(params=["disk", "memory"])
def buffer(request, tmp_path):
    path = tmp_path / "buffer" if request.param == "disk" else ":memory:"
    with Buffer.open(path) as buffer:
        yield buffer


def fill(buffer, episodes, first=0, steps=10, **changes):
    for number in range(first, first + episodes):
        buffer.append(chunk(steps, base=100 * number, episode=number, **changes))


def test_priorities_go_to_the_transitions_that_were_drawn(buffer):
    fill(buffer, 5)
    replay, rng = Prioritized(buffer, alpha=1.0), np.random.default_rng(0)
    assert len(replay) == 50
    batch, numbers, weights = replay.sample(50, rng)
    assert weights.max() == 1
    np.testing.assert_array_equal(batch.reward, numbers // 10 * 100 + numbers % 10)
    replay.update(numbers, np.where(batch.reward == 203, 100.0, 0.0))
    batch, _, _ = replay.sample(400, rng)
    assert (batch.reward == 203).mean() > 0.99
    fill(buffer, 1, first=5)  # new ones have the largest priority
    batch, _, _ = replay.sample(1100, rng)
    assert abs((batch.reward >= 500).mean() - 10 / 11) < 0.01


def test_priorities_follow_a_view_whose_episodes_succeed_late(buffer):
    good = buffer.view("success")
    replay, rng = Prioritized(good), np.random.default_rng(0)
    with pytest.raises(BadOption, match="nothing yet"):
        replay.sample(4, rng)
    buffer.append(chunk(4, base=0, episode=0))
    buffer.append(chunk(4, base=100, episode=1, success=np.array([False, False, False, True])))
    assert set(replay.sample(200, rng)[0].reward.tolist()) == {100, 101, 102, 103}
    buffer.append(chunk(2, base=4, episode=0, sequence=1, success=np.array([False, True])))
    assert set(replay.sample(400, rng)[0].reward.tolist()) == {0, 1, 2, 3, 4, 5, 100, 101, 102, 103}
    assert len(replay) == 10


def test_priorities_forget_what_a_full_buffer_forgot():
    with Buffer.open(":memory:", capacity=40) as buffer:
        replay, rng = Prioritized(buffer), np.random.default_rng(0)
        for number in range(60):
            fill(buffer, 1, first=number)
            batch, numbers, _ = replay.sample(16, rng, horizon=3)
            replay.update(numbers, np.abs(n_step(batch, 0.9).reward) + 1)
            assert batch.reward[:, 0].min() >= 100 * (number - 3)
        assert len(replay) == len(buffer) == 40


def test_a_window_is_the_newest_of_what_a_view_selects(buffer):
    window = buffer.view("source = 'a'", last=25)
    assert len(window) == 0
    fill(buffer, 2)
    assert len(window) == 20
    buffer.append(chunk(30, base=9000, episode=0, source="b"))
    fill(buffer, 3, first=2)
    assert len(window) == window.stats()["transitions"] == len(window.numbers()) == 25
    batch = window.sample(2000, np.random.default_rng(0))
    expected = {205, 206, 207, 208, 209} | {100 * n + i for n in (3, 4) for i in range(10)}
    assert set(batch.reward.tolist()) == expected
    _, counts = np.unique(batch.reward, return_counts=True)
    assert ((counts - 80) ** 2 / 80).sum() < 52.6  # chi-square, 24 degrees of freedom: 1 in 1000
    with window.loader(50, seed=1) as loader:
        assert set(next(loader).reward.tolist()) <= expected
    replay = Prioritized(window)
    assert set(replay.sample(100, np.random.default_rng(0))[0].reward.tolist()) == expected
    fill(buffer, 1, first=5)
    assert set(replay.sample(100, np.random.default_rng(0))[0].reward.min(keepdims=True).tolist()) == {305}
    with pytest.raises(BadOption, match="last"):
        window.view("steps > 0")


@pytest.mark.parametrize("last", [0, -1, 2.5, "many"])
def test_a_window_that_means_nothing_is_refused(buffer, last):
    with pytest.raises(BadOption, match="last"):
        buffer.view("steps > 0", last=last)
