"""A chunk becomes bytes and comes back, bit for bit."""

import dataclasses

import numpy as np
import pytest
from chunks import any_chunks, equal, filmed, pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadBlock, BadChunk, BadOption, UnknownName
from user_gym.system.buffer.block import read_block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.items import row_bytes


def first_rows(of):
    return {name: column[0] for name, column in of.obs.items()}


@given(any_chunks(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_chunk_comes_back_bit_for_bit(given_chunk, follows) -> None:
    block = read_block(Encoder().encode(given_chunk, follows).data)
    equal(given_chunk, block.chunk(first_rows(given_chunk) if follows else None))


def test_pictures_come_back_and_are_each_stored_once() -> None:
    whole = filmed(20)
    parts = [filmed(10, base) for base in (0, 10)]
    for part, base in zip(parts, (0, 10), strict=True):
        part.obs.update({name: column[base : base + 11] for name, column in whole.obs.items()})
    encoder = Encoder()
    blocks = [encoder.encode(parts[0]), encoder.encode(parts[1], follows=True)]
    assert [len(block.head.light("obs.state")) for block in blocks] == [11, 10]
    before = {name: column[-1] for name, column in blocks[0].chunk().obs.items()}
    equal(parts[1], blocks[1].chunk(before))
    raw = sum(column.nbytes for name, column in whole.obs.items() if name == "side")
    side = sum(sum(np.diff(block.head.items.offsets)[1::2]) for block in blocks)
    assert side == raw  # noise: the rows as they are, 21 of them for 20 steps


def test_the_coding_fits_the_column() -> None:
    block = Encoder().encode(filmed())
    codings = {key: column.coding.name for key, column in block.head.layout.heavy.items()}
    assert codings == {"obs.wrist": "key-lz4", "obs.side": "raw"}
    assert len(block.data) < 0.72 * sum(column.nbytes for column in filmed().obs.values())


def test_the_coding_is_tried_again_when_the_pictures_change() -> None:
    encoder = Encoder()
    dull, noisy = filmed(3), filmed(3)
    noisy.obs["wrist"] = pictures(4, 3, noise=True)
    names = [encoder.encode(one).head.layout.heavy["obs.wrist"].coding.name for one in (dull, *(noisy,) * 70)]
    assert names[0] == "key-lz4"
    assert names[-1] == "raw"
    # Meanwhile nothing grows: what does not get smaller is the row itself.
    raw = sum(column.nbytes for column in noisy.obs.values())
    assert len(Encoder().encode(noisy).data) < raw + 4096
    wrong = Encoder()
    wrong.encode(dull)
    assert len(wrong.encode(noisy).data) < raw + 4096


def test_zero_light_columns_are_pressed_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = Encoder().encode(chunk(100, extra={"noise": rng.integers(0, 256, (100, 500), dtype=np.uint8)}))
    zeros = Encoder().encode(chunk(100, extra={"noise": np.zeros((100, 500), np.uint8)}))
    assert len(noise.data) > 50_000
    assert len(zeros.data) < 5_000
    assert not zeros.head.light("extra.noise").any()


def test_columns_of_the_same_name_stay_apart() -> None:
    given_chunk = chunk(3, extra={"state": np.ones(3, np.int8), "reward": np.full(3, 7.0)})
    block = Encoder().encode(given_chunk)
    assert block.head.light("reward").tolist() == given_chunk.reward.tolist()
    equal(given_chunk, block.chunk())


def test_a_quiet_nan_and_a_loud_one_come_back() -> None:
    bits = np.array([0x7FC00001, 0xFFC00000, 0x7F800001], np.uint32).view(np.float32)
    equal(given_chunk := chunk(3, extra={"n": bits}), Encoder().encode(given_chunk).chunk())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra": {"o": np.array([{}, {}, {}])}}, "object"),
        ({"extra": {"o": np.zeros(3, [("a", "f4")])}}, "cannot be stored"),
        ({"source": "\ud800"}, "UTF-8"),
        ({"source": None}, "None"),
        ({"episode": 1 << 63}, "9223372036854775807"),
        ({"reward": np.zeros(2, np.float32)}, "rows"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(changes, said) -> None:
    with pytest.raises(BadChunk, match=said):
        Encoder().encode(chunk(3, **changes))


def test_a_block_that_follows_asks_for_the_row_before() -> None:
    block = Encoder().encode(filmed(), follows=True)
    before = first_rows(filmed())
    for wrong in (None, {}, before | {"wrist": before["wrist"][1:]}, before | {"state": before["state"].astype(np.float64)}):
        with pytest.raises(BadOption, match="before"):
            block.chunk(wrong)


def test_rows_are_read_from_a_span_of_the_bytes_into_given_arrays() -> None:
    given_chunk = filmed(30)
    block = Encoder().encode(given_chunk)
    items = block.head.items
    for rows in ([4, 5], [20, 21], [30], [7, 3, 7, 29], [0, 16, 15]):
        begin, end = items.span(min(rows), max(rows))
        assert items.prefix_bytes <= begin < end <= items.block_bytes
        out = {"obs.wrist": np.zeros((len(rows), 40, 40, 3), np.uint8), "obs.side": np.zeros((len(rows), 40, 40, 3), np.uint8)}
        into = {key: row_bytes(array) for key, array in out.items()}
        data = memoryview(block.data)[begin:end]
        items.decode(data, begin, rows, into)
        assert (out["obs.wrist"] == given_chunk.obs["wrist"][rows]).all()
        assert (out["obs.side"] == given_chunk.obs["side"][rows]).all()
        if begin > items.prefix_bytes:
            with pytest.raises(BadBlock, match="missing"):
                items.decode(data[:-1], begin, rows, into)


def test_the_span_of_a_neighbouring_pair_is_the_pair_alone_where_rows_are_raw() -> None:
    rng = np.random.default_rng(0)
    noisy = {name: rng.integers(0, 256, (11, 128, 128, 3), dtype=np.uint8) for name in ("a", "b")}
    items = Encoder().encode(filmed(obs=noisy), follows=True).head.items
    begin, end = items.span(4, 5)
    assert end - begin == 2 * 2 * 128 * 128 * 3
    assert items.span(0, 1)[0] == items.prefix_bytes  # row 0 is in the block before: only row 1 is read
    assert np.diff(items.span(0, 1)) == 2 * 128 * 128 * 3


def test_rows_that_are_not_there_and_arrays_that_do_not_fit_are_refused() -> None:
    block = Encoder().encode(filmed(), follows=True)
    row = np.zeros((1, 40, 40, 3), np.uint8)
    for rows in ([0], [11], [-1]):
        with pytest.raises(BadOption, match=r"obs\.wrist"):
            block.head.items.decode(block.data, 0, rows, {"obs.wrist": row_bytes(row)})
    with pytest.raises(BadOption, match="array"):
        block.head.items.decode(block.data, 0, [1], {"obs.wrist": row_bytes(row[:, 1:])})
    with pytest.raises(BadOption, match="contiguous"):
        row_bytes(row[:, :, 1:])


def test_heavy_columns_of_steps_lie_beside_those_of_observations() -> None:
    rng = np.random.default_rng(0)
    depth = rng.normal(size=(10, 64, 64)).astype(np.float16)
    given_chunk = filmed(extra={"depth": depth})
    for follows in (False, True):
        block = Encoder().encode(given_chunk, follows)
        equal(given_chunk, block.chunk(first_rows(given_chunk)))
        out = np.zeros((2, 64, 64), np.float16)
        begin, end = block.head.items.span(0, 1)
        block.head.items.decode(memoryview(block.data)[begin:end], begin, [0, 1], {"extra.depth": row_bytes(out)})
        assert (out == depth[:2]).all()


def test_the_light_columns_cannot_be_written() -> None:
    head = Encoder().encode(filmed()).head
    with pytest.raises(ValueError, match="read-only"):
        head.light("reward")[0] = 1
    with pytest.raises(UnknownName, match=r"obs\.state"):
        head.light("state")


def test_a_head_needs_the_prefix_alone() -> None:
    block = Encoder(group="raw").encode(dataclasses.replace(filmed(), clock="robot", env_id="User/Peg"))
    head = type(block.head).parse(bytearray(block.data[: block.head.prefix_bytes]))
    assert (head.group, head.clock, head.env_id, head.steps) == ("raw", "robot", "User/Peg", 10)
    assert head.reward_source == (("rule", 9), ("human", 1))
    with pytest.raises(BadBlock, match=f"{head.prefix_bytes}, the prefix"):
        type(head).parse(block.data[: head.prefix_bytes - 1])
