"""The arrays of one version as one piece of memory that nobody may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core.arrays import U8
from user_gym.errors import BadOption
from user_gym.system.weights.bf16 import BF16, U16
from user_gym.system.weights.layout import Layout, Tensor

_CHUNK = 1 << 16  # elements looked at in one go


class Image(Mapping[str, NDArray[Any]]):
    """What `Weights.arrays` is wherever this package made it. Its arrays are views: holding one holds all of its memory.

    Args:
        layout: which arrays, and where.
        flat: read-only (layout.nbytes,).
    """

    __slots__ = ("flat", "layout")

    def __init__(self, layout: Layout, flat: U8) -> None:
        self.layout, self.flat = layout, flat

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.layout.places[name].view(self.flat)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.places)

    def __len__(self) -> int:
        return len(self.layout.places)

    def part(self, tensor: Tensor) -> U8:
        """The bytes of one tensor."""
        return self.flat[tensor.offset : tensor.offset + tensor.nbytes]

    def narrow(self) -> U16:
        """The bits of all bfloat16 parameters."""
        return self.flat[: 2 * self.layout.narrow].view(np.uint16)


def require_finite(image: Image, version: int) -> None:
    """Raises BadOption, naming the first tensor with a NaN or an infinity in it."""
    for tensor in image.layout.tensors:
        values = image.part(tensor).view(np.uint16 if tensor.dtype == BF16 else tensor.dtype)
        if tensor.dtype != BF16 and tensor.dtype.kind not in "fc":
            continue
        for at in range(0, len(values), _CHUNK):
            some = values[at : at + _CHUNK]
            finite = some & 0x7F80 != 0x7F80 if tensor.dtype == BF16 else np.isfinite(some)
            if not finite.all():
                where = f"element {at + int(np.argmin(finite))} is not finite"
                raise BadOption(
                    f"weights {tensor.name!r} of version {version}", where, "finite weights; the version before stays"
                )
