"""Records what a robot's devices say while its episodes last, beside the robot and never in its way.

    RawSource --a thread each--> Rows --bounded queue--> Encoder --one thread--> Archive

Where devices, processor or disk are slower than the streams, samples are dropped and counted; nobody who moves a robot waits.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from user_gym.core import Chunk, whole
from user_gym.core.device import RawSample, RawSource
from user_gym.errors import BadOption, NoSpace
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.costs import Costs
from user_gym.system.link.raw.archive import RAW, Archive
from user_gym.system.link.raw.recorded import LOST
from user_gym.system.link.raw.rows import Labels, Rows
from user_gym.system.link.raw.stream import Over, Span, Stream

QUEUE_BYTES = 256 << 20  # of samples that wait to be coded
_GLANCE = 0.1  # s that a source may keep its thread waiting
_log = logging.getLogger(__name__)


class Recorder:
    """From `open` to `close`. `begin` and `end` are for the thread that steps the robot, and return at once.

    Args:
        archive: takes what is recorded; the caller's, who closes it afterwards.
        labels: of the robot, whose episodes these are.
        sources: its streams.
        zstd: press with Zstandard too: smaller than LZ4, and slower.
        queue_bytes: of samples that may wait to be coded; above it they are dropped.
        wall_clock: s since the epoch.

    Attributes:
        costs: bytes of a sample, by column.
        failure: what ended the recording, if not `close`; the robot goes on all the same.

    Raises:
        BadOption: two streams have the same name, or one has a dot in it.
    """

    def __init__(
        self,
        archive: Archive,
        labels: Labels,
        sources: Sequence[RawSource],
        *,
        zstd: bool = False,
        queue_bytes: int = QUEUE_BYTES,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        names = [source.name for source in sources]
        if len(set(names)) != len(names) or any("." in name or not name for name in names):
            raise BadOption("names of streams", names, "different ones, without a dot")
        self._archive, self._labels = archive, labels
        self._streams = [Stream(source, Rows(source.name, labels, wall_clock), deque()) for source in sources]
        self._encoder = Encoder(group=RAW, zstd=zstd)
        self._most = whole("queue_bytes", queue_bytes, 1)
        self._queue: SimpleQueue[tuple[Stream, Chunk | Over] | None] = SimpleQueue()
        self._lock = Lock()  # of what is queued, and of spans
        self._queued = 0
        self._closing = Event()
        self._threads = [
            Thread(target=self._sample, args=(stream,), name=f"raw-{stream.source.name}", daemon=True)
            for stream in self._streams
        ]
        self._writer = Thread(target=self._write, name="raw-writer", daemon=True)
        self.costs = Costs()
        self.failure: Exception | None = None

    def open(self) -> Recorder:
        """Begin. What an earlier process left of an episode is over from now on."""
        self._archive.settle(self._labels.source)
        for stream in self._streams:
            stream.after = stream.source.newest
            stream.source.read(stream.after, 0.0)  # from here on it keeps what it says
        for thread in (self._writer, *self._threads):
            thread.start()
        return self

    def __enter__(self) -> Recorder:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def begin(self, episode: int, start: float = 0.0) -> None:
        """An episode begins, at `start` s on the robot's clock. One that goes on ends."""
        self.end()
        with self._lock:
            for stream in self._streams:
                stream.spans.append(Span(episode, start, stream.source.newest))

    def end(self) -> None:
        """The episode is over: what its sources have said by now belongs to it."""
        with self._lock:
            for stream in self._streams:
                if stream.spans and stream.spans[-1].last is None:
                    stream.spans[-1].last = stream.source.newest

    def facts(self) -> Mapping[str, Any]:
        """What is told of it, as JSON can say it."""
        kept = self._archive.episodes(self._labels.source)
        return {
            "streams": {s.source.name: {"kept": s.kept, "dropped": s.dropped} for s in self._streams},
            "episodes": [kept[0].episode, kept[-1].episode] if kept else [],
            "bytes": sum(episode.nbytes for episode in kept),
            "failure": "" if self.failure is None else str(self.failure)[:500],
        }

    def close(self) -> None:
        """End; what was sampled is in the archive when this returns. May be called twice."""
        self.end()
        self._closing.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        if self._writer.is_alive():
            self._queue.put(None)
            self._writer.join()
            self._archive.settle(self._labels.source)

    # Each stream's thread.

    def _sample(self, stream: Stream) -> None:
        try:
            while True:
                closing, over = self._closing.is_set(), self._over(stream)
                sample = stream.source.read(stream.after, 0.0 if closing else _GLANCE)
                if sample is not None:
                    self._take(stream, sample, max(0, sample.number - stream.after - 1))
                    stream.after = sample.number
                    self._finish(stream)
                elif over:
                    self._leave(stream)  # its last sample will not come any more
                elif closing:
                    return
        except Exception as error:  # top of this thread: told in `facts`; the robot goes on
            self._fail(f"stream {stream.source.name!r}", error)

    def _take(self, stream: Stream, sample: RawSample, lost: int) -> None:
        while True:
            with self._lock:
                span = stream.spans[0] if stream.spans else None
            if span is None or span.last is None or sample.number <= span.last:
                break
            self._leave(stream)  # it ended while this sample was waited for
        if span is None or sample.number < span.first or (sample.number == span.first and not stream.begins(span, sample)):
            stream.held = sample
            return
        if not span.begun:
            span.begun, stream.gap = True, 0
            stream.rows.start(span.episode)
            lost = max(0, sample.number - span.first - 1)
            held, stream.held = stream.held, None
            if held is not None and held.number == span.first and stream.begins(span, held):
                stream.rows.add(held, 0)
        self._drop(stream, lost)
        if not stream.rows.follows(sample.time):  # a device whose clock went back
            return self._drop(stream, 1)
        with self._lock:
            gap, stream.gap = stream.gap, 0
        self._hand_over(stream, stream.rows.add(sample, gap))

    def _over(self, stream: Stream) -> bool:
        """Whether the episode that is recorded has ended."""
        with self._lock:
            return bool(stream.spans) and stream.spans[0].last is not None

    def _finish(self, stream: Stream) -> None:
        """Leave the episodes of which all samples were seen."""
        while True:
            with self._lock:
                last = stream.spans[0].last if stream.spans else None
            if last is None or stream.after < last:
                return
            self._leave(stream)

    def _leave(self, stream: Stream) -> None:
        with self._lock:
            span = stream.spans.popleft()
        self._hand_over(stream, stream.rows.take())
        self._queue.put((stream, Over(span.episode)))

    def _hand_over(self, stream: Stream, chunk: Chunk | None) -> None:
        if chunk is None:
            return
        nbytes = _nbytes(chunk)
        with self._lock:
            room = self.failure is None and (not self._queued or self._queued + nbytes <= self._most)
            self._queued += nbytes if room else 0
        if room:
            self._queue.put((stream, chunk))
        else:
            self._drop_chunk(stream, chunk)

    def _drop(self, stream: Stream, samples: int) -> None:
        """Any thread."""
        with self._lock:
            stream.dropped, stream.gap = stream.dropped + samples, stream.gap + samples

    def _drop_chunk(self, stream: Stream, chunk: Chunk) -> None:
        """Any thread. The marks in it, of samples that were counted already, have to go on."""
        self._drop(stream, len(chunk))
        with self._lock:
            stream.gap += int(chunk.obs[LOST].sum())

    # The writer's thread.

    def _write(self) -> None:
        sequences: dict[int, int] = {}  # episode -> blocks of it
        over: dict[int, int] = {}  # episode -> streams that have nothing more of it
        while (item := self._queue.get()) is not None:
            stream, what = item
            try:
                if isinstance(what, Over):
                    over[what.episode] = over.get(what.episode, 0) + 1
                    if over[what.episode] == len(self._streams):
                        del over[what.episode]
                        sequences.pop(what.episode, None)
                        self._archive.finish(self._labels.source, what.episode)
                else:
                    self._keep(stream, what, sequences)
            except Exception as error:  # top of this thread: told in `facts`; what comes from now on is dropped
                self._fail("recording", error)
            finally:
                if isinstance(what, Chunk):
                    with self._lock:
                        self._queued -= _nbytes(what)

    def _keep(self, stream: Stream, chunk: Chunk, sequences: dict[int, int]) -> None:
        if self.failure is not None:
            return self._drop_chunk(stream, chunk)
        if chunk.episode not in sequences:
            self._archive.begin(chunk.source, chunk.episode)
            sequences[chunk.episode] = 0
        block = self._encoder.encode(replace(chunk, sequence=sequences[chunk.episode]))
        try:
            self._archive.append(block)
        except NoSpace as error:
            if not stream.dropped:
                _log.error("raw samples are dropped: %s", error)
            self._drop_chunk(stream, chunk)
            return
        sequences[chunk.episode] += 1
        stream.kept += len(chunk)
        self.costs.add(block)

    def _fail(self, what: str, error: Exception) -> None:
        _log.exception("%s ended; the robot goes on", what)
        with self._lock:
            self.failure = self.failure or error


def _nbytes(chunk: Chunk) -> int:
    return sum(column.nbytes for column in chunk.extra.values())
