"""Numbers as TensorBoard reads them, by its own writer of records; TensorFlow is neither needed nor loaded."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from user_gym.core import real
from user_gym.errors import MissingExtra
from user_gym.system.metrics.record import RunRecord

_files = itertools.count()  # of this process: two of one second have two names


class TensorBoard:
    """A `Sink`: event files in a folder. What is written is in the file when `write` or `add` returns; an error closes it.

    Args:
        folder: made if it does not exist.
        period: s between two records; TensorBoard shows about 1000 points of a curve, however many there are.
    """

    def __init__(self, folder: Path, period: float = 10.0) -> None:
        self.period = real("period", period, 0.0, 3600.0, "s, 0 .. 3600")
        self._folder = folder
        self._writer = None

    def open(self) -> None:
        """Begin a file. Raises MissingExtra, OSError."""
        if self._writer is not None:
            return
        try:
            # Not its EventFileWriter: that loads TensorFlow where there is one.
            from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
            from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ModuleNotFoundError as error:
            raise MissingExtra((error.name or "tensorboard").partition(".")[0], "viz") from error
        self._event, self._summary = Event, Summary
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.{next(_files)}"
        self._writer = RecordWriter((self._folder / name).open("xb"))
        self._put(Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, record: RunRecord) -> None:
        """As `Sink.write`: all numbers of the record, over environment steps."""
        self.add(record.env_steps, record.numbers(), record.time)

    def add(self, step: int, numbers: Mapping[str, float], wall_time: float) -> None:
        """Points of curves at one step; `wall_time`: s since the epoch. Raises OSError."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._put(self._event(wall_time=wall_time, step=step, summary=self._summary(value=values)))

    def _put(self, event: Any) -> None:
        assert self._writer is not None
        try:
            self._writer.write(event.SerializeToString())
            self._writer.flush()
        except OSError:
            with suppress(OSError):  # it would say the same
                self.close()
            raise

    def close(self) -> None:
        """As `Sink.close`."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
