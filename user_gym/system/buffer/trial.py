"""Which lossless coding makes a camera's pictures smallest: tried on a few rows, remembered, tried again now and then."""

from __future__ import annotations

from collections.abc import Sequence

from user_gym.core import U8
from user_gym.system.buffer.codec import PREVIOUS, RAW, Coding, encode

# Ordered by what reading two rows side by side takes, CRC included: 46..49, 51..64 and 99..135 us, where raw rows take 47..49
# (benchmarks/results/buffer_codecs.md). A chunk has 10 steps or so, and so one keyframe.
LZ4 = (Coding("lz4"), Coding("key-lz4", keyframe=16), Coding("previous-lz4", keyframe=16))
ZSTD = (Coding("zstd"), Coding("key-zstd", keyframe=16), Coding("previous-zstd", keyframe=16))
_WORTH = 0.8  # of the bytes of the best so far, raw first: what a coding that is slower to read has to reach
_AGAIN = 64  # blocks until the next trial: what a camera sees, and with it the answer, changes slowly


class Trial:
    """Of one column of one collector.

    Args:
        candidates: codings that may win, the quickest to read first; raw always may.
    """

    def __init__(self, candidates: Sequence[Coding]) -> None:
        self._candidates = candidates
        self._coding, self._left = RAW, 0

    def coding(self, rows: U8) -> Coding:
        """For these rows (n, bytes): the remembered one, or the best of a new trial."""
        if self._left == 0:
            self._coding, self._left = self._best(rows), _AGAIN
        self._left -= 1
        return self._coding

    def _best(self, rows: U8) -> Coding:
        best, fewest = RAW, float(rows.shape[1])
        for coding in self._candidates:
            size = _estimate(rows, coding)
            if size <= _WORTH * fewest:
                best, fewest = coding, size
        return best


def _estimate(rows: U8, coding: Coding) -> float:
    """Bytes of a row, on average from one keyframe to the next, judged by one keyframe and one difference in the middle."""
    period = min(len(rows), coding.keyframe)
    if period == 1:
        return float(sum(len(item) for item in encode(rows[:1], Coding(coding.name, min(2, coding.keyframe)), ())))
    middle = period // 2
    other = middle - 1 if coding.reference == PREVIOUS else 0
    key, difference = encode(rows[[other, middle]], Coding(coding.name, 2), ())
    return (len(key) + (period - 1) * len(difference)) / period
