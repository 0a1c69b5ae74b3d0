"""Batches with fixed shares from several storages, as RLPD's half demonstrations, half experience. It knows no learner."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from user_gym.core import I64, Batch, Storage, real, whole
from user_gym.errors import BadOption
from user_gym.system.buffer.batches import empty, rows_of_batch
from user_gym.system.buffer.buffer import Buffer
from user_gym.system.buffer.loader import Loader
from user_gym.system.buffer.mixed import beside, between, join
from user_gym.system.buffer.sampling import Wants
from user_gym.system.buffer.view import View

_SHIFT = 56  # bits of a transition's number; those above say which part drew it
_NUMBER = (1 << _SHIFT) - 1


class Mixture:
    """A sampler for `Learner`: each part gives its share of every batch, to the nearest transition.

    The share of a part that is still empty goes to the others. Rows come in the order of the parts; parts with other robots
    are padded, as in `core.Batch`.

    Args:
        parts: storages or views, each with its share > 0; shares are relative.
        batch_size: transitions in a batch.
        horizon: steps that each row may span, as in `core.Storage.sample`.
    """

    def __init__(self, parts: Sequence[tuple[Storage, float]], batch_size: int = 256, horizon: int = 1) -> None:
        allowed = "one part to 100, each with a share > 0"
        if not 0 < len(parts) <= 100:
            raise BadOption("parts", parts, allowed)
        for _, share in parts:
            real("share of a part", share, sys.float_info.min, sys.float_info.max, allowed)
        least = len(parts)
        self._parts, self._shares = [part for part, _ in parts], [share for _, share in parts]
        self._horizon = whole("horizon", horizon, 1)
        self._batch_size = whole("batch_size", batch_size, least, f"a whole number, {least} or more, one for each part")

    def __call__(self, storage: Storage, rng: np.random.Generator) -> Batch:
        """One batch; `storage`, the learner's own, is not used. Raises BadOption when all parts are empty."""
        counts = _counts(self._parts, self._shares, self._batch_size)
        drawn = [part.sample(n, rng, self._horizon) for part, n in zip(self._parts, counts, strict=True) if n]
        return drawn[0] if len(drawn) == 1 else join(drawn)

    def loader(self, **options: Any) -> Loader:
        """Batches filled ahead, by a thread of its own: see `Loader` for the options. All parts are buffers or views."""
        return Loader(_Readables(self._parts, self._shares), self._batch_size, horizon=self._horizon, **options)


class _Readables:
    """The parts as one thing to draw from and to read: a `sampling.Readable`. A number says which part drew it."""

    def __init__(self, parts: Sequence[Storage], shares: Sequence[float]) -> None:
        self._parts: list[Buffer | View] = []
        self._shares = shares
        for part in parts:
            if not isinstance(part, (Buffer, View)):
                raise BadOption("part of a mixture", part, "a Buffer or a view of one, where a loader is made")
            self._parts.append(part)

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """Numbers of n transitions, those of a part together. Raises BadOption when all parts are empty."""
        counts = enumerate(_counts(self._parts, self._shares, n))
        return np.concatenate([self._parts[k].draw(count, rng) | k << _SHIFT for k, count in counts if count])

    def wants(self, numbers: I64, horizon: int) -> Wants:
        """As `sampling.Readable.wants`."""
        found = [part.wants(wanted, horizon) for part, wanted, _ in self._split(numbers)]
        return Wants(np.concatenate([wants.firsts for wants in found]), np.concatenate([wants.rows for wants in found]))

    def read(self, numbers: I64, horizon: int = 1, out: Batch | None = None, due: Any = None) -> Batch:
        """The transitions that were drawn. Raises Gone if one of them is not there any more."""
        split = self._split(numbers)
        if out is None:
            return join([part.read(wanted, horizon, None, due) for part, wanted, _ in split])
        read = [part.read(wanted, horizon, between(out, *here), due) for part, wanted, here in split]
        return beside(read, out)

    def empty(self, n: int, horizon: int = 1, allocate: Any = np.empty) -> Batch:
        """Arrays for rows of all parts."""
        parts = [part.empty(0, horizon) for part in self._parts if len(part)]
        return empty(rows_of_batch(join(parts)), n, horizon, allocate)

    def _split(self, numbers: I64) -> list[tuple[Buffer | View, I64, tuple[int, int]]]:
        """Each part that drew some, its numbers, and where its rows begin and end."""
        drew = numbers >> _SHIFT
        cuts = [0, *(np.flatnonzero(np.diff(drew)) + 1).tolist(), len(numbers)]
        return [(self._parts[int(drew[begin])], numbers[begin:end] & _NUMBER, (begin, end)) for begin, end in pairwise(cuts)]


def _counts(parts: Sequence[Storage], shares: Sequence[float], n: int) -> list[int]:
    """How many of n each part gives. Raises BadOption when all are empty."""
    given = (share if len(part) else 0.0 for part, share in zip(parts, shares, strict=True))
    edges = list(accumulate(given, initial=0.0))
    if not edges[-1]:
        raise BadOption("sample", n, "nothing yet: all parts of the mixture are empty", "append a chunk first")
    rows = [round(edge / edges[-1] * n) for edge in edges]
    return [end - begin for begin, end in pairwise(rows)]
