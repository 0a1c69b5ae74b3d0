"""docs/format.md is enough: a reader made of its tables alone, which knows nothing of user_gym."""

import json
import struct
import zlib

import lz4.block
import numpy as np
import pytest
from chunks import equal, filmed, pictures

from user_gym.core import Chunk
from user_gym.system.buffer.codec import Coding
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.segment import Segment


def blocks(file: bytes):
    assert struct.unpack_from("<4sH", file) == (b"UGS1", 1)
    at = 64
    while at < len(file):
        names = ("magic", "version", "flags", "steps", "rows", "meta", "layout", "tables", "light", "block", "wall", "offset")
        head = dict(zip(names, struct.unpack_from("<4sHHIIIIIIQdd", file, at), strict=True))
        assert (head["magic"], head["version"]) == (b"UGB1", 1)
        yield read(file[at : at + head["block"]], head)
        at += head["block"]


def read(block: bytes, head: dict) -> tuple[dict, dict, dict]:
    at, region = 64, {}
    for name in ("meta", "layout", "tables", "light"):
        region[name] = block[at : at + head[name]]
        at += -(-head[name] // 64) * 64
    assert zlib.crc32(block[64:at], zlib.crc32(block[:60])) == struct.unpack_from("<I", block, 60)[0]
    steps, follows = head["steps"], head["flags"] & 1
    columns = [column | {"dtype": np.dtype(column["dtype"])} for column in json.loads(region["layout"])]
    heavy = [column for column in columns if "coding" in column]
    light, place, values = region["light"], 0, {}
    for column in columns:
        column["first"] = follows if column["of"] == "obs" else 0
        column["rows"] = steps + (column["of"] == "obs") - column["first"]
        column["size"] = int(np.prod(column["shape"])) * column["dtype"].itemsize
    if head["flags"] & 2:
        sizes = [column["rows"] * column["size"] for column in columns if column not in heavy]
        light = lz4.block.decompress(light, uncompressed_size=sum(-(-size // 8) * 8 for size in sizes))
    count = (steps + 1) * len(heavy)
    tables = struct.unpack(f"<{2 * count + 1 if heavy else 0}I", region["tables"])
    for column in columns:
        shape, size = (column["rows"], *column["shape"]), column["size"]
        if column in heavy:
            first, rows = column["first"], []
            for row in range(column["rows"]):
                item = (row + first) * len(heavy) + heavy.index(column)
                data = block[at + tables[item] : at + tables[item + 1]]
                assert zlib.crc32(data) == tables[count + 1 + item]
                rows.append(decoded(data, size, column["coding"], row % column["keyframe"], rows))
            data = b"".join(rows)
        else:
            data = light[place : place + column["rows"] * size]
            place += -(-len(data) // 8) * 8
        values[column["of"], column["name"]] = np.frombuffer(data, column["dtype"]).reshape(shape)
    return head, json.loads(region["meta"]), values


def decoded(data: bytes, size: int, coding: str, after: int, rows: list[bytes]) -> bytes:
    if len(data) == size:
        return data
    plain = lz4.block.decompress(data, uncompressed_size=size)
    if after == 0 or coding == "lz4":
        return plain
    other = rows[-1] if coding == "previous-lz4" else rows[-after]
    return bytes((a + b) % 256 for a, b in zip(plain, other, strict=True))


@pytest.mark.parametrize("coding", [None, Coding("lz4"), Coding("key-lz4", 3), Coding("previous-lz4", 4)])
def test_another_reader_reads_a_segment_by_the_document_alone(tmp_path, monkeypatch, coding) -> None:
    if coding:
        monkeypatch.setattr("user_gym.system.buffer.trial.Trial.coding", lambda self, rows: coding)
    depth = np.random.default_rng(0).normal(size=(7, 60, 60)).astype(np.float16)
    chunks = [filmed(7, extra={"depth": depth, "log_prob": np.full(7, np.nan, np.float32), "zeros": np.zeros((7, 300))})]
    chunks += [filmed(7, 7, sequence=1, kind="demo", wall_time=1.5e9, clock_offset=-0.25)]
    chunks[1].obs["wrist"] = pictures(8, 3)
    encoder = Encoder()
    with Segment.create(tmp_path / "segment") as segment:
        for number, one in enumerate(chunks):
            segment.append(encoder.encode(one, follows=number > 0).data)
    found = list(blocks((tmp_path / "segment").read_bytes()))
    assert len(found) == 2
    for number, ((head, meta, values), one) in enumerate(zip(found, chunks, strict=True)):
        obs = {name: column for (of, name), column in values.items() if of == "obs"}
        if number:
            obs = {name: np.concatenate([one.obs[name][:1], column]) for name, column in obs.items()}
        sources = tuple(name for name, steps in meta.pop("reward_source") for _ in range(steps))
        assert meta.pop("group") == "training"
        step = {name: column for (of, name), column in values.items() if of == "step"}
        extra = {name: column for (of, name), column in values.items() if of == "extra"}
        times = {"wall_time": head["wall"], "clock_offset": head["offset"]}
        equal(one, Chunk(**meta, **step, **times, obs=obs, extra=extra, reward_source=sources))
