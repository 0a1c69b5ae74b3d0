"""A block gets another source: its head and meta are written anew, everything else stays as it is. It knows no files."""

from __future__ import annotations

import json
import zlib

from user_gym.system.buffer.block import Block
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.prefix import HEAD, padded


def renamed(block: Block, source: str) -> Block:
    """The same chunk, collected by `source`."""
    data = memoryview(block.data)
    *fields, _ = HEAD.unpack_from(data)
    meta_bytes, size = fields[5], fields[9]
    record = json.loads(bytes(data[HEAD.size : HEAD.size + meta_bytes]))
    meta = json.dumps({**record, "source": source}, separators=(",", ":")).encode("ascii")
    rest = HEAD.size + padded(meta_bytes)
    fields[5], fields[9] = len(meta), size + padded(len(meta)) - padded(meta_bytes)
    head = HEAD.pack(*fields, 0)[:-4]
    prefix = meta + bytes(padded(len(meta)) - len(meta)) + bytes(data[rest : block.head.prefix_bytes])
    check = zlib.crc32(prefix, zlib.crc32(head)).to_bytes(4, "little")
    made = b"".join((head, check, prefix, data[block.head.prefix_bytes :]))
    return Block(made, Head.parse(made))
