"""The bytes that carry one version of weights over a link or into a file: head, meta, payload. It encodes nothing itself.

docs/weights.md has the same for other implementers.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from user_gym.errors import BadBlock

MAGIC = b"UGW1"
FORMAT = 1
# magic, format, kind, version, base, lineage, digest, bytes of payload and meta, CRC of payload, 0, CRC of all before and meta
_HEAD = struct.Struct("<4sHHqq16s16sQIIII")
_MOST_META = 1 << 28  # bytes


class Kind(IntEnum):
    """How the payload is to be understood."""

    FULL = 0
    DIFFERENCE = 1


class Held(NamedTuple):
    """What a receiver has: whose weights, and which version."""

    lineage: bytes  # 16 random bytes of the encoder that made them
    version: int


@dataclass(frozen=True, slots=True)
class Blob:
    """One message.

    Attributes:
        kind: FULL stands alone; a DIFFERENCE needs the base.
        held: what a receiver has once it has applied it.
        base: version that a difference is to; -1 for none.
        digest: of layout and spec hash.
        meta: of FULL, layout and spec hash; of a DIFFERENCE, the parts of the payload.
        payload: a FULL one's memory as the layout says; a DIFFERENCE's parts.
    """

    kind: Kind
    held: Held
    base: int
    digest: bytes
    meta: Mapping[str, Any]
    payload: bytes | memoryview

    def pack(self) -> bytes:
        """All of it."""
        meta = self._words()
        head = _HEAD.pack(
            MAGIC, FORMAT, self.kind, self.held.version, self.base, self.held.lineage, self.digest,
            len(self.payload), len(meta), zlib.crc32(self.payload), 0, 0,
        )[:-4]  # fmt: skip
        return b"".join((head, struct.pack("<I", zlib.crc32(meta, zlib.crc32(head))), meta, self.payload))

    @property
    def nbytes(self) -> int:
        """How many bytes `pack` makes."""
        return _HEAD.size + len(self._words()) + len(self.payload)

    def _words(self) -> bytes:
        return json.dumps(self.meta, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Blob:
        """The inverse of `pack`; every byte is checked. Raises BadBlock."""
        data = memoryview(data).toreadonly()
        if len(data) < _HEAD.size:
            raise BadBlock("number of bytes of weights", len(data), f"{_HEAD.size} or more")
        magic, form, kind, version, base, lineage, digest, payload, meta, payload_crc, zero, crc = _HEAD.unpack_from(data)
        if magic != MAGIC:
            raise BadBlock("magic of weights", magic, repr(MAGIC), 0)
        if form != FORMAT:
            raise BadBlock("format of weights", form, f"{FORMAT}", 4, "the two sides run different versions of user_gym")
        if meta > _MOST_META or len(data) != _HEAD.size + meta + payload:
            raise BadBlock("number of bytes of weights", len(data), f"{_HEAD.size + meta + payload}, as the head says")
        words, rest = data[_HEAD.size : _HEAD.size + meta], data[_HEAD.size + meta :]
        if zlib.crc32(words, zlib.crc32(data[: _HEAD.size - 4])) != crc:
            raise BadBlock("CRC of the head of weights", crc, "that of its bytes; they were damaged on the way", _HEAD.size - 4)
        if kind not in Kind.__members__.values() or zero or version < 0 or not -1 <= base < version:
            raise BadBlock("head of weights", (kind, version, base, zero), "kind 0 or 1, base below version, 0")
        if zlib.crc32(rest) != payload_crc:
            raise BadBlock(
                "CRC of weights", payload_crc, "that of their bytes; they were damaged on the way", _HEAD.size + meta
            )
        return cls(Kind(kind), Held(lineage, version), base, digest, _object(words), rest)


def _object(data: memoryview) -> dict[str, Any]:
    try:
        meta = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise BadBlock("meta of weights", str(error), "a JSON object", _HEAD.size) from error
    if not isinstance(meta, dict):
        raise BadBlock("meta of weights", meta, "a JSON object", _HEAD.size)
    return meta
