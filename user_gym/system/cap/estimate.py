"""How much slower steps are beside a transfer, from two samples of their durations. Medians: one late step moves nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

# Of normal noise: sigma = 1.4826 x median absolute deviation; the median of n has a standard error of 1.2533 sigma / sqrt(n).
_ERROR = 1.4826 * 1.2533


class Slowdown(NamedTuple):
    """Relative: 0.05 is five per cent slower."""

    value: float
    error: float  # one standard error of `value`


def slowdown(beside: Sequence[float], alone: Sequence[float]) -> Slowdown:
    """How much slower the steps beside a transfer are than the steps alone; durations in s, > 0, at least one of each."""
    slow, base = median(beside), median(alone)
    # The wider of the two: a handful of steps can lie close together by chance.
    spread = max(median(abs(x / slow - 1.0) for x in beside), median(abs(x / base - 1.0) for x in alone))
    ratio = slow / base
    return Slowdown(ratio - 1.0, ratio * _ERROR * spread * math.sqrt(1.0 / len(beside) + 1.0 / len(alone)))
