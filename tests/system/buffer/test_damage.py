"""Damaged and hostile bytes: always a BadBlock that says where, never a crash, never memory that the bytes do not justify."""

import json
import struct
import tracemalloc
import zlib
from contextlib import suppress

import lz4.block
import numpy as np
import pytest
from chunks import filmed
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadBlock
from user_gym.system.buffer.block import read_block
from user_gym.system.buffer.codec import Coding, encode
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.prefix import HEAD

BLOCK = Encoder().encode(filmed(3)).data
PRESSED = Encoder().encode(chunk(200)).data
NAMES = ("magic", "version", "flags", "steps", "rows", "meta", "layout", "tables", "light", "block", "wall", "offset", "zero")


def read_all(data: bytes) -> None:
    block = read_block(data)
    block.head.items.verify_all(data)
    block.chunk({name: np.zeros(column.shape[1:], column.dtype) for name, column in filmed(3).obs.items()})


def resealed(data: bytes, parts=None, **fields) -> bytes:
    """The block with other fields and regions, and a CRC that agrees."""
    values = dict(zip(NAMES, HEAD.unpack_from(data), strict=False))
    at, regions = HEAD.size, {}
    for name in ("meta", "layout", "tables", "light"):
        regions[name] = data[at : at + values[name]]
        at += -(-values[name] // 64) * 64
    regions |= parts or {}
    values |= {name: len(region) for name, region in regions.items()}
    prefix = b"".join(region + bytes(-len(region) % 64) for region in regions.values())
    values["block"] += HEAD.size + len(prefix) - at
    values |= fields
    head = HEAD.pack(*values.values(), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(prefix, zlib.crc32(head))) + prefix + data[at:]


def region(data: bytes, name: str):
    at, sizes = HEAD.size, dict(zip(NAMES, HEAD.unpack_from(data), strict=False))
    for other in ("meta", "layout", "tables", "light"):
        if other == name:
            return data[at : at + sizes[other]]
        at += -(-sizes[other] // 64) * 64
    return data[at:]


def test_resealing_a_sound_block_changes_nothing() -> None:
    assert resealed(BLOCK) == BLOCK
    assert resealed(PRESSED) == PRESSED


@given(st.integers(0, 8 * len(BLOCK) - 1))
@settings(max_examples=400, deadline=None)
def test_a_flipped_bit_anywhere_is_found(bit) -> None:
    data = bytearray(BLOCK)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadBlock):
        read_all(bytes(data))


@pytest.mark.parametrize("data", [BLOCK, PRESSED], ids=["pictures", "pressed"])
def test_a_flipped_bit_in_each_byte_of_the_prefix_is_found(data) -> None:
    prefix = read_block(data).head.prefix_bytes
    for byte in range(prefix):
        damaged = bytearray(data)
        damaged[byte] ^= 1 << byte % 8
        with pytest.raises(BadBlock):
            read_block(bytes(damaged))


@given(st.binary(max_size=300) | st.integers(0, len(BLOCK) - 1).map(lambda n: BLOCK[:n]))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_block_are_refused(data) -> None:
    with pytest.raises(BadBlock):
        read_block(data)


def test_an_error_says_where_and_what() -> None:
    for data, said in (
        (b"HDF5" + BLOCK[4:], r"magic at byte 0 is b'HDF5'; allowed: b'UGB1'"),
        (BLOCK[:4] + b"\2" + BLOCK[5:], r"version at byte 4 is 2; allowed: 1"),
        (BLOCK[:100] + b"~" + BLOCK[101:], r"CRC of the prefix at byte 60 is "),
        (BLOCK + bytes(64), rf"number of bytes is {len(BLOCK) + 64}; allowed: {len(BLOCK)}"),
    ):
        with pytest.raises(BadBlock, match=said):
            read_block(data)
    head = read_block(BLOCK).head
    damaged = bytearray(BLOCK)
    damaged[head.prefix_bytes] ^= 1
    with pytest.raises(BadBlock, match=rf"CRC of row 0 of obs.wrist at byte {head.prefix_bytes} is "):
        read_all(bytes(damaged))
    with pytest.raises(BadBlock, match=r"CRC of row 2 of obs\.wrist"):
        head.items.verify(2, [bytes(5), bytes(5)])


@given(st.sampled_from(NAMES[2:9] + NAMES[10:]), st.integers(0, 2**16 - 1) | st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_a_field_of_the_head_may_say_anything(name, value) -> None:
    fields = {name: value % 2**16 if name == "flags" else value}
    for data in (BLOCK, PRESSED):
        with suppress(BadBlock):
            read_all(resealed(data, **fields))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
DTYPES = [
    "|O8",
    "|V8",
    "<f4",
    "<f3",
    "|S0",
    "<U0",
    "<U999999999",
    "<M8[Y]",
    "<M8[x]",
    "(9,)<f4",
    "f4,f4",
    "<m8[9999s]",
    "|b1",
    "",
]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_layout_may_say_anything(data) -> None:
    columns = json.loads(region(BLOCK, "layout"))
    column = data.draw(st.sampled_from(columns))
    key = data.draw(st.sampled_from(["of", "name", "dtype", "shape", "coding", "keyframe", "quality"]))
    sides = st.lists(st.integers(-1, 70) | st.integers(0, 2**40), max_size=40)
    column[key] = data.draw(JSON | sides | st.sampled_from([*DTYPES, "jpeg", "zstd", "previous-lz4", "key-zstd", "obs"]))
    if data.draw(st.booleans()):
        column["shape"] = data.draw(sides)
    given_block = resealed(BLOCK, {"layout": json.dumps(columns).encode()})
    with suppress(BadBlock):
        read_all(given_block)


@pytest.mark.parametrize(
    "changes", [{"shape": [0, 2**31 - 1, 2**31 - 1, 2**31 - 1]}, {"dtype": ">b1"}, {"dtype": "<U1000000000"}]
)
def test_a_column_that_no_array_can_be_is_refused(changes) -> None:
    layout = json.loads(region(PRESSED, "layout"))
    layout[0] |= changes
    with pytest.raises(BadBlock, match=r"(shape|dtype) of column 'state'"):
        read_block(resealed(PRESSED, {"layout": json.dumps(layout).encode()}))


def test_items_begin_where_the_heavy_region_does() -> None:
    table = np.frombuffer(region(BLOCK, "tables"), "<u4").copy()
    table[: len(table) // 2 + 1] += 64
    block = dict(zip(NAMES, HEAD.unpack_from(BLOCK), strict=False))["block"]
    with pytest.raises(BadBlock, match="offsets"):
        read_block(resealed(BLOCK + bytes(64), {"tables": table.tobytes()}, block=block + 64))


@given(st.sampled_from(["source", "episode", "reward_source", "group"]), JSON)
@settings(max_examples=200, deadline=None)
def test_meta_may_say_anything(key, value) -> None:
    meta = json.loads(region(BLOCK, "meta")) | {key: value}
    with suppress(BadBlock):
        read_all(resealed(BLOCK, {"meta": json.dumps(meta).encode()}))


@pytest.mark.parametrize("runs", [[["rule", 2]], [["rule", 4]], [["rule", 4], ["human", -1]], [["rule", 3], ["human", 0]], {}])
def test_sources_of_rewards_have_to_be_those_of_all_steps(runs) -> None:
    meta = json.loads(region(BLOCK, "meta")) | {"reward_source": runs}
    with pytest.raises(BadBlock, match="reward_source"):
        read_block(resealed(BLOCK, {"meta": json.dumps(meta).encode()}))


@pytest.mark.parametrize(("coding", "size"), [("raw", 4799), ("raw", 4801), ("lz4", 18), ("jpeg", 18), ("lz4", 4801)])
def test_an_item_that_cannot_be_its_row_is_refused_before_it_is_decoded(coding, size) -> None:
    with pytest.raises(BadBlock, match="bytes of items"):
        read_block(with_items(coding, [bytes(size)] * 8))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"1" * 5000, b'"', b"null", b'{"a":1}', b"[1]"])
@pytest.mark.parametrize("where", ["meta", "layout"])
def test_text_that_is_none_of_ours_is_refused(where, text) -> None:
    with pytest.raises(BadBlock):
        read_block(resealed(BLOCK, {where: text}))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_table_may_say_anything(data) -> None:
    table = np.frombuffer(region(BLOCK, "tables"), "<u4").copy()
    table[data.draw(st.integers(0, len(table) - 1))] = data.draw(st.integers(0, 2**32 - 1) | st.integers(0, len(BLOCK)))
    with suppress(BadBlock):
        read_all(resealed(BLOCK, {"tables": table.tobytes()}))


def test_small_bytes_that_claim_to_be_large_cost_little_memory() -> None:
    layout = json.loads(region(PRESSED, "layout"))
    bombs = [resealed(PRESSED, steps=steps, rows=steps + 1) for steps in (10**6, 2**32 - 2)]
    for column in layout:
        before = column["shape"]
        for side in (10**5, 2**31 - 1):
            column["shape"] = [side, *before[1:]]
            bombs.append(resealed(PRESSED, {"layout": json.dumps(layout).encode()}))
        column["shape"] = before
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(BadBlock):
            read_all(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def with_items(coding: str, items: list[bytes]) -> bytes:
    """The block with these items, eight of the same size, sealed."""
    layout, size = json.loads(region(BLOCK, "layout")), len(items[0])
    for column in layout:
        if "coding" in column:
            column |= {"coding": coding, "keyframe": 4 if "-" in coding else 1, "quality": 90 if coding == "jpeg" else 0}
    checks = np.array([zlib.crc32(item) for item in items], "<u4")
    tables = (np.arange(9) * size).astype("<u4").tobytes() + checks.tobytes()
    sealed = resealed(BLOCK, {"tables": tables, "layout": json.dumps(layout).encode()})
    prefix = len(sealed) - len(region(BLOCK, "heavy"))
    heavy = b"".join(items) + bytes(-8 * size % 64)
    return resealed(sealed[:prefix] + heavy, block=prefix + len(heavy))


@pytest.mark.parametrize("coding", ["lz4", "zstd", "jpeg", "key-lz4", "previous-zstd"])
def test_items_that_cannot_be_decoded_are_refused(coding) -> None:
    if "zstd" in coding:
        pytest.importorskip("zstandard")
    rng = np.random.default_rng(0)
    for size in (1, 20, 600):
        with pytest.raises(BadBlock):
            read_all(with_items(coding, [rng.integers(0, 256, size, dtype=np.uint8).tobytes() for _ in range(8)]))


@pytest.mark.parametrize("coding", ["lz4", "key-lz4", "previous-lz4", "zstd", "key-zstd", "jpeg"])
@pytest.mark.parametrize("shape", [(39, 40, 3), (41, 40, 3)])
def test_items_of_fewer_or_more_bytes_than_a_row_are_refused(coding, shape) -> None:
    if "zstd" in coding:
        pytest.importorskip("zstandard")
    rows = np.tile(np.arange(120, dtype=np.uint8), shape[0])[None]
    how = Coding("jpeg", quality=90) if coding == "jpeg" else Coding(coding.split("-")[-1])
    (item,) = encode(rows, how, shape)
    with pytest.raises(BadBlock):
        read_all(with_items(coding, [bytes(item)] * 8))


def test_a_pressed_light_region_has_to_give_the_bytes_of_its_columns() -> None:
    light = region(PRESSED, "light")
    plain = len(lz4.block.decompress(light, uncompressed_size=1 << 20))
    for size in (plain - 8, plain + 8):
        with pytest.raises(BadBlock):
            read_all(resealed(PRESSED, {"light": lz4.block.compress(bytes(size), store_size=False)}))
