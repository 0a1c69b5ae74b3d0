"""A buffer as it was at a checkpoint, while a run that goes on from there makes once more what came after it.

Rows that were acknowledged after the checkpoint stay where they are. They count again from the moment in which they are made
again, and have to be the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from threading import Event

import numpy as np

from user_gym.core import I64, Acknowledgement, Batch, Chunk, whole
from user_gym.errors import BadOption, WrongRun
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.view import View


class Replayed:
    """A `Storage`: the first transitions of a buffer, as many as the run has acknowledged so far.

    A chunk that comes after `stop` is set is not stored: it may end early, and the run makes it again when it goes on.

    Args:
        buffer: written by this object alone; it keeps all it is given.
        mark: transitions that count from the beginning; those of a checkpoint. None: all that there are.
        stop: says that the run ends.

    Attributes:
        mark: transitions that count now.
        repeated: chunks that were made again.
    """

    def __init__(self, buffer: Buffer, mark: int | None, stop: Event) -> None:
        self._buffer, self._stop = buffer, stop
        total = buffer.live.total
        self.mark = total if mark is None else whole("mark", mark, 0)
        if self.mark > total:
            raise WrongRun(f"the checkpoint knows {self.mark} transitions, its buffer only {total}; restore the buffer as well")
        self.repeated = 0

    def append(self, chunk: Chunk) -> Acknowledgement:
        """As `core.Storage.append`. Raises WrongRun for a chunk that is another than the one that is stored."""
        if self._stop.is_set():
            return Acknowledgement(self.mark, len(chunk), True)
        answer = self._buffer.append(chunk)
        if answer.repeated:
            _require_equal(self._buffer.chunk(answer.first), chunk)
            self.repeated += 1
        fresh = answer.first >= self.mark
        self.mark = max(self.mark, answer.first + answer.steps)
        return answer._replace(repeated=not fresh)

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`, of single steps: what follows the last one may not have been made again yet."""
        if horizon != 1:
            raise BadOption("horizon", horizon, "1 on a virtual clock that goes on exactly")
        if not self.mark:
            raise BadOption("sample", n, "nothing yet: the storage is empty", "append a chunk first")
        return self._buffer.read(rng.integers(0, self.mark, n), 1, out)

    def view(self, where: str) -> ReplayedView:
        """As `core.Storage.view`."""
        return ReplayedView(self._buffer.view(where), self)

    def __len__(self) -> int:
        return self.mark

    def stats(self) -> Mapping[str, float]:
        """Transitions that count, and those that there are."""
        return {"transitions": self.mark, "transitions_ever": self._buffer.live.total}

    def close(self) -> None:
        """Nothing to let go of: the buffer owns files and memory."""


class ReplayedView:
    """A `Storage`: the part of a replayed buffer that a condition over columns of steps selects. It is read-only."""

    def __init__(self, view: View, whole: Replayed) -> None:
        self._view, self._whole = view, whole

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Never: a view is read-only."""
        return self._view.append(chunk)

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `Replayed.sample`."""
        if horizon != 1:
            raise BadOption("horizon", horizon, "1 on a virtual clock that goes on exactly")
        numbers = self._numbers()
        if not len(numbers):
            raise BadOption("sample", n, f"nothing yet: the view {self._view.where!r} is empty", "append a chunk first")
        return self._view.read(numbers[rng.integers(0, len(numbers), n)], 1, out)

    def view(self, where: str) -> ReplayedView:
        """As `core.Storage.view`."""
        return ReplayedView(self._view.view(where), self._whole)

    def __len__(self) -> int:
        return len(self._numbers())

    def stats(self) -> Mapping[str, float]:
        """Transitions that count."""
        return {"transitions": len(self)}

    def close(self) -> None:
        """Nothing to let go of."""

    def _numbers(self) -> I64:
        numbers = self._view.numbers()
        return numbers[: np.searchsorted(numbers, self._whole.mark)]


def _require_equal(stored: Chunk, made: Chunk) -> None:
    for name in (field.name for field in fields(Chunk)):
        one, two = getattr(stored, name), getattr(made, name)
        columns = [(one, two)] if not isinstance(one, Mapping) else [(one[key], two[key]) for key in one]
        keys = isinstance(one, Mapping) and one.keys() != two.keys()
        if keys or not all(np.array_equal(a, b) for a, b in columns):
            raise WrongRun(
                f"chunk {made.sequence} of episode {made.episode} from {made.source!r} came out differently from the one that "
                f"is stored: {name}; the run is no longer the one that made its checkpoint (other code, build or machine?)"
            )
