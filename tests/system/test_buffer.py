"""The buffer gives back exactly the transitions that were put in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadChunk, BadOption, Closed
from user_gym.system import Buffer
from user_gym.testing.storage_suite import StorageSuite


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


class TestBuffer(StorageSuite):
    def open(self):
        return Buffer.open(":memory:")


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


@pytest.fixture
def buffer():
    with Buffer.open(":memory:") as buffer:
        yield buffer


@settings(max_examples=40, deadline=None)
@given(histories(), st.booleans())
def test_every_transition_comes_back_whatever_the_cuts_and_the_order(chunks, backwards):
    with Buffer.open(":memory:") as buffer:
        for c in chunks[::-1] if backwards else chunks:
            buffer.append(c)
        assert len(buffer) == sum(map(len, chunks))
        assert drawn(buffer) == transitions(*chunks)


@settings(max_examples=40, deadline=None)
@given(histories(), st.integers(6, 40))
def test_a_full_buffer_keeps_the_newest_chunks(chunks, capacity):
    with Buffer.open(":memory:", capacity=capacity) as buffer:
        view = buffer.view("steps < 4")
        for c in chunks:
            buffer.append(c)
            assert len(view) <= len(buffer) <= capacity
        kept, newest = [], sum(map(len, chunks))
        for c in reversed(chunks):
            if sum(map(len, kept)) + len(c) > capacity:
                break
            kept.insert(0, c)
        # Where the chunk before it left, the first transition of the oldest went with it: its observation lay there.
        whole = transitions(*kept)
        first = transitions(kept[0]) - transitions(*kept[1:])
        assert whole - drawn(buffer) <= first
        assert len(whole) - len(buffer) <= 1
        assert buffer.stats()["transitions_ever"] == newest
        small = transitions(*[c for c in kept if len(c) < 4])
        assert len(small) - len(view) <= 1
        if len(view):
            # Where a first transition went, an older chunk may have stayed in its room.
            assert small & drawn(buffer) <= drawn(view) <= drawn(buffer) & transitions(*[c for c in chunks if len(c) < 4])


def test_growing_past_the_first_allocation_keeps_all():
    chunks = [chunk(10, base=11 * e, episode=e) for e in range(300)]
    for capacity in (None, 1500):
        with Buffer.open(":memory:", capacity=capacity) as buffer:
            for c in chunks:
                buffer.append(c)
            kept = 300 if capacity is None else len(buffer) // 10
            assert len(buffer) == 3000 if capacity is None else 1500 - 1500 // 32 <= len(buffer) <= 1500
            assert drawn(buffer, 60_000) == transitions(*chunks[-kept:])


def test_a_border_that_differs_is_not_shared(buffer):
    one, two = chunk(3), chunk(3, base=100, sequence=1)
    buffer.append(one)
    buffer.append(two)
    assert drawn(buffer) == transitions(one, two)


def test_append_is_idempotent():
    with Buffer.open(":memory:", capacity=5) as buffer:
        assert buffer.append(chunk(3)) == (0, 3, False)
        assert buffer.append(chunk(3)) == (0, 3, True)
        assert buffer.append(chunk(4, episode=1)) == (3, 4, False)
        assert len(buffer) == 4  # the first has left
        assert buffer.append(chunk(3)).repeated
        assert len(buffer) == 4


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("interventions = 2", 3),
        ("policy_version_min = 5 AND policy_version_max = 7", 3),
        ('"return" > 11', 3),
        ("return < 11", 2),
        ("source IN ('a', 'b') AND episode BETWEEN 0 AND 9 AND sequence = 0", 5),
        ("first = 3", 2),
        ("policy_version > 5", 2),
        ("is_intervention OR reward = 1", 3),
        ("robot = 'franka-fr3' AND task <> 'peg'", 0),
    ],
)
def test_conditions_know_the_columns(buffer, where, count):
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
        "kind = 'd' -- a comment",
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
def test_a_condition_can_read_the_columns_and_nothing_else(buffer, where):
    with pytest.raises(BadOption, match="bad view condition"):
        buffer.view(where)
    buffer.append(chunk(3))
    assert len(buffer) == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"obs": {"state": np.zeros((4, 2))}}, r"obs\.state has rows float64\(2,\); .*float32"),
        ({"obs": {"state": np.zeros((4, 2, 2), np.float32)}}, r"obs\.state has rows float32\(2, 2\)"),
        ({"reward": np.full(3, np.nan, np.float32)}, "reward is not finite"),
    ],
)
def test_a_chunk_that_no_batch_could_hold_beside_the_others_is_refused(buffer, changes, says):
    buffer.append(chunk(3))
    with pytest.raises(BadChunk, match=says):
        buffer.append(chunk(3, episode=1, **changes))
    assert len(buffer) == 3
    assert not buffer.append(chunk(3, episode=1)).repeated


def test_a_chunk_larger_than_the_buffer_is_refused():
    with Buffer.open(":memory:", capacity=3) as buffer, pytest.raises(BadChunk, match="capacity is 3"):
        buffer.append(chunk(4))


@pytest.mark.parametrize(
    "option",
    [{"capacity": 0}, {"capacity": 2.5}, {"cache_bytes": -1}, {"threads": 0}, {"durability": "hope"}, {"segment_bytes": 0}],
    ids=str,
)
def test_an_option_that_means_nothing_is_refused_and_leaves_nothing(tmp_path, option):
    for path in (tmp_path / "buffer", ":memory:"):
        if path == ":memory:" and "durability" in option:
            continue
        with pytest.raises(BadOption, match=next(iter(option))):
            Buffer.open(path, **option)
    assert not (tmp_path / "buffer").exists()


def test_an_empty_buffer_says_so_and_a_closed_one_too():
    with Buffer.open(":memory:") as buffer:
        with pytest.raises(BadOption, match="empty"):
            buffer.sample(1, np.random.default_rng(0))
        view = buffer.view("success")
    buffer.close()
    for use in (lambda: buffer.append(chunk(3)), lambda: view.sample(1, np.random.default_rng(0)), lambda: buffer.view("1")):
        with pytest.raises(Closed, match="closed"):
            use()
