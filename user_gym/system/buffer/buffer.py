"""Experience that is kept: the Storage that learners sample. It knows chunks, not who made them or what they are for.

collector -> append -> Encoder -> Store (segments, index) -> acknowledged
learner   -> sample -> draw numbers -> Reader (light columns in memory, pictures from segments) -> Batch
"""

from __future__ import annotations

from atexit import register, unregister
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Acknowledgement, Batch, Chunk, whole
from user_gym.errors import BadOption
from user_gym.system.buffer import connection, outer, sampling
from user_gym.system.buffer.appending import TRAINING, Appender
from user_gym.system.buffer.batches import Allocate, Rewards, empty, rows_of_batch
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.catalog import Change
from user_gym.system.buffer.chunks import Chunks
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.fetch import Due, Fetch
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.gate import Gate
from user_gym.system.buffer.keeping import Keeping
from user_gym.system.buffer.labels import Labels
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.loader import Loader
from user_gym.system.buffer.memory import MemoryFiles
from user_gym.system.buffer.mixed import join
from user_gym.system.buffer.query import Query
from user_gym.system.buffer.reader import Reader
from user_gym.system.buffer.sampling import Wants
from user_gym.system.buffer.shunning import Shunning
from user_gym.system.buffer.store import SEGMENT_BYTES, Store
from user_gym.system.buffer.temporary import TemporaryFolder
from user_gym.system.buffer.view import View

Result = TypeVar("Result")
MEMORY = ":memory:"
CACHE_BYTES = 512 << 20
THREADS = 4  # that read one batch: two fill a batch from the page cache, more only wait for a slow disk together
_LIGHT = 2  # part of the cache that light columns may take: one in so many bytes


