"""Experience in memory: the Storage that learners sample. It knows chunks, not who made them or what they are for.

Consecutive chunks of an episode share their border observation when nothing comes between them; else it is kept twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Lock

import numpy as np

from user_gym.core import Acknowledgement, Batch, Chunk, whole
from user_gym.errors import BadOption, Closed
from user_gym.system.buffer.columns import Columns, Positions
from user_gym.system.buffer.index import ChunkIndex
from user_gym.system.chunk import check


class Buffer:
    """Storage in memory. Thread-safe: one lock. Build it with `Buffer.open(":memory:")`."""

    def __init__(self, capacity: int | None = None) -> None:
        if capacity is not None:
            capacity = whole("capacity", capacity, 2, "2 rows or more, a whole number, or None for no limit")
        self._capacity = capacity
        self._lock = Lock()
        self._columns = Columns(capacity)
        self._index = ChunkIndex()
        self._everything = Positions()
        self._live: deque[int] = deque()  # first row of each chunk that is kept
        self._newest: dict[str, tuple[int, int, int]] = {}  # of each source: episode, sequence, position of the last step
        self._stored = 0  # transitions ever
        self._chunks = 0  # chunks ever, and so the id of the newest in the index
        self._oldest = 0  # first row that is kept
        self._closed = False

    @classmethod
    def open(cls, path: str, capacity: int | None = None) -> Buffer:
        """Open the buffer at `path`.

        Args:
            path: ":memory:" only.
            capacity: most observations kept: one per transition and one more per run of chunks. The oldest chunks leave
                first, whole. None: no limit.
        """
        if path != ":memory:":
            raise BadOption("path", path, "':memory:'", "this version keeps experience in memory only")
        return cls(capacity)

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, chunk: Chunk) -> Acknowledgement:
        """As `core.Storage.append`. A repeated chunk is recognised even after it left for want of capacity."""
        check(chunk)
        with self._lock:
            self._check_open()
            self._columns.check(chunk)
            known = self._index.find(chunk)
            if known is not None:
                return Acknowledgement(known.first, known.steps, repeated=True)
            before = self._before(chunk)
            beside = before is not None and before + 2 == self._columns.end
            first_row = self._columns.end - beside  # an observation that lies there already is not kept twice
            end, first, steps = first_row + len(chunk) + 1, self._stored, len(chunk)
            self._make_room(first_row, end)
            self._columns.write(chunk, first_row)
            self._index.add(chunk, first, first_row)
            self._columns.advance(end)
            if before is not None and before >= self._oldest:
                self._columns.link(before, first_row)
            self._everything.extend(first_row, steps)
            self._live.append(first_row)
            self._newest[chunk.source] = (chunk.episode, chunk.sequence, end - 2)
            self._stored += steps
            self._chunks += 1
            return Acknowledgement(first, steps, repeated=False)

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1) -> Batch:
        """As `core.Storage.sample`."""
        with self._lock:
            return self._draw(self._everything, n, rng, horizon, "the buffer")

    def view(self, where: str) -> View:
        """As `core.Storage.view`, e.g. `view("kind = 'demo' AND success")`; `success` is that of the whole episode.

        Raises BadOption, naming the columns, if `where` is not a plain condition over them.
        """
        with self._lock:
            self._check_open()
            return View(self, where, by_success="success" in self._index.columns_read(where))

    def __len__(self) -> int:
        with self._lock:
            return len(self._everything)

    def stats(self) -> Mapping[str, float]:
        """Transitions and chunks kept, transitions that left, and bytes reserved."""
        with self._lock:
            return {
                "transitions": len(self._everything),
                "chunks": len(self._live),
                "evicted": self._stored - len(self._everything),
                "bytes": self._columns.nbytes,
            }

    def close(self) -> None:
        """Let go of the memory; may be called twice. Whatever comes after raises Closed."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._columns.clear()
                self._index.close()
                self._everything, self._live = Positions(), deque()

    def sample_view(self, view: View, n: int, rng: np.random.Generator, horizon: int) -> Batch:
        """What `View.sample` does, under this buffer's lock."""
        with self._lock:
            self._refresh(view)
            return self._draw(view.positions, n, rng, horizon, f"the view {view.where!r}")

    def count_view(self, view: View) -> int:
        """Transitions of a view, under this buffer's lock."""
        with self._lock:
            self._refresh(view)
            return len(view.positions)

    def _refresh(self, view: View) -> None:
        self._check_open()
        if view.by_success and view.changes < len(self._index.changes):
            # Back to where the oldest of the changed episodes began: what lies before cannot have changed.
            oldest = min(self._index.changes[view.changes :])
            view.positions.drop_from(oldest.first_row)
            view.seen, view.changes = min(view.seen, oldest.id - 1), len(self._index.changes)
        if view.seen < self._chunks:
            for entry in self._index.select(view.where, view.seen, self._oldest):
                view.positions.extend(entry.first_row, entry.steps)
            view.seen = self._chunks
        view.positions.drop_before(self._oldest)

    def _draw(self, positions: Positions, n: int, rng: np.random.Generator, horizon: int, what: str) -> Batch:
        self._check_open()
        if horizon < 1:
            raise BadOption("horizon", horizon, "steps >= 1")
        if not len(positions):
            raise BadOption("sample", n, f"nothing yet: {what} is empty", "append a chunk first")
        return self._columns.gather(positions.draw(n, rng), horizon)

    def _make_room(self, first_row: int, end: int) -> None:
        if self._capacity is None:
            return
        while self._live and end - self._live[0] > self._capacity:
            self._live.popleft()
        self._oldest = self._live[0] if self._live else first_row
        self._everything.drop_before(self._oldest)

    def _before(self, chunk: Chunk) -> int | None:
        """Position of the step that came right before a chunk, where its source handed that over last."""
        episode, sequence, last = self._newest.get(chunk.source, (-1, 0, 0))
        follows = (episode, sequence + 1) == (chunk.episode, chunk.sequence) and last >= self._oldest
        return last if follows and self._columns.shows(last + 1, chunk.obs) else None

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the buffer is closed; open another with Buffer.open(':memory:')")


class View:
    """The chunks of a buffer that a condition selects: a Storage that cannot be written. Made by `Buffer.view`."""

    def __init__(self, buffer: Buffer, where: str, by_success: bool) -> None:
        self.where, self.by_success = where, by_success
        self.positions = Positions()
        self.seen = self.changes = 0  # chunks, and changes of the index, that the positions know of
        self._buffer = buffer

    def append(self, chunk: Chunk) -> Acknowledgement:
        """Never: a view is read-only."""
        raise BadOption(
            "append", f"chunk for view {self.where!r}", "sample, view, len and stats", "append to the buffer itself"
        )

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1) -> Batch:
        """As `core.Storage.sample`, over the transitions of this view."""
        return self._buffer.sample_view(self, n, rng, horizon)

    def view(self, where: str) -> View:
        """The part of this view that `where` selects."""
        self._buffer.view(where)  # each condition must stand alone
        return self._buffer.view(f"({self.where}\n) AND ({where}\n)")

    def __len__(self) -> int:
        return self._buffer.count_view(self)

    def stats(self) -> Mapping[str, float]:
        """Transitions of this view."""
        return {"transitions": self._buffer.count_view(self)}

    def close(self) -> None:
        """Nothing to let go of: the buffer owns the memory."""
