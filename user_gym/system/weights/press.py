"""Makes streams of small whole numbers shorter, and back. It knows nothing of what the numbers mean."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any

from user_gym.core.arrays import U8
from user_gym.errors import BadBlock, BadOption, MissingExtra

PRESSES = ("zstd", "zlib")


def check(how: str) -> str:
    """The name of a way to press that this machine has. Raises BadOption, MissingExtra."""
    if how not in PRESSES:
        raise BadOption("press", how, ", ".join(PRESSES))
    if how == "zstd":
        _zstandard()
    return how


def press(plain: U8, how: str) -> bytes:
    """Pressed bytes, or the plain ones where those are not more; the GIL is released meanwhile. Raises MissingExtra."""
    if how == "zstd":
        zstandard = _zstandard()
        # Ordinary frames of level 1, but: blocks of 16 KB, for each has its own table of code lengths, and what is in order
        # of exponents changes along the way; and next to no search for repetitions, which cost more bits than they save
        # among few symbols. Both together: 2 .. 20 % smaller than plain level 1, and half its time.
        fast = zstandard.ZstdCompressionParameters(
            compression_level=1, window_log=14, hash_log=6, min_match=7, strategy=zstandard.STRATEGY_FAST
        )
        pressed = zstandard.ZstdCompressor(compression_params=fast).compress(plain.data)
    else:
        deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
        pressed = deflate.compress(plain.data) + deflate.flush()
    return pressed if len(pressed) < len(plain) else plain.tobytes()


def unpress(data: bytes | memoryview, how: str, size: int) -> bytes | memoryview:
    """What `press` was given, `size` bytes. Raises BadBlock if `data` are not that, and MissingExtra."""
    if len(data) == size:
        return data
    allowed = f"{how} data of {size} bytes"
    if how == "zstd":
        zstandard = _zstandard()
        try:
            if zstandard.frame_content_size(data) != size:
                raise BadBlock("content size of a zstd frame", zstandard.frame_content_size(data), f"{size} bytes")
            plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        except zstandard.ZstdError as error:
            raise BadBlock("pressed data", str(error), allowed) from error
    else:
        inflate = zlib.decompressobj()
        try:
            plain = inflate.decompress(data, size + 1)
        except zlib.error as error:
            raise BadBlock("pressed data", str(error), allowed) from error
        if not inflate.eof:
            raise BadBlock("pressed data", "no end", allowed)
    if len(plain) != size:
        raise BadBlock("length of pressed data", len(plain), allowed)
    return plain


def _zstandard() -> Any:
    try:
        return import_module("zstandard")
    except ImportError as error:
        raise MissingExtra("zstandard", "zstd") from error
