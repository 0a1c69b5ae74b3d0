"""Rows become items and come back, in any order that a reader asks for them."""

import sys

import numpy as np
import pytest
from chunks import SIDE, filmed, pictures
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadOption, MissingExtra
from user_gym.system.buffer.codec import RAW, Coding, decode, encode
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.trial import LZ4, ZSTD, Trial

SHAPE = (SIDE, SIDE, 3)
LOSSLESS = (RAW, *LZ4, *ZSTD, Coding("key-lz4", 3), Coding("previous-lz4", 3), Coding("previous-zstd", 2))


def flat(rows):
    return np.ascontiguousarray(rows).reshape(len(rows), -1)


def decoded(rows, coding, wanted):
    items = [memoryview(bytes(item)) for item in encode(rows, coding, SHAPE)]
    out = [np.full(rows.shape[1], 77, np.uint8) for _ in wanted]
    decode(items.__getitem__, coding, SHAPE, wanted, out)
    return items, np.array(out)


@pytest.mark.parametrize("coding", LOSSLESS, ids=str)
@given(st.lists(st.integers(0, 19), min_size=1, max_size=8), st.integers(0, 5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_come_back_in_any_order_also_twice(coding, wanted, seed, noise) -> None:
    rows = flat(pictures(20, seed, noise))
    items, out = decoded(rows, coding, wanted)
    assert (out == rows[wanted]).all()
    assert all(len(item) <= rows.shape[1] for item in items)


@pytest.mark.parametrize("coding", LOSSLESS, ids=str)
def test_noise_among_still_pictures_is_kept_as_it_is(coding) -> None:
    rows = flat(pictures(8))
    rows[[0, 3, 4]] = flat(pictures(3, noise=True))
    for wanted in ([0], [1], [2, 3], [3, 4, 5], [7], list(range(8))):
        items, out = decoded(rows, coding, wanted)
        assert (out == rows[wanted]).all()
    assert [len(item) == rows.shape[1] for item in items][3] is True


def test_a_pair_needs_its_keyframe_and_what_lies_between_only_where_rows_hang_on_each_other() -> None:
    rows = flat(pictures(20))
    for coding, needed in (
        (Coding("lz4"), [6, 7]),
        (Coding("key-lz4", 4), [4, 6, 7]),
        (Coding("previous-lz4", 4), [4, 5, 6, 7]),
    ):
        items = [memoryview(bytes(item)) for item in encode(rows, coding, SHAPE)]
        asked: list[int] = []
        decode(
            lambda row, items=items, asked=asked: asked.append(row) or items[row], coding, SHAPE, [6, 7], list(rows[:2].copy())
        )
        assert asked == needed
        assert coding.start(6) == needed[0]


def test_the_smallest_coding_wins_unless_it_reads_slower_for_little() -> None:
    assert Trial(LZ4).coding(flat(pictures(10, noise=True))) == RAW
    assert Trial(LZ4).coding(flat(pictures(10))).name == "key-lz4"
    flat_ground = np.zeros((10, *SHAPE), np.uint8)
    assert Trial(LZ4).coding(flat(flat_ground)).name == "lz4"
    drifting = np.cumsum(np.random.default_rng(0).random((10, SIDE * SIDE * 3)) < 0.05, axis=0).astype(np.uint8) * 3
    drifting += flat(pictures(1, noise=True))
    assert Trial(LZ4).coding(drifting).name == "previous-lz4"


def test_a_single_row_is_tried_too() -> None:
    assert Trial(LZ4).coding(np.zeros((1, 5000), np.uint8)).name == "lz4"
    assert Trial((Coding("key-lz4", 16),)).coding(np.zeros((1, 5000), np.uint8)).name == "key-lz4"


@pytest.mark.parametrize(
    "wrong",
    [
        ("gzip", 1, 0),
        ("lz4", 2, 0),
        ("key-lz4", 1, 0),
        ("key-lz4", 1 << 31, 0),
        ("jpeg", 1, 0),
        ("jpeg", 1, 101),
        ("raw", 1, 1),
    ],
)
def test_a_coding_that_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(BadOption, match="allowed"):
        Coding(*wrong)


def test_zstd_takes_part_where_it_is_asked_to(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    few_values = rng.integers(0, 16, (11, *SHAPE), dtype=np.uint8)  # half of the bits, but nothing that is repeated
    given_chunk = filmed(obs={"wrist": few_values})
    assert Encoder().encode(given_chunk).head.layout.heavy["obs.wrist"].coding.name == "raw"
    block = Encoder(zstd=True).encode(given_chunk)
    assert block.head.layout.heavy["obs.wrist"].coding.name == "zstd"
    assert (block.chunk().obs["wrist"] == few_values).all()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"user-gym\[zstd\]"):
        block.chunk()
    with pytest.raises(MissingExtra, match=r"user-gym\[zstd\]"):
        Encoder(zstd=True).encode(given_chunk)


def smooth(rows):
    y, x = np.mgrid[:48, :64]
    return np.stack([np.stack([x * 3 + row, y * 4, x + y], -1) for row in range(rows)]).astype(np.uint8)


def test_jpeg_is_lossy_only_for_the_column_that_asked(monkeypatch) -> None:
    obs = {"wrist": smooth(11), "grey": smooth(11)[..., 0].copy(), "side": smooth(11), "mask": np.ones((11, 80, 80), np.uint8)}
    given_chunk = filmed(obs=obs)
    block = Encoder(lossy={"wrist": 95, "mask": 80}).encode(given_chunk)
    names = {key: (column.coding.name, column.coding.quality) for key, column in block.head.layout.heavy.items()}
    assert (names["obs.wrist"], names["obs.mask"], names["obs.side"][0]) == (("jpeg", 95), ("jpeg", 80), "key-lz4")
    back = block.chunk()
    for name in ("grey", "side"):
        assert (back.obs[name] == obs[name]).all()
    error = np.abs(back.obs["wrist"].astype(int) - obs["wrist"])
    assert 0 < error.mean() < 3
    assert (back.obs["mask"] == 1).all()
    for wrong in (0, 101, "high"):
        with pytest.raises(BadOption):
            Encoder(lossy={"wrist": wrong})
    with pytest.raises(BadOption, match="lossy column 'depth'"):
        Encoder(lossy={"depth": 90}).encode(filmed(obs={"depth": np.zeros((11, 40, 40), np.float32)}))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtra, match=r"user-gym\[viz\]"):
        block.chunk()
