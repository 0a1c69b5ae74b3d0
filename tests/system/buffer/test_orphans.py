"""A transition whose observation lay in a chunk that is gone waits for it; the rest of its chunk is as any other."""

from dataclasses import replace

import numpy as np
import pytest

from user_gym.errors import Gone
from user_gym.system import Buffer
from user_gym.testing.storage_suite import steps


def episode(number=0, chunks=3, n=4):
    """Chunks that each begin with the last observation of the one before; rewards 100 number + 10 sequence + row."""
    made = []
    for sequence in range(chunks):
        chunk = steps(n, 100 * number + 10 * sequence, number, sequence)
        if made:
            obs = {name: np.concatenate([made[-1].obs[name][-1:], column[1:]]) for name, column in chunk.obs.items()}
            chunk = replace(chunk, obs=obs)
        made.append(chunk)
    return made


@pytest.fixture(params=[1 << 20, 0], ids=["memory", "blocks"])
def buffer(request, tmp_path):
    with Buffer.open(tmp_path, cache_bytes=request.param, durability="kill") as buffer:
        yield buffer


def rewards(storage):
    return set(storage.read(storage.numbers()).reward.astype(int).tolist())


REST = {11, 12, 13, 20, 21, 22, 23}  # of an episode whose first chunk left


def test_views_follow_while_it_leaves_and_comes_back(buffer):
    chunks = episode()
    for chunk in chunks:
        buffer.append(chunk)
    wheres = ("steps > 0", "sequence = 1", "reward >= 10 AND reward <= 11", "reward > 11")
    views = {where: buffer.view(where) for where in wheres}

    def check(expected):
        assert rewards(buffer) == expected
        for where, view in views.items():
            wanted = {
                "steps > 0": expected,
                "sequence = 1": expected & {10, 11, 12, 13},
                "reward > 11": {reward for reward in expected if reward > 11},
            }.get(where, expected & {10, 11})
            for one in (view, buffer.view(where)):  # that followed, and a new one
                assert rewards(one) == wanted
                assert len(one) == len(wanted)
                assert set(one.sample(100, np.random.default_rng(0)).reward.astype(int).tolist()) == wanted

    check({0, 1, 2, 3, 10} | REST)
    for _ in range(2):
        first = buffer.view("sequence = 0").numbers()[0]
        buffer._store.quarantine(buffer._lookup.find(np.array([first])).entry(0), "for this test")
        check(REST)
        buffer.append(chunks[0])  # its key is free again
        check({0, 1, 2, 3, 10} | REST)


def test_its_chunk_is_handed_over_without_it_and_can_be_labelled(buffer):
    for chunk in episode():
        buffer.append(chunk)
    buffer._store.prune("sequence = 0")
    assert buffer.chunk(5).reward.tolist() == [11, 12, 13]
    np.testing.assert_array_equal(buffer.chunk(5).obs["state"], episode()[1].obs["state"][1:])
    with pytest.raises(Gone):
        buffer.read(np.array([4]))
    seen = []
    written = buffer.view("steps > 0").relabel("good", lambda chunk: seen.append(len(chunk)) or chunk.reward, "a rule")
    assert seen == [3, 4]
    assert written.chunks == 2
    assert rewards(buffer.view("good IS NOT NULL")) == REST
    batch = buffer.view("steps > 0", reward="good").read(np.arange(5, 12), horizon=9)
    np.testing.assert_array_equal(batch.reward[0][batch.valid[0]], [11, 12, 13, 20, 21, 22, 23])
    buffer.view("sequence = 1").relabel("same", 1.0, "a person")
    assert rewards(buffer.view("same = 1")) == {11, 12, 13}


def test_one_that_is_alone_in_its_chunk_waits_too(buffer):
    first, second = episode(chunks=2, n=1)
    buffer.append(first)
    buffer.append(second)
    buffer._store.prune("sequence = 0")
    assert len(buffer) == 0
    with pytest.raises(Gone):
        buffer.chunk(1)


def test_chunks_that_leave_while_they_are_labelled_are_passed_over(buffer):
    for number in range(12):
        for chunk in episode(number, chunks=2):
            buffer.append(chunk)
    seen = []

    def score(chunk):
        seen.append((chunk.episode, chunk.sequence))
        if seen[-1] == (5, 0):  # this one, others that come, one that was labelled, and half of an episode
            buffer._store.prune("episode >= 5 AND episode < 8 OR episode = 2 OR episode = 9 AND sequence = 0")
        return chunk.reward

    buffer.view("steps > 0").relabel("good", score, "a rule")
    assert not {(5, 1), (6, 0), (7, 1), (9, 0)} & set(seen)
    assert (9, 1) in seen
    assert rewards(buffer.view("good IS NOT NULL")) == rewards(buffer)
    labelled = buffer.view("steps > 0", reward="good")
    assert len(labelled) == len(buffer) == 12 * 8 - 4 * 8 - 4 - 1
