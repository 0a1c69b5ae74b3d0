"""Hands records to the places where they are shown, each as often as it wants. It knows no such place.

Watching never ends a run: a place that fails while the run goes on, such as a file on a full disk, is said once in the log and
opened again for the next record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from user_gym.system.clock import WALL, Clock
from user_gym.system.metrics.record import RunRecord

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """A place where records are shown or kept. Owned by the recorder's thread."""

    @property
    def period(self) -> float:
        """s between two records that it wants."""
        ...

    def open(self) -> None:
        """Begin; nothing where it has begun. Raises what `write` may, MissingExtra, Busy."""
        ...

    def write(self, record: RunRecord) -> None:
        """Take a record. Raises OSError, such as NoSpace; the record may then be lost."""
        ...

    def close(self) -> None:
        """End; `open` may begin anew. May be called twice. Raises OSError."""
        ...


class Recorder:
    """Opens its sinks as a context, and closes them in the end. Owned by one thread.

    Args:
        sinks: where records go.
        clock: says when the next record is due.
    """

    def __init__(self, sinks: Sequence[Sink], clock: Clock = WALL) -> None:
        self._sinks, self._clock = tuple(sinks), clock
        self._due = [-float("inf")] * len(sinks)
        self._failed: set[int] = set()  # places in `sinks`

    def __enter__(self) -> Recorder:
        """Open all sinks, or none. Raises MissingExtra, Busy, OSError."""
        with ExitStack() as opened:
            for sink in self._sinks:
                sink.open()
                opened.callback(sink.close)
            opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        for place, sink in enumerate(self._sinks):
            try:
                sink.close()
            except OSError as error:
                self._report(place, error)

    @property
    def due(self) -> bool:
        """Whether a sink wants a record now."""
        return bool(self._due) and self._clock.now() >= min(self._due)

    def write(self, record: RunRecord) -> None:
        """Hand the record to each sink that wants one now; to all of them if it is the last one."""
        now = self._clock.now()
        for place, sink in enumerate(self._sinks):
            if not record.ended and now < self._due[place]:
                continue
            self._due[place] = now + sink.period
            try:
                sink.open()
                sink.write(record)
                self._failed.discard(place)
            except OSError as error:
                self._report(place, error)
                with suppress(OSError):  # it has just been said
                    sink.close()

    def _report(self, place: int, error: OSError) -> None:
        if place not in self._failed:
            self._failed.add(place)
            _log.error("%s shows nothing until this is mended: %s", type(self._sinks[place]).__name__, error)
