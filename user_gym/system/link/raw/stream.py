"""One stream while it is recorded: which of its samples belong to which episode, and what became of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from user_gym.core.device import RawSample, RawSource
from user_gym.system.link.raw.rows import Rows

_BEFORE = 2.0  # periods of its stream by which the newest sample may be older than the episode that begins with it


@dataclass(slots=True)
class Span:
    """The samples of one stream that belong to an episode: those behind `first`, and `first` itself where it is recent."""

    episode: int
    start: float  # s, robot's clock
    first: int
    last: int | None = None  # None: it goes on
    begun: bool = False  # some sample of it was taken


class Over(NamedTuple):
    """A stream has nothing more of an episode."""

    episode: int


@dataclass(slots=True)
class Stream:
    """One source, and what became of its samples. The numbers are written by the stream's own thread, and the writer's."""

    source: RawSource
    rows: Rows
    spans: deque[Span]
    kept: int = 0  # samples in the archive
    dropped: int = 0  # samples that were lost by the device, this machine's speed, or its disk
    gap: int = 0  # of them, those before the next sample that is taken
    after: int = -1  # number of the newest sample that was seen
    held: RawSample | None = None  # the newest that belongs to no episode: perhaps one begins with it

    def begins(self, span: Span, sample: RawSample) -> bool:
        """Whether a sample that was there when an episode began is no older than what the episode was begun with."""
        return span.start - _BEFORE / self.source.rate <= sample.time <= span.start
