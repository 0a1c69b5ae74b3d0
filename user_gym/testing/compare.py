"""Equality without tolerance: the same values, types, shapes and dtypes, through dicts, tuples and object arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Fail, naming the place, unless a and b are equal bit for bit."""
    assert type(a) is type(b), f"{where}: {type(a).__name__} and {type(b).__name__}"
    if isinstance(a, dict):
        assert a.keys() == b.keys(), f"{where}: only one has {sorted(a.keys() ^ b.keys())}"
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), f"{where}: lengths {len(a)} and {len(b)}"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{where}: {a.dtype}{a.shape} and {b.dtype}{b.shape}"
        if a.dtype == object:
            assert_same(a.tolist(), b.tolist(), where)
        else:
            assert a.tobytes() == b.tobytes(), f"{where}: differs by up to {np.abs(np.subtract(a, b, dtype=float)).max():.3g}"
    else:
        assert a == b, f"{where}: {a!r} and {b!r}"
