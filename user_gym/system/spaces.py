"""One word for the spaces that experience was made in, to be stored beside it. It knows no environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def spec_hash(observations: Any, actions: Any) -> str:
    """16 hexadecimal digits of two gymnasium spaces: names, shapes, dtypes and bounds; the order of names does not count."""
    return hashlib.sha256(f"{_words(observations)} -> {_words(actions)}".encode()).hexdigest()[:16]


def _words(space: Any) -> str:
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        return "{" + ", ".join(f"{name!r}: {_words(parts[name])}" for name in sorted(parts)) + "}"
    if parts is not None:
        return "(" + ", ".join(map(_words, parts)) + ")"
    if not hasattr(space, "low"):
        return repr(space)
    bounds = hashlib.sha256(np.stack([space.low, space.high]).astype(np.float64).tobytes()).hexdigest()
    return f"{space.dtype}{space.shape} {bounds}"
