"""Streams for tests: each sample carries its number, so that what was kept, lost or doubled can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core.device import RawSample
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.raw import Archive
from user_gym.system.link.raw.archive import RAW
from user_gym.system.link.raw.rows import Labels, Rows

SOURCE = "e1/arm"


def image(number: int, size: int = 24) -> NDArray[np.uint8]:
    """A picture (size, size, 3) with noise that nothing presses, and its number in it."""
    picture = np.random.default_rng(number).integers(0, 255, (size, size, 3), np.uint8)
    picture.reshape(-1)[:8] = np.frombuffer(np.int64(number).tobytes(), np.uint8)
    return picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """The inverse of `image`."""
    return int(np.frombuffer(picture.reshape(-1)[:8].tobytes(), np.int64)[0])


def sample(number: int, time: float, size: int = 24) -> RawSample:
    return RawSample(number, time, {"image": image(number, size)})


def blocks(episode: int, count: int = 4, rows: int = 5, source: str = SOURCE, size: int = 24) -> list[Block]:
    """A stream "wrist" of an episode, as a recorder makes its blocks."""
    made, encoder = list[Block](), Encoder(group=RAW)
    for sequence in range(count):
        builder = Rows("wrist", Labels(source, "toy"), lambda: 1000.0)
        builder.start(episode)
        for row in range(rows):
            number = sequence * rows + row
            builder.add(sample(number, number / 30, size), 0)
        chunk = builder.take()
        assert chunk is not None
        made.append(encoder.encode(_numbered(chunk, sequence)))
    return made


def fill(archive: Archive, episode: int, **options: Any) -> list[Block]:
    """Record an episode, whole."""
    made = blocks(episode, **options)
    for block in made:
        assert archive.append(block)
    archive.finish(made[0].head.source, episode)
    return made


def _numbered(chunk: Any, sequence: int) -> Any:
    from dataclasses import replace

    return replace(chunk, sequence=sequence)


class Scripted:
    """A `RawSource` that says what a test puts into it, and as much of it as the test likes."""

    def __init__(self, name: str = "wrist", rate: float = 30.0) -> None:
        from threading import Condition

        self.name, self.rate = name, rate
        self._samples: list[RawSample] = []
        self._came = Condition()
        self.read_to = -1  # number of the newest sample that was asked for and given

    @property
    def newest(self) -> int:
        return self._samples[-1].number if self._samples else -1

    def say(self, number: int, time: float, columns: Mapping[str, NDArray[Any]] | None = None) -> None:
        with self._came:
            self._samples.append(RawSample(number, time, columns or {"image": image(number)}))
            self._came.notify_all()

    def read(self, after: int, timeout: float) -> RawSample | None:
        with self._came:
            self.read_to = after
            self._came.notify_all()
            self._came.wait_for(lambda: self.newest > after, timeout)
            return next((one for one in self._samples if one.number > after), None)
