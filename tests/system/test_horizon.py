"""A transition comes with the steps that follow it, to the end of its episode and not beyond."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer, Mixture

STEP = ("action", "ordered", "reward", "terminated", "truncated", "policy_version", "is_intervention")


@st.composite
def histories(draw):
    """Chunks of a few episodes of two sources, cut at random places and mixed; observation and reward number the steps."""
    chunks, base = [], 1
    for episode in range(draw(st.integers(1, 5))):
        source, lengths = draw(st.sampled_from("ab")), draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        ends = draw(st.sampled_from(["terminated", "truncated", "open"]))
        for sequence, steps in enumerate(lengths):
            over = np.zeros(steps, bool)
            over[-1] = sequence == len(lengths) - 1
            changes = {} if ends == "open" else {ends: over}
            made = chunk(steps, base=base, episode=episode, sequence=sequence, source=source, **changes)
            numbers = np.arange(base, base + steps)
            log_prob = -numbers.astype(np.float32)
            human = numbers % 2 == 0
            made = replace(made, policy_version=numbers, is_intervention=human, extra={"log_prob": log_prob})
            chunks.append(made)
            base += steps
        base += draw(st.integers(0, 1))  # 0: the next episode begins with the very observation that ended this one
    order = draw(st.sampled_from(["as made", "in turns", "any"]))
    if order == "in turns":  # each source's in order, as several robots hand them over
        queues = [[c for c in chunks if c.source == source] for source in "ab"]
        turns = draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
        return [queues[i].pop(0) for i in turns]
    return chunks if order == "as made" else draw(st.permutations(chunks))


def runs(chunks, horizon):
    """Number of a step -> the steps from there on, and the number of the observation after them; by brute force."""
    by_key = {(c.source, c.episode, c.sequence): c for c in chunks}
    follower = {id(c): by_key.get((c.source, c.episode, c.sequence + 1)) for c in chunks}
    answer = {}
    for c in chunks:
        for row in range(len(c)):
            steps, at = [(c, row)], c
            while len(steps) < horizon:
                at, following = steps[-1]
                if following + 1 < len(at):
                    steps.append((at, following + 1))
                elif follower[id(at)] is not None and not (at.terminated[-1] or at.truncated[-1]):
                    steps.append((follower[id(at)], 0))
                else:
                    break
            last, at = steps[-1]
            answer[float(c.reward[row])] = steps, last.obs["state"][at + 1]
    return answer


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(2, 9))
def test_each_row_is_what_brute_force_finds(chunks, horizon):
    with Buffer.open(":memory:") as buffer:
        for c in chunks:
            buffer.append(c)
        batch = buffer.sample(600, np.random.default_rng(0), horizon=horizon)
    expected = runs(chunks, horizon)
    assert set(batch.reward[:, 0].tolist()) == set(expected)
    for i in range(0, 600, 7):
        run, after = expected[float(batch.reward[i, 0])]
        n = len(run)
        assert batch.valid[i].tolist() == [True] * n + [False] * (horizon - n)
        np.testing.assert_array_equal(batch.next_obs["state"][i], after)
        np.testing.assert_array_equal(batch.obs["state"][i], run[0][0].obs["state"][run[0][1]])
        for name in STEP:
            column = getattr(batch, name)[i]
            np.testing.assert_array_equal(column[:n], [getattr(c, name)[row] for c, row in run])
            assert not column[n:].any()
        np.testing.assert_array_equal(batch.extra["log_prob"][i, :n], [c.extra["log_prob"][row] for c, row in run])
        assert not batch.extra["log_prob"][i, n:].any()


@pytest.fixture
def buffer():
    with Buffer.open(":memory:") as buffer:
        yield buffer


def test_one_step_has_no_second_axis_and_the_same_draws(buffer):
    buffer.append(chunk(10))
    one, five = (buffer.sample(8, np.random.default_rng(0), horizon=h) for h in (1, 5))
    assert one.valid is None
    assert (one.reward.shape, five.reward.shape, five.action.shape) == ((8,), (8, 5), (8, 5, 1))
    assert five.obs["state"].shape == five.next_obs["state"].shape == (8, 2)
    np.testing.assert_array_equal(one.reward, five.reward[:, 0])


def test_a_view_selects_where_a_run_begins_and_a_mixture_joins_runs(buffer):
    buffer.append(chunk(2))
    buffer.append(chunk(3, base=2, sequence=1))
    first, second = buffer.view("sequence = 0"), buffer.view("sequence = 1")
    batch = Mixture([(first, 0.5), (second, 0.5)], batch_size=40, horizon=4)(buffer, np.random.default_rng(0))
    assert set(batch.reward[:20, 0].tolist()) == {0, 1}
    assert batch.valid[:20].sum(axis=1).tolist() == [4] * 20
    assert batch.valid[20:].sum(axis=1).max() == 3


@pytest.mark.parametrize("horizon", [0, -1])
def test_a_horizon_below_one_step_is_refused(buffer, horizon):
    buffer.append(chunk(3))
    with pytest.raises(BadOption, match="horizon"):
        buffer.sample(1, np.random.default_rng(0), horizon)


def test_nothing_follows_the_end_of_an_episode_even_if_its_numbers_go_on(buffer):
    buffer.append(chunk(3, terminated=np.array([False, False, True])))
    buffer.append(chunk(3, base=3, sequence=1))
    batch = buffer.sample(100, np.random.default_rng(0), horizon=6)
    assert set(zip(batch.reward[:, 0].tolist(), batch.valid.sum(axis=1).tolist(), strict=True)) == {
        *((0, 3), (1, 2), (2, 1)),
        *((3, 3), (4, 2), (5, 1)),
    }


def test_runs_stay_whole_when_the_buffer_grows(buffer):
    for sequence in range(300):
        buffer.append(chunk(10, base=10 * sequence, sequence=sequence))
    batch = buffer.sample(5000, np.random.default_rng(0), horizon=4)
    np.testing.assert_array_equal(batch.valid.sum(axis=1), np.minimum(4, 3000 - batch.reward[:, 0]))


def test_several_late_successes_of_long_episodes_are_all_seen(buffer):
    good, bad = buffer.view("success"), buffer.view("NOT success")
    for sequence in range(3):
        for episode, source in enumerate("abc"):
            buffer.append(chunk(2, base=20 * episode + 2 * sequence, source=source, sequence=sequence))
    assert (len(good), len(bad)) == (0, 18)
    for episode, source in enumerate("ab"):
        buffer.append(chunk(2, base=20 * episode + 6, source=source, sequence=3, success=np.ones(2, bool)))
    assert (len(good), len(bad)) == (16, 6)
