"""A view is the transitions that a condition selects, one by one, whatever becomes of their blocks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadOption, Closed
from user_gym.system import Buffer
from user_gym.system.buffer.selection import without


@pytest.fixture
def buffer():
    with Buffer.open(":memory:") as opened:
        yield opened


def every(view):
    """The rewards of all transitions of a view; in these tests each step of the buffer has its own."""
    numbers = view.numbers()
    assert len(numbers) == len(view) == view.stats()["transitions"]
    return set(view.read(numbers).reward.tolist()) if len(numbers) else set()


@st.composite
def histories(draw):
    """Chunks of a few episodes of two robots that come in turns, with success, interventions and versions."""
    episodes, base = [], 0
    for episode in range(draw(st.integers(1, 5))):
        source, parts = draw(st.sampled_from("ab")), []
        lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        for sequence, n in enumerate(lengths):
            ends = sequence == len(lengths) - 1
            flags = {name: np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for name in ("is_intervention",)}
            flags["success"] = np.arange(n) == (n - 1 if ends and draw(st.booleans()) else -1)
            flags["terminated"] = flags["success"]
            versions = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
            made = chunk(n, base=base, episode=episode, sequence=sequence, source=source, robot=f"robot-{source}", **flags)
            words = tuple(draw(st.sampled_from(["rule", "human"])) for _ in range(n))
            parts.append(replace(made, policy_version=versions, reward_source=words))
            base += n
        episodes.append(parts)
    chunks = []
    while any(episodes):
        chunks.append(draw(st.sampled_from([parts for parts in episodes if parts])).pop(0))
    return chunks


CONDITIONS = {  # the same said in Python of (chunk, step, whether its episode succeeded)
    "success": lambda c, i, good: good,
    "NOT success AND is_intervention": lambda c, i, good: not good and c.is_intervention[i],
    "policy_version > 2": lambda c, i, good: c.policy_version[i] > 2,
    "policy_version = 3 OR robot = 'robot-a'": lambda c, i, good: c.policy_version[i] == 3 or c.robot == "robot-a",
    "interventions = 0 AND steps > 1": lambda c, i, good: not c.is_intervention.any() and len(c) > 1,
    "terminated OR reward < 4": lambda c, i, good: c.terminated[i] or c.reward[i] < 4,
    "reward_source = 'human' AND time > 0.2": lambda c, i, good: c.reward_source[i] == "human" and c.time[i] > 0.2,
    "is_intervention AND policy_version BETWEEN policy_version_min AND 2": lambda c, i, good: (
        c.is_intervention[i] and c.policy_version[i] <= 2
    ),
    "FALSE": lambda c, i, good: False,
}


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from(sorted(CONDITIONS)), st.integers(0, 8), st.data())
def test_it_selects_what_brute_force_finds_while_blocks_come_and_leave(chunks, where, made, data):
    holds, here, gone = CONDITIONS[where], [], set()
    with Buffer.open(":memory:") as buffer:
        view = buffer.view(where)
        inner = buffer.view("steps > 1").view(where)
        for at, c in enumerate(chunks):
            here.append((buffer.append(c).first, c))
            if at % 3 == made % 3:
                len(view)
            if data.draw(st.integers(0, 9)) == 0:
                first, _ = data.draw(st.sampled_from(here))
                buffer._store.prune(firsts=[first])
                gone.add(first)
        good = {(c.source, c.episode) for c in chunks if c.success.any()}
        expected = {
            (first + i, float(c.reward[i]))
            for first, c in here
            for i in range(len(c))
            if buffer.live.contains(np.array([first + i]))[0] and holds(c, i, (c.source, c.episode) in good)
        }
        numbers = view.numbers()
        assert set(numbers.tolist()) == {number for number, _ in expected}
        assert every(view) == {reward for _, reward in expected}
        assert len(inner) == sum(
            len(c) > 1 and number in range(first, first + len(c)) for number, _ in expected for first, c in here
        )
        fresh = buffer.view(where)
        np.testing.assert_array_equal(fresh.numbers(), numbers)
        if len(numbers):
            assert set(view.sample(200, np.random.default_rng(0)).reward.tolist()) <= {reward for _, reward in expected}


def test_it_follows_a_late_success_and_asks_only_about_that_episode(buffer, monkeypatch):
    good, bad = buffer.view("success"), buffer.view("NOT success")
    for episode in range(30):
        buffer.append(chunk(3, base=10 * episode, episode=episode))
    assert (len(good), len(bad)) == (0, 90)
    asked = []
    certain = buffer.query.certain
    monkeypatch.setattr(buffer.query, "certain", lambda *given: asked.append(given[1:]) or certain(*given))
    buffer.append(chunk(1, base=73, episode=7, sequence=1, success=np.array([True])))
    assert every(good) == {70, 71, 72, 73}
    assert len(bad) == 87
    assert sorted(asked) == [(21, 24)] * 2 + [(90, 91)] * 2


def test_many_changes_at_once_are_followed_too(buffer, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.selection._MANY", 5)
    good = buffer.view("success")
    chunks = [chunk(2, base=10 * e, episode=e) for e in range(20)]
    buffer.extend(chunks)
    assert len(good) == 0
    buffer.extend([chunk(1, base=10 * e + 2, episode=e, sequence=1, success=np.array([True])) for e in range(0, 20, 2)])
    assert every(good) == {float(10 * e + i) for e in range(0, 20, 2) for i in range(3)}


def test_draws_are_uniform_over_what_is_selected(buffer):
    for episode in range(8):
        human = np.arange(6) % 3 == episode % 3
        buffer.append(chunk(6, base=10 * episode, episode=episode, is_intervention=human))
    view = buffer.view("is_intervention")
    rewards, counts = np.unique(view.sample(16_000, np.random.default_rng(0)).reward, return_counts=True)
    assert len(rewards) == len(view) == 16
    assert ((counts - 1000) ** 2 / 1000).sum() < 37.7  # chi-square, 15 degrees of freedom: 0.1 %


def test_a_run_starts_in_the_view_and_goes_on_outside_it(buffer):
    buffer.append(chunk(5, is_intervention=np.array([False, True, False, False, False])))
    batch = buffer.view("is_intervention").sample(4, np.random.default_rng(0), horizon=3)
    assert batch.reward.tolist() == [[1, 2, 3]] * 4


def test_arrays_that_are_given_are_filled(buffer):
    buffer.append(chunk(5))
    view = buffer.view("reward >= 2")
    out = view.empty(8)
    assert view.sample(8, np.random.default_rng(0), out=out).reward is out.reward
    assert set(out.reward.tolist()) <= {2, 3, 4}


def test_a_loader_of_a_view_hands_over_its_transitions(buffer):
    buffer.append(chunk(5))
    with buffer.view("reward >= 2").loader(16) as loader:
        assert set(next(loader).reward.tolist()) <= {2, 3, 4}


def test_a_view_is_small_where_its_blocks_are_neighbours(buffer):
    view = buffer.view("kind = 'policy'")
    buffer.extend([chunk(2, base=2 * e, episode=e) for e in range(200)])
    assert len(view) == 400
    assert view.stats()["bytes"] < 1000


def test_it_cannot_be_written_and_says_when_it_is_empty_or_its_buffer_closed(buffer):
    view = buffer.view("success")
    with pytest.raises(BadOption, match="append to the buffer itself"):
        view.append(chunk(2))
    with pytest.raises(BadOption, match="the view 'success' is empty"):
        view.sample(1, np.random.default_rng(0))
    with pytest.raises(BadOption, match="unknown column 'nope'"):
        view.view("nope")
    buffer.close()
    with pytest.raises(Closed):
        len(view)


ranges = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=8)


def ascending(pairs):
    """Gaps and lengths -> arrays of firsts and lengths."""
    first, firsts = 0, []
    for gap, steps in pairs:
        firsts.append(first + gap)
        first += gap + steps
    return np.array(firsts, np.int64), np.array([steps for _, steps in pairs], np.int64)


def members(firsts, steps):
    return {n for first, count in zip(firsts.tolist(), steps.tolist(), strict=True) for n in range(first, first + count)}


@given(ranges, ranges)
def test_ranges_without_gaps_are_what_sets_say(ours, gaps):
    one, other = ascending(ours), ascending(gaps)
    first, steps = without(*one, *other)
    assert members(first, steps) == members(*one) - members(*other)
    assert (np.diff(first) > 0).all()
    assert (steps > 0).all()
