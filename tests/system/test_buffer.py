"""The buffer gives back exactly the transitions that were put in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.core import Storage
from user_gym.errors import BadChunk, BadOption, Closed
from user_gym.system import Buffer


def rows(batch):
    """What a batch says, as a set of plain tuples."""
    columns = (
        *(batch.obs["state"][:, 0], batch.action[:, 0], batch.ordered[:, 0], batch.reward, batch.next_obs["state"][:, 0]),
        *(batch.terminated, batch.truncated, batch.policy_version, batch.is_intervention),
    )
    return set(zip(*(column.tolist() for column in columns), strict=True))


def transitions(*chunks):
    """The same tuples by brute force."""
    return {
        (
            *(float(c.obs["state"][i, 0]), float(c.action[i, 0]), float(c.ordered[i, 0])),
            *(float(c.reward[i]), float(c.obs["state"][i + 1, 0])),
            *(bool(c.terminated[i]), bool(c.truncated[i]), int(c.policy_version[i]), bool(c.is_intervention[i])),
        )
        for c in chunks
        for i in range(len(c))
    }


def drawn(storage, n=4000):
    return rows(storage.sample(n, np.random.default_rng(0)))


def test_it_is_a_storage():
    buffer = Buffer.open(":memory:")
    assert isinstance(buffer, Storage)
    assert isinstance(buffer.view("success"), Storage)


@st.composite
def histories(draw):
    """Chunks of up to five episodes, each cut at random places; all values differ."""
    chunks, base = [], 0
    for episode in range(draw(st.integers(1, 5))):
        lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
        ends = draw(st.sampled_from(["terminated", "truncated", "open"]))
        for sequence, steps in enumerate(lengths):
            over = np.zeros(steps, bool)
            over[-1] = sequence == len(lengths) - 1 and ends != "open"
            changes = {} if ends == "open" else {ends: over}
            made = chunk(steps, base=base, episode=episode, sequence=sequence, **changes)
            human = np.arange(steps) % 2 == 0
            chunks.append(replace(made, policy_version=np.arange(base, base + steps), is_intervention=human))
            base += steps
        base += 1
    return chunks


@settings(max_examples=60, deadline=None)
@given(histories(), st.booleans())
def test_every_transition_comes_back_whatever_the_cuts_and_the_order(chunks, backwards):
    buffer = Buffer.open(":memory:")
    for c in chunks[::-1] if backwards else chunks:
        buffer.append(c)
    assert len(buffer) == sum(map(len, chunks))
    assert drawn(buffer) == transitions(*chunks)


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(8, 40))
def test_a_full_buffer_keeps_the_newest_chunks_whole(chunks, capacity):
    buffer = Buffer.open(":memory:", capacity)
    view = buffer.view("steps < 4")
    for c in chunks:
        buffer.append(c)
        if len(c) < 4:
            len(view)  # so that the view has chunks that leave later
    kept = int(buffer.stats()["chunks"])
    assert drawn(buffer) == transitions(*chunks[len(chunks) - kept :])
    left = chunks[: len(chunks) - kept]
    assert len(buffer) + buffer.stats()["evicted"] == sum(map(len, chunks))
    if left:  # the oldest would not have fitted: at most one border row more per chunk
        assert sum(map(len, chunks[len(left) - 1 :])) + kept + 1 > capacity
    small = [c for c in chunks[len(left) :] if len(c) < 4]
    assert len(view) == sum(map(len, small))
    if small:
        assert drawn(view) == transitions(*small)


def test_growing_past_the_first_allocation_keeps_all():
    chunks = [chunk(10, base=11 * e, episode=e) for e in range(300)]
    for capacity in (None, 1500):
        buffer = Buffer.open(":memory:", capacity)
        for c in chunks:
            buffer.append(c)
        kept = int(buffer.stats()["chunks"])
        assert kept == (300 if capacity is None else 1500 // 11)
        assert drawn(buffer, 60_000) == transitions(*chunks[-kept:])


def test_a_border_observation_is_stored_once_where_chunks_follow_each_other():
    buffer = Buffer.open(":memory:", capacity=9)
    buffer.append(chunk(4))
    buffer.append(chunk(4, base=4, sequence=1))
    assert buffer.stats()["transitions"] == 8  # 9 rows hold them only if the border is shared


def test_a_border_that_differs_is_not_shared():
    buffer = Buffer.open(":memory:")
    one, two = chunk(3), chunk(3, base=100, sequence=1)
    buffer.append(one)
    buffer.append(two)
    assert drawn(buffer) == transitions(one, two)


def test_append_is_idempotent():
    buffer = Buffer.open(":memory:", capacity=8)
    first = buffer.append(chunk(3))
    assert first == (0, 3, False)
    assert buffer.append(chunk(3)) == (0, 3, True)
    assert buffer.append(chunk(4, episode=1)) == (3, 4, False)
    assert len(buffer) == 4  # the first has left
    assert buffer.append(chunk(3)).repeated
    assert len(buffer) == 4


def test_what_sample_returns_belongs_to_the_caller():
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(3))
    before = drawn(buffer)
    batch = buffer.sample(5, np.random.default_rng(0))
    batch.obs["state"][:] = -1
    batch.action[:] = batch.ordered[:] = -1
    assert drawn(buffer) == before


def test_equal_generators_draw_equal_batches_and_all_transitions_equally_often():
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(4))
    buffer.append(chunk(6, base=10, episode=1))
    one, two = (buffer.sample(20_000, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.reward, two.reward)
    _, counts = np.unique(one.reward, return_counts=True)
    assert len(counts) == 10
    assert abs(counts - 2000).max() < 200  # 4.7 standard deviations


def test_views_select_chunks_and_grow():
    buffer = Buffer.open(":memory:")
    view = buffer.view("kind = 'demo'")
    with pytest.raises(BadOption, match="empty"):
        view.sample(1, np.random.default_rng(0))
    demo = chunk(3, base=50, source="human", kind="demo")
    buffer.append(chunk(3))
    buffer.append(demo)
    assert drawn(view) == transitions(demo)
    more = chunk(2, base=70, source="human", kind="demo", episode=1)
    buffer.append(more)
    assert len(view) == view.stats()["transitions"] == 5
    assert len(view.view("steps < 3 OR robot = 'x'")) == 2


def test_success_is_that_of_the_whole_episode():
    buffer = Buffer.open(":memory:")
    good, bad = buffer.view("success"), buffer.view("NOT success")
    buffer.append(chunk(3))
    assert (len(good), len(bad)) == (0, 3)
    buffer.append(chunk(2, base=3, sequence=1, success=np.array([False, True])))
    assert (len(good), len(bad)) == (5, 0)
    buffer.append(chunk(1, base=5, sequence=2))
    buffer.append(chunk(4, episode=1))
    assert (len(good), len(bad)) == (6, 4)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("interventions = 2", 3),
        ("policy_version_min = 5 AND policy_version_max = 7", 3),
        ('"return" > 11', 3),
        ("return < 11", 2),
        ("source IN ('a', 'b') AND episode BETWEEN 0 AND 9 AND sequence = 0", 5),
        ("first = 3 -- a comment", 2),
        ("robot = 'franka-fr3' AND task <> 'peg'", 0),
    ],
)
def test_conditions_know_the_columns(where, count):
    buffer = Buffer.open(":memory:")
    human, versions = np.array([True, False, True]), np.array([5, 6, 7])
    buffer.append(chunk(3, base=10, is_intervention=human, policy_version=versions))
    buffer.append(chunk(2, source="b"))
    assert len(buffer.view(where)) == count


@pytest.mark.parametrize(
    "where",
    [
        "",
        "nope = 1",
        "1) OR (1",
        "1 /*",
        "1; DROP TABLE chunks",
        "1 UNION SELECT 1, 2, 3, 4",
        "abs(episode) = 1",
        "kind LIKE 'd%'",
        "load_extension('x')",
        "episode IN (SELECT 1)",
        "steps > (SELECT avg(steps) FROM chunks)",
        "EXISTS (SELECT 1 FROM sqlite_master)",
        "id = 1",
        "rowid = 1",
        "1 ORDER BY steps",
        "?",
        "kind = 'a\0'",
    ],
)
def test_a_condition_can_read_the_columns_and_nothing_else(where):
    buffer = Buffer.open(":memory:")
    with pytest.raises(BadOption, match="policy_version_min"):
        buffer.view(where)
    buffer.append(chunk(3))
    assert len(buffer) == 3


def test_a_view_cannot_be_written():
    with pytest.raises(BadOption, match="buffer itself"):
        Buffer.open(":memory:").view("success").append(chunk(3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"obs": {"state": np.zeros((4, 3), np.float32)}}, r"observation 'state' .*\(3,\)"),
        ({"obs": {"state": np.zeros((4, 2))}}, "observation 'state' .*float64"),
        ({"obs": {"other": np.zeros((4, 2), np.float32)}}, "other"),
        ({name: np.zeros((3, 2), np.float32) for name in ("action", "ordered")}, "action"),
        ({"reward": np.full(3, np.nan, np.float32)}, "reward is not finite"),
    ],
)
def test_a_chunk_unlike_the_first_is_refused_and_leaves_no_trace(changes, says):
    buffer = Buffer.open(":memory:")
    buffer.append(chunk(3))
    with pytest.raises(BadChunk, match=says):
        buffer.append(chunk(3, episode=1, **changes))
    assert len(buffer) == 3
    assert not buffer.append(chunk(3, episode=1)).repeated


def test_a_chunk_larger_than_the_buffer_is_refused():
    with pytest.raises(BadChunk, match="capacity is 3"):
        Buffer.open(":memory:", capacity=3).append(chunk(3))


def test_only_memory_is_offered_and_capacity_must_hold_a_transition():
    with pytest.raises(BadOption, match=":memory:"):
        Buffer.open("experience.db")
    with pytest.raises(BadOption, match="capacity"):
        Buffer.open(":memory:", capacity=1)


def test_an_empty_buffer_says_so_and_a_closed_one_too():
    with Buffer.open(":memory:") as buffer:
        with pytest.raises(BadOption, match="empty"):
            buffer.sample(1, np.random.default_rng(0))
        view = buffer.view("success")
    buffer.close()
    for use in (lambda: buffer.append(chunk(3)), lambda: view.sample(1, np.random.default_rng(0)), lambda: buffer.view("1")):
        with pytest.raises(Closed, match="closed"):
            use()
