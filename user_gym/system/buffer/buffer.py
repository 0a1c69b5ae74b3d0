"""Experience that is kept: the Storage that learners sample. It knows chunks, not who made them or what they are for.

collector -> append -> Encoder -> Store (segments, index) -> acknowledged
learner   -> sample -> draw numbers -> Reader (light columns in memory, pictures from segments) -> Batch
"""

from __future__ import annotations

import logging
from atexit import register, unregister
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event, Lock, Thread
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Acknowledgement, Batch, Chunk, whole
from user_gym.errors import BadBlock, BadChunk, BadOption, Closed, Gone
from user_gym.system.buffer import connection
from user_gym.system.buffer.batches import Allocate, columns_of, empty, rows_of_batch
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.catalog import Change
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.entries import ABSENT, Entry
from user_gym.system.buffer.fetch import Absent, Damaged, Due, Fetch
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.gate import Gate
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.kinds import rows_of
from user_gym.system.buffer.labels import Labels
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.loader import Loader, Wants
from user_gym.system.buffer.memory import MemoryFiles
from user_gym.system.buffer.mixed import join
from user_gym.system.buffer.query import Query
from user_gym.system.buffer.reader import Reader, Rewards
from user_gym.system.buffer.store import SEGMENT_BYTES, Store
from user_gym.system.buffer.view import View

