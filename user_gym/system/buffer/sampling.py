"""What can be drawn from, and how a batch is drawn. It knows numbers of transitions, not where they lie."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from user_gym.core import I64, Batch, whole
from user_gym.errors import BadOption, Gone
from user_gym.system.buffer.gaps import Live


class Wants(NamedTuple):
    """Rows that a batch needs, by block."""

    firsts: I64  # (m,) first step of each block
    rows: I64  # (m,)


class Readable(Protocol):
    """What batches are drawn from: a buffer, a view, a mixture of views."""

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """Numbers of n transitions. Raises BadOption where there is nothing."""
        ...

    def wants(self, numbers: I64, horizon: int) -> Wants:
        """Rows that are worth keeping for these transitions; none where nothing is unpacked."""
        ...

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None, due: Any = None) -> Batch:
        """These transitions. Raises Gone."""
        ...

    def empty(self, n: int, horizon: int = 1, allocate: Any = np.empty) -> Batch:
        """Arrays for them."""
        ...


def sample(source: Readable, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
    """As `core.Storage.sample`: draws and reads."""
    n, horizon = whole("n", n, 1), whole("horizon", horizon, 1)
    if not isinstance(rng, np.random.Generator):
        raise BadOption("rng", rng, "a numpy.random.Generator", "take np.random.default_rng(0)")
    while True:
        try:
            return source.read(source.draw(n, rng), horizon, out, _never)
        except Gone:
            continue  # pruned, or found damaged, after it was drawn


def _never(first: int, row: int) -> None:
    """When a row is wanted next, to who draws as it goes. What was drawn a moment ago need not be looked at again."""


def checked(numbers: ArrayLike, live: Live) -> I64:
    """Numbers that somebody asks for, each of a live transition.

    Raises:
        BadOption: they are no row of whole numbers, or one of them was never given.
        Gone: one of them left, or its observation did.
    """
    asked = np.asarray(numbers)
    if asked.ndim != 1 or not len(asked) or asked.dtype.kind not in "iu":
        given = f"{asked.dtype} of shape {asked.shape}"
        raise BadOption("numbers", given, "one whole number or more, (n,)", "take those that draw or numbers returned")
    least, most = int(asked.min()), int(asked.max())
    if least < 0 or most >= live.total:
        never = least if least < 0 else most
        raise BadOption("numbers", never, f"0 .. {live.total - 1}", "take those that draw or numbers returned")
    asked = asked.astype(np.int64, copy=False)
    if len(live.gaps) and not (there := live.contains(asked)).all():
        raise Gone(f"transition {int(asked[~there][0])} is not there any more: pruned, or its block is damaged; draw others")
    return asked
