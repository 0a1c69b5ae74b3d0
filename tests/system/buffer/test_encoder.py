"""What an encoder says of a block that it made is what a reader finds in its bytes."""

import dataclasses

import numpy as np
import pytest
from chunks import any_chunks, filmed, same
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadChunk
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.head import Head


def agree(block: Block) -> None:
    said, found = block.head, Head.parse(block.data)
    for field in dataclasses.fields(Head):
        one, other = getattr(said, field.name), getattr(found, field.name)
        if field.name == "_light":
            assert list(one) == list(other)
            for key, column in one.items():
                same(column, other[key])
                assert not column.flags.writeable or not column.nbytes
        elif field.name == "items":
            assert all(
                getattr(one, name) == getattr(other, name) for name in ("steps", "follows", "prefix_bytes", "block_bytes")
            )
            assert (list(one.offsets), list(one.checks)) == (list(other.offsets), list(other.checks))
        elif isinstance(other, float):
            assert np.float64(one).tobytes() == np.float64(other).tobytes()
        else:
            assert one == other
            assert type(one) is type(other)
    assert said.layout is found.layout  # one for all blocks of a collector, however they came


@given(any_chunks(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_head_of_a_new_block_is_the_one_that_is_read(given_chunk, follows) -> None:
    agree(Encoder().encode(given_chunk, follows))


@pytest.mark.parametrize("follows", [False, True])
def test_also_with_pictures_and_where_the_light_region_is_pressed(follows) -> None:
    dull, noisy = {"state": np.zeros((11, 500), np.float32)}, {"state": np.random.default_rng(0).random((11, 500), np.float32)}
    sizes = [len(Encoder().encode(filmed(obs=obs), follows).data) for obs in (dull, noisy)]
    assert sizes[0] < sizes[1] / 4  # the first one is pressed
    for obs in (dull, noisy, filmed().obs):
        agree(Encoder().encode(filmed(obs=obs), follows))


def test_a_source_of_rewards_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadChunk, match="allowed: text"):
        Encoder().encode(filmed(2, reward_source=("rule", 3)))