Result = TypeVar("Result")
MEMORY = ":memory:"
TRAINING = "training"  # the group of blocks that is sampled
CACHE_BYTES = 512 << 20
THREADS = 4  # that read one batch: two fill a batch from the page cache, more only wait for a slow disk together
_LIGHT = 2  # part of the cache that light columns may take: one in so many bytes
_PART = 64  # blocks whose light columns are loaded in one go, while appends wait
_SLACK = 64  # one in so many transitions leaves at once from a full buffer: a commit for many appends
_TRIES = 1000  # blocks that one batch may find bad
_log = logging.getLogger(__name__)


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
        self._store, self._lookup, self._lossy = store, store.lookup, dict(lossy or {})
        self._capacity, self._clean = capacity, clean
        self._fetch = Fetch(store, cache_bytes - cache_bytes // _LIGHT, threads)
        self._reader = Reader(self._lookup, self._fetch, cache_bytes // _LIGHT)
        self._gate = Gate(f"buffer {store.folder}")
        self._appending, self._growing = Lock(), Lock()
        self._newest: dict[str, _Newest] = {}
        self._encoders: dict[str, Encoder] = {}
        self._closing = Event()
        self._loading: Thread | None = None
        self._failure: Exception | None = None  # of that thread, for who reads next

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
            Busy: another process writes this buffer.
            Unwritable: the folder may not be written.
            WrongRun: the folder holds something else, or (read-only) no buffer.
        """
        if capacity is not None:
            capacity = whole("capacity", capacity, 1, "1 transition or more, a whole number, or None for no bound")
        cache_bytes, threads = whole("cache_bytes", cache_bytes, 0), whole("threads", threads, 1)
        with ExitStack() as undo:
            clean = _nothing
            if path == MEMORY:
                path = mkdtemp(prefix="user-gym-")  # of the index: some 300 bytes a chunk
                clean = partial(rmtree, path, ignore_errors=True)
                undo.callback(clean)
                store = Store.open(path, durability="kill", segment_bytes=segment_bytes, files=MemoryFiles)
                durability = "kill"
            else:
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
        opened._load()
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
            incoming = [_Incoming.of(item) for item in chunks]
            self._check(incoming)
            self._make_room(incoming)
            blocks = self._encoded(chunks)
            answers = self._store.append(blocks)
            self._make_room(())
            for item, block, answer in zip(chunks, blocks, answers, strict=True):
                if not answer.repeated:
                    if isinstance(item, Chunk):
                        self._newest[item.source] = _Newest(item, answer.first + answer.steps - 1)
                    if block.head.group == TRAINING:
                        self._reader.meet(block.head.layout)
                        self._keep_next(answer.first, block.head)
            return answers

    def sample(self, n: int, rng: np.random.Generator, horizon: int = 1, out: Batch | None = None) -> Batch:
        """As `core.Storage.sample`."""
        n, horizon = whole("n", n, 1), whole("horizon", horizon, 1)
        while True:
            try:
                return self.read(self.draw(n, rng), horizon, out)
            except Gone:
                continue  # pruned, or found damaged, after it was drawn

    def draw(self, n: int, rng: np.random.Generator) -> I64:
        """Numbers of n transitions, uniform over those stored now. Raises BadOption where there are none."""
        live = self._lookup.live
        if not len(live):
            raise BadOption("sample", n, "nothing yet: the buffer is empty", "append a chunk first")
        places = rng.integers(0, len(live), n)
        return live.numbers(places) if len(live.gaps) else places

    def read(
        self,
        numbers: I64,
        horizon: int = 1,
        out: Batch | None = None,
        due: Due | None = None,
        rewards: Rewards | None = None,
    ) -> Batch:
        """The transitions with these numbers; see `Reader.read`. Raises Gone if one of them is not there any more."""
        try:
            with self._gate:
                return self._reader.read(numbers, horizon, out, due, rewards)
        except (Gone, Damaged):
            return self._tried(lambda: self._reader.read(numbers, horizon, out, due, rewards), numbers)
        finally:
            if self._reader.missed or self._failure is not None:
                self._catch_up()

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
        """The chunk that holds the transition with this number, decoded. Raises Gone."""
        return self._tried(lambda: self._chunk(number), np.array([number]))

    @property
    def live(self) -> Live:
        """Which transitions there are now."""
        return self._lookup.live

    def changes(self, after: int) -> Sequence[Change]:
        """As `selection.Blocks.changes`."""
        return self._lookup.changes(after)

    def steps(self, numbers: I64, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """As `selection.Blocks.steps`."""
        return self._tried(lambda: self._reader.steps(numbers, names), numbers)

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
        self._closing.set()
        with self._growing:
            loading = self._loading
        if loading is not None:
            loading.join()
        try:
            self.labels.close()
            self.query.close()
            self._store.close()
        finally:
            self._fetch.close()
            self._clean()
            unregister(self._clean)

    def _chunk(self, number: int) -> Chunk:
        entry, before = self._lookup.find(np.array([number])).entry(0), None
        if entry.before != ABSENT:
            before = self._reader.last_observation(self._lookup.find(np.array([entry.before])))
        try:
            return self._store.read_block(entry).chunk(before)
        except BadBlock as error:
            raise Damaged(entry.first, error) from error

    # Appending.

    def _check(self, incoming: Sequence[_Incoming]) -> None:
        """Raise BadChunk where one of them cannot lie beside those that are here, or beside each other."""
        known = [kind.rows for kind in self._reader.kinds()]
        for new in incoming:
            if self._capacity is not None and new.steps > self._capacity:
                raise BadChunk(f"{new.where} has {new.steps} steps; the capacity is {self._capacity}")
            for rows in known:
                for key, (dtype, shape) in new.rows.items():
                    if key in rows and (rows[key][0] != dtype or len(rows[key][1]) != len(shape)):
                        raise BadChunk(
                            f"{new.where}: {key} has rows {dtype}{shape}; those that are stored have "
                            f"{rows[key][0]}{rows[key][1]}; allowed: the same dtype and number of axes, so that a batch can "
                            "hold both, or another name"
                        )
            if new.rows not in known:
                known.append(new.rows)

    def _encoded(self, chunks: Sequence[Chunk | Block]) -> list[Block]:
        newest, blocks = dict(self._newest), []
        for item in chunks:
            if isinstance(item, Block):
                blocks.append(item)
                continue
            encoder = self._encoders.setdefault(item.source, Encoder(lossy=self._lossy))
            before = newest.pop(item.source, None)
            follows = before is not None and before.is_before(item) and self._is_there(before.last)
            blocks.append(encoder.encode(item, follows))
            # What was stored before, perhaps with other observations, is no chunk to follow.
            if item is not chunks[-1] and self.query.place(item.source, item.episode, item.sequence) is None:
                newest[item.source] = _Newest(item, None)
        return blocks

    def _is_there(self, number: int | None) -> bool:
        """Whether a transition can be read; None: one that is about to be stored."""
        return number is None or bool(self._lookup.live.contains(np.array([number]))[0])

    def _make_room(self, incoming: Sequence[_Incoming]) -> None:
        """The oldest chunks leave, whole, so that there is room for others; and a few more, to do it seldom."""
        if self._capacity is None:
            return
        live = self._lookup.live
        excess = len(live) + min(sum([new.steps for new in incoming]), self._capacity) - self._capacity
        if excess <= 0 or (incoming and not self._has_new(incoming)):
            return
        ends = live.numbers(np.array([0, min(excess + self._capacity // _SLACK, len(live)) - 1]))
        oldest, newest = self._lookup.find(ends).first.tolist()
        with self._lookup.reading() as catalog:
            leaving = [first for part in catalog.entries(oldest, newest + 1) for first in part.first.tolist()]
        self._store.prune(firsts=leaving)
        self._drop_oldest()

    def _has_new(self, incoming: Sequence[_Incoming]) -> bool:
        """Whether one of them was never stored before."""
        with self._lookup.reading() as catalog:
            return not all(catalog.was_stored(*new.key) for new in incoming)

    def _keep_next(self, first: int, head: Head) -> None:
        """Keep the light columns of a block that was appended, where it is next; else they are loaded when they are missed."""
        with self._growing:
            if self._reader.end == first:
                try:
                    self._keep(first, head, self._lookup.find(np.array([first])).entry(0) if head.follows else None)
                except Gone:
                    self._reader.skip(first + head.steps)
        if self._reader.is_half_full:
            self._drop_oldest()

    # Light columns.

    def _keep(self, first: int, head: Head, entry: Entry | None) -> None:
        """Keep the light columns of a block; its entry says what it follows."""
        last = None
        if head.follows and entry is not None and entry.before != ABSENT:
            last = entry.before + int(self._lookup.find(np.array([entry.before])).steps[0]) - 1
        self._reader.add(first, head, last)

    def _drop_oldest(self) -> None:
        """What left at the front leaves memory too."""
        live = self._lookup.live
        if len(live.gaps) and live.gaps[0] == 0:
            self._reader.drop_before(int(live.missing[0]))

    def _catch_up(self) -> None:
        """What another process appended, or what is there from before, comes into memory."""
        self._reader.missed = False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._loading is None:
            self._load()

    def _load(self) -> None:
        with self._growing:
            if self._loading is None and not self._closing.is_set():
                self._loading = Thread(target=self._load_light, name="buffer-light", daemon=True)
                self._loading.start()

    def _load_light(self) -> None:
        try:
            self._lookup.wait()
            while not self._closing.is_set() and self._load_part():
                pass
        except Closed:
            pass
        except Exception as error:  # top of this thread: raised where a batch is asked for
            self._failure = error
        finally:
            self._loading = None

    def _load_part(self) -> bool:
        """Keep the light columns of some blocks. Whether there may be more."""
        with self._growing:
            live = self._lookup.live  # before the blocks: what is appended meanwhile is not skipped
            blocks = self._lookup.entries(self._reader.end)
            if not self._reader.keeps or not len(blocks):
                self._reader.skip(live.total)
                return False
            self._drop_oldest()
            for row in range(min(len(blocks), _PART)):
                entry = blocks.entry(row)
                try:
                    self._keep(entry.first, self._fetch.head(entry), entry)
                except (Damaged, Gone) as error:
                    if isinstance(error, (Damaged, Absent)):
                        self._shun(error)
                    self._reader.skip(entry.first + entry.steps)
            return True

    # Blocks that cannot be read.

    def _tried(self, read: Callable[[], Result], numbers: I64) -> Result:
        """Read what these transitions need, again where a block moved or turned out to be bad. Raises Gone, Closed."""
        with self._gate:
            for _ in range(_TRIES):
                try:
                    return read()
                except Gone as error:
                    if isinstance(error, Absent):
                        self._shun(error)
                    if not self._lookup.live.contains(numbers).all():
                        raise Gone(f"{error}; draw others") from error
                except Damaged as error:
                    self._shun(error)
                    if not self._lookup.live.contains(numbers).all():
                        raise Gone(f"{error}; its block is in quarantine; draw others") from error
            raise BadBlock("buffer", self._store.folder, "one that can be read", None, "run: user-gym buffer repair")

    def _shun(self, error: Damaged | Absent) -> None:
        """A block that cannot be read is not read again: the damaged are quarantined, those without file hidden for now."""
        first = error.first if isinstance(error, Damaged) else error.entry.first
        self._fetch.forget(first)
        try:
            entry = self._lookup.find(np.array([first])).entry(0)
        except Gone:
            return  # another thread was first, or it was pruned
        if isinstance(error, Damaged):
            _log.warning("the block of transition %d goes into quarantine: %s", first, error)
            self._store.quarantine(entry, str(error))
        elif entry.segment == error.entry.segment:  # else it has moved
            _log.error("%s; its transitions are not sampled until the buffer is opened again", error)
            blocks = self._lookup.entries()
            for row in np.flatnonzero(blocks.segment == entry.segment).tolist():
                self._lookup.hide(int(blocks.first[row]), int(blocks.steps[row]))


class _Incoming(NamedTuple):
    """What has to be known of a chunk before it is stored."""

    key: tuple[str, int, int]  # source, episode, sequence
    rows: Mapping[str, Any]
    steps: int

    @property
    def where(self) -> str:
        """For errors."""
        return f"chunk {self.key[2]} of episode {self.key[1]} from {self.key[0]!r}"

    @classmethod
    def of(cls, item: Chunk | Block) -> _Incoming:
        """Of a chunk, encoded or not; what is not sampled has no rows."""
        if isinstance(item, Chunk):
            rows, head = _rows(item), item
            steps = len(item)
        else:
            head, steps = item.head, item.head.steps
            rows = rows_of(head.layout)
            if head.group != TRAINING:
                rows, steps = {}, 0
        return cls((head.source, head.episode, head.sequence), rows, steps)


class _Newest:
    """The newest chunk of a source: what the next one may follow."""

    def __init__(self, chunk: Chunk, last: int | None) -> None:
        """Copies what has to be known of a chunk; `last`: number of its last transition, None until it is stored."""
        self.last, self._place, self._rows = last, (chunk.episode, chunk.sequence), _rows(chunk)
        self._over = bool(chunk.terminated[-1] or chunk.truncated[-1])
        self._obs = {name: column[-1].copy() for name, column in chunk.obs.items()}

    def is_before(self, chunk: Chunk) -> bool:
        """Whether a chunk goes on from here, with the same columns and from the same observation, bit for bit."""
        return (
            self._place == (chunk.episode, chunk.sequence - 1)
            and not self._over
            and self._rows == _rows(chunk)
            and all(self._obs[name].tobytes() == column[0].tobytes() for name, column in chunk.obs.items())
        )


def _nothing() -> None:
    """There is nothing to clean up."""


def _rows(chunk: Chunk) -> dict[str, Any]:
    return {key: (column.dtype, column.shape[1:]) for key, column in columns_of(chunk).items()}