class Buffer:
    """A Storage. Thread-safe. One process writes it, others may read it. Build it with `Buffer.open`."""

    def __init__(
        self,
        store: Store,
        query: Query,
        labels: Labels,
        *,
        cache_bytes: int,
        threads: int,
        lossy: Mapping[str, int] | None,
        capacity: int | None,
        clean: Callable[[], None],
    ) -> None:
        self.query, self.labels = query, labels
        self._store, self._lookup, self._clean = store, store.lookup, clean
        self._fetch = Fetch(store, cache_bytes, lambda: self._reader.nbytes, threads)
        self._reader = Reader(self._lookup, self._fetch, cache_bytes // _LIGHT)
        self._chunks = Chunks(store, self._fetch)
        self._gate = Gate(f"buffer {store.folder}")
        self._shunning = Shunning(store, self._fetch)
        self._keeping = Keeping(self._lookup, self._fetch, self._reader, self._shunning, self._gate)
        self._appending = Lock()
        self._appender = Appender(store, query, capacity, dict(lossy or {}))

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        capacity: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        durability: str = "power",
        read_only: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        threads: int = THREADS,
        lossy: Mapping[str, int] | None = None,
    ) -> Buffer:
        """Open the buffer at `path`, made if it is not there. After a kill it goes on with all that was acknowledged.

        Args:
            path: a folder, or ":memory:" for one that ends with `close`.
            capacity: most transitions kept: the oldest chunks leave first, whole. None: no bound.
            cache_bytes: bound of what is kept in memory: light columns, decoded pictures, heads of blocks.
            durability: what an acknowledgement survives: "power", a power cut; "kill", the death of the process, while a power
                cut takes at most the last second.
            read_only: see what another process writes.
            segment_bytes: after so many a new file begins.
            threads: that read one batch.
            lossy: observation or extra column -> quality of JPEG, 1..100. Without it, every bit comes back.

        Raises:
            BadOption: an option is outside what is allowed.
            Busy: another process writes this buffer.
            Unwritable: the folder may not be written, or not even be read.
            WrongRun: the path is a file, or the folder holds something else, such as a buffer in a folder of its own, or
                (read-only) no buffer.
        """
        if capacity is not None:
            capacity = whole("capacity", capacity, 1, "1 transition or more, a whole number, or None for no bound")
        cache_bytes, threads = whole("cache_bytes", cache_bytes, 0), whole("threads", threads, 1)
        if path == MEMORY and read_only:
            raise BadOption("read_only", True, f"False with {MEMORY!r}: nobody else writes that", "take the path of a folder")
        with ExitStack() as undo:
            clean = _nothing
            if path == MEMORY:
                folder = TemporaryFolder.make()  # of the index: some 300 bytes a chunk
                clean = folder.remove
                undo.callback(clean)
                store = Store.open(folder.path, durability="kill", segment_bytes=segment_bytes, files=MemoryFiles)
                durability = "kill"
            else:
                outer.refuse(outer.folder(path))
                store = Store.open(path, durability=durability, segment_bytes=segment_bytes, read_only=read_only)
            undo.callback(store.close)
            query = Query(connection.connect_reader(store.folder))
            undo.callback(query.close)
            labels = Labels.open(store.folder, query.place, durable=durability == "power", read_only=read_only)
            undo.callback(labels.close)
            options = {"cache_bytes": cache_bytes, "threads": threads, "lossy": lossy, "capacity": capacity}
            opened = cls(store, query, labels, clean=clean, **options)
            for layout in store.lookup.layouts():
                opened._reader.meet(Layout.parse(layout.encode("ascii")))
            undo.pop_all()
        register(clean)  # for one that nobody closes
        opened._keeping.load()
        return opened

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, chunk: Chunk | Block) -> Acknowledgement:
        """As `core.Storage.append`. A block is stored as it is; it comes from an `Encoder`, perhaps on another machine."""
        return self.extend([chunk])[0]

    def extend(self, chunks: Sequence[Chunk | Block]) -> list[Acknowledgement]:
        """Append several in one commit, all or none."""
        with self._gate, self._appending:
            appended = self._appender.append(chunks, self._reader.kinds())
            for block, answer in appended:
                if not answer.repeated and block.head.group == TRAINING:
                    self._reader.meet(block.head.layout)
                    self._keeping.next(answer.first, block.head)
            if self._appender.is_bounded:
                self._keeping.drop_oldest()
            return [answer for _, answer in appended]

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`."""
        return sampling.sample(self, n, rng, horizon, out)

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """Numbers of n transitions, uniform over those stored now. Raises BadOption where there are none."""
        live = self._lookup.recent
        if not live.count:
            raise BadOption("sample", n, "nothing yet: the buffer is empty", "append a chunk first")
        places = rng.integers(0, live.count, n)
        return live.numbers(places) if len(live.gaps) else places

    def read(
        self,
        numbers: I64,
        horizon: int = 1,
        out: Batch | None = None,
        due: Due | None = None,
        rewards: Rewards | None = None,
    ) -> Batch:
        """The transitions with these numbers; see `Reader.read`.

        Raises:
            BadOption: there was never a transition of such a number.
            Gone: one of them is not there any more. One that a `Loader` drew earlier may have left since, and still come.
        """
        if due is None:
            numbers = sampling.checked(numbers, self._lookup.live)
        try:
            return self._tried(lambda: self._reader.read(numbers, horizon, out, due, rewards), numbers)
        finally:
            self._keeping.catch_up()

    def view(self, where: str, reward: str | None = None, last: int | None = None) -> View:
        """As `core.Storage.view`, e.g. `view("robot = 'franka-fr3' AND success AND policy_version > 100")`.

        Columns of steps select single steps; `success` is that of the whole episode as known so far.

        Args:
            where: a condition over the columns that `condition` lists, and over labels.
            reward: a label that takes the place of the reward; transitions without it are not selected.
            last: of those selected, the newest so many. None: all.
        """
        self._gate.check()
        return View(self, parse(where, self.labels.names), reward, last)

    def chunk(self, number: int) -> Chunk:
        """The chunk that holds the transition with this number, decoded; without a first step whose observation is gone.

        Raises Gone.
        """
        return self._tried(lambda: self._chunks.chunk(number), np.array([number]))

    @property
    def live(self) -> Live:
        """Which transitions there are now."""
        return self._lookup.live

    def changes(self, after: int) -> Sequence[Change]:
        """As `selection.Blocks.changes`."""
        return self._lookup.changes(after)

    def steps(self, numbers: I64, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """As `selection.Blocks.steps`."""
        return self._tried(lambda: self._chunks.steps(numbers, names), numbers)

    def numbers(self, since: int = 0) -> I64:
        """Numbers, `since` or above, of all transitions that can be read, ascending."""
        live = self._lookup.live
        numbers = np.arange(since, live.total)
        return numbers[live.contains(numbers)]

    def empty(self, n: int, horizon: int = 1, allocate: Allocate = np.empty) -> Batch:
        """Arrays for a batch, to be handed to `sample` as `out`: with room for every kind of transition met so far."""
        parts = [empty(kind.rows, 0, horizon) for kind in self._reader.kinds()]
        if not parts:
            raise BadOption("empty", n, "nothing yet: the buffer has not met a transition", "append a chunk first")
        return empty(rows_of_batch(join(parts)), n, horizon, allocate)

    def wants(self, numbers: I64, horizon: int) -> Wants:
        """Rows of pictures that a batch of these transitions needs, for `Loader`."""
        if not any(kind.heavy_obs for kind in self._reader.kinds()):
            return Wants(np.empty(0, np.int64), np.empty(0, np.int64))
        return Wants(*self._reader.heavy_rows(numbers, horizon))

    def loader(self, batch_size: int = 256, **options: Any) -> Loader:
        """Batches filled ahead, by a thread of its own: see `Loader` for the options."""
        return Loader(self, batch_size, **options)

    def __len__(self) -> int:
        return len(self._lookup.live)

    def stats(self) -> Mapping[str, float]:
        """Transitions now and ever, bytes in memory, and how often decoded pictures were found there."""
        live, cache = self._lookup.live, self._fetch.stats()
        return {
            "transitions": len(live),
            "transitions_ever": live.total,
            "light_bytes": self._reader.nbytes,
            "index_bytes": self._lookup.nbytes,
            "cache_bytes": cache.nbytes,
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
        }

    def close(self) -> None:
        """Let go of files and memory; may be called twice. Whatever comes after raises Closed."""
        if not self._gate.close():
            return
        self._keeping.close()
        try:
            self.labels.close()
            self.query.close()
            self._store.close()
        finally:
            self._fetch.close()
            self._clean()
            unregister(self._clean)

    def _tried(self, read: Callable[[], Result], numbers: I64) -> Result:
        with self._gate:
            return self._shunning.tried(read, numbers)


def _nothing() -> None:
    """There is nothing to clean up."""
