"""A second reader, made of docs/weights.md alone, reads what the encoder writes."""

import json
import struct
import zlib

import numpy as np
import pytest
from weight_cases import moved, policy

from user_gym.system.weights import Broadcaster, Encoder, Narrowed, Receiver, encoding

SEGMENT = 30_000  # parameters; 2^22 in the document, smaller here to have several

ITEM = {"bfloat16": 2, "float32": 4, "int64": 8}


def head(data):
    names = ("magic", "format", "kind", "version", "base", "lineage", "digest", "payload", "meta", "crc", "zero", "head_crc")
    found = dict(zip(names, struct.unpack_from("<4sHHqq16s16sQIIII", data), strict=True))
    end = 80 + found["meta"]
    assert (found["magic"], found["format"]) == (b"UGW1", 1)
    assert zlib.crc32(data[:76] + data[80:end]) == found["head_crc"]
    assert zlib.crc32(data[end:]) == found["crc"]
    return found, json.loads(data[80:end]), data[end:]


def places(tensors):
    """name -> (dtype, first byte, end)"""
    at, found = 0, {}
    for name, dtype, shape in tensors:
        at = at if dtype == "bfloat16" else (at + 63) // 64 * 64
        size = ITEM[dtype] * int(np.prod(shape))
        found[name] = dtype, at, at + size
        at += size
    return found


def plain(part, size, press):
    if len(part) == size:
        return part
    if press == "zlib":
        return zlib.decompress(part)
    return pytest.importorskip("zstandard").ZstdDecompressor().decompress(part)


def ordered(x):
    return (~x if x & 0x8000 else x ^ 0x8000) & 0xFFFF


def segment(memory, at, words, press, payload):
    """Change the parameters at these bytes; the payload after this segment."""
    *sizes, count, coded, _ = words
    codes, low, high = (payload[sum(sizes[:k]) : sum(sizes[: k + 1])] for k in range(3))
    old = [struct.unpack_from("<H", memory, byte)[0] for byte in at]
    coded = {k for first, n in coded for k in range(first, first + n)}
    sizes_of = {k: min(65536, len(old) - 65536 * k) for k in range(-(-len(old) // 65536))}
    codes = iter(plain(codes, sum(-(-sizes_of[k] // 4) for k in coded), press))
    others = iter([a | b << 8 for a, b in zip(plain(low, count, press), plain(high, count, press), strict=True)])
    stream = []
    for k, size in sizes_of.items():
        packed = [next(codes) for _ in range(-(-size // 4))] if k in coded else []
        for i in range(size):
            code = packed[i // 4] >> 2 * (i % 4) & 3 if k in coded else 3
            zigzag = next(others) if code == 3 else None
            stream.append(code - 1 if zigzag is None else zigzag >> 1 ^ -(zigzag & 1))
    order = sorted(range(len(old)), key=lambda i: old[i] >> 7 & 255)  # sorted() is stable
    for i, difference in zip(order, stream, strict=True):
        value = ordered(old[i]) + difference & 0xFFFF
        struct.pack_into("<H", memory, at[i], value ^ 0x8000 if value & 0x8000 else ~value & 0xFFFF)
    return payload[sum(sizes) :]


def apply(memory, tensors, meta, payload):
    spans = list(places(tensors).values())
    changed = [spans[k] for first, n in meta["changed"] for k in range(first, first + n)]
    at = [byte for dtype, a, b in changed if dtype == "bfloat16" for byte in range(a, b, 2)]
    for words in meta["segments"]:
        payload = segment(memory, at[:SEGMENT], words, meta["press"], payload)
        at = at[SEGMENT:]
    assert not at
    for dtype, a, b in changed:
        if dtype != "bfloat16":
            memory[a:b], payload = payload[: b - a], payload[b - a :]


@pytest.mark.parametrize("press", ["zstd", "zlib"])
def test_a_reader_made_of_the_document_reads_them(press, monkeypatch):
    assert encoding.SEGMENT == 1 << 22
    monkeypatch.setattr(encoding, "SEGMENT", SEGMENT)
    broadcaster, receiver, arrays = Broadcaster(), Receiver(), policy(n=70_000)
    encoder = Encoder(Narrowed(broadcaster), press=press)
    memory, tensors = bytearray(), []
    for version, scale in enumerate((0, 1e-4, 1e-2)):
        arrays = moved(arrays, version, scale)
        broadcaster.publish(arrays, "h")
        blob = encoder.blob(receiver.held)
        receiver.apply(blob)
        found, meta, payload = head(blob)
        assert (found["version"], found["base"], found["kind"]) == (version, version - 1, min(version, 1))
        if found["kind"] == 0:
            memory, tensors = bytearray(payload), meta["tensors"]
            assert (meta["spec_hash"], meta["ties"]) == ("h", {"head": "embedding"})
        else:
            apply(memory, tensors, meta, payload)
        weights = receiver.newest()
        for name, (_, a, b) in places(tensors).items():
            assert weights.arrays[name].tobytes() == bytes(memory[a:b])
