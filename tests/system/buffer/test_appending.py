"""What a buffer takes in, what it refuses, and what a chunk is joined to."""

import numpy as np
import pytest
from pictures import episode, tells

from user_gym.errors import BadChunk, BadOption
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder


def test_a_block_from_elsewhere_is_held_to_the_same_columns():
    with Buffer.open(":memory:") as buffer:
        buffer.append(episode(4)[0])
        wrong = episode(4, 1)[0]
        wrong.obs["state"] = wrong.obs["state"].astype(np.float64)
        with pytest.raises(BadChunk, match="float64"):
            buffer.append(Encoder().encode(wrong))
        right = episode(4, 2, first=200)[0]
        other = episode(4, 3, first=300)[0]
        other.obs["new"] = np.zeros((5, 2))
        clash = episode(4, 4, first=400)[0]
        clash.obs["new"] = np.zeros((5, 2), np.float32)
        with pytest.raises(BadChunk, match=r"obs\.new"):
            buffer.extend([right, other, clash])
        assert len(buffer) == 4
        buffer.extend([Encoder().encode(right), Encoder(group="raw").encode(other)])
        assert len(buffer) == 8
        assert set(tells(buffer.sample(100, np.random.default_rng(0))).tolist()) == {0, 1, 2, 3, 200, 201, 202, 203}


def test_a_chunk_follows_no_chunk_that_was_only_repeated():
    """The stored one, not the one that came again with other observations, is what the next would be joined to."""
    with Buffer.open(":memory:") as buffer:
        one, two = episode(6, chunks=2)
        buffer.append(one)
        again = episode(6, first=50, chunks=2)
        assert buffer.append(again[0]).repeated
        buffer.append(again[1])
        assert set(tells(buffer.sample(100, np.random.default_rng(0))).tolist()) == {0, 1, 2, 53, 54, 55}
    for together in (False, True):
        with Buffer.open(":memory:") as buffer:
            buffer.append(one)
            if together:
                buffer.extend([again[0], again[1]])
            else:
                buffer.append(two)
            assert len(buffer) == 6
            tells(buffer.sample(100, np.random.default_rng(0)))


def test_a_failed_append_leaves_the_next_chunk_as_it_would_have_been(monkeypatch):
    with Buffer.open(":memory:") as buffer:
        one, two, three = episode(9, chunks=3)
        buffer.append(one)
        append = buffer._store.append

        def fails(blocks):
            raise BadOption("append", 1, "nothing today")

        monkeypatch.setattr(buffer._store, "append", fails)
        with pytest.raises(BadOption):
            buffer.extend([two, three])
        monkeypatch.setattr(buffer._store, "append", append)
        buffer.append(three)  # what came before it is not stored: it has to stand alone
        assert set(tells(buffer.sample(100, np.random.default_rng(0))).tolist()) == {0, 1, 2, 6, 7, 8}
        buffer.append(two)
        assert len(buffer) == 9
        assert set(tells(buffer.sample(200, np.random.default_rng(0))).tolist()) == set(range(9))
