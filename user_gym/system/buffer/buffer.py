"""Experience that is kept: the Storage that learners sample. It knows chunks, not who made them or what they are for.

collector -> append -> Encoder -> Store (segments, index) -> acknowledged
learner   -> sample -> draw numbers -> Reader (light columns in memory, pictures from segments) -> Batch
"""

from __future__ import annotations

import logging
from atexit import register, unregister
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import I64, Acknowledgement, Batch, Bool, Chunk, whole
from user_gym.errors import BadBlock, BadChunk, BadOption, Closed, Gone
from user_gym.system.buffer import connection
from user_gym.system.buffer.batches import Allocate, columns_of, empty, rows_of_batch
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.catalog import Change
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.entries import ABSENT, Entries, Entry
from user_gym.system.buffer.fetch import Damaged, Due, Fetch
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.labels import Labels
from user_gym.system.buffer.loader import Loader, Wants
from user_gym.system.buffer.memory import MemoryFiles
from user_gym.system.buffer.mixed import join
from user_gym.system.buffer.query import Query
from user_gym.system.buffer.reader import Reader, Rewards
from user_gym.system.buffer.store import SEGMENT_BYTES, Store
from user_gym.system.buffer.view import View

MEMORY = ":memory:"
CACHE_BYTES = 512 << 20
THREADS = 4  # that read one batch: two fill a batch from the page cache, more only wait for a slow disk together
_LIGHT = 2  # part of the cache that light columns may take: one in so many bytes
_PART = 256  # blocks whose light columns are loaded in one go
_log = logging.getLogger(__name__)


class Buffer:
    """A Storage. Thread-safe. One process writes it, others may read it. Build it with `Buffer.open`."""

    def __init__(
        self,
        store: Store,
        cache_bytes: int,
        threads: int,
        lossy: Mapping[str, int] | None,
        durable: bool,
        capacity: int | None,
        clean: Callable[[], None] = lambda: None,
    ) -> None:
        self._capacity, self._clean = capacity, clean
        self._store, self._lookup, self._lossy = store, store.lookup, dict(lossy or {})
        self._fetch = Fetch(store, cache_bytes - cache_bytes // _LIGHT, threads)
        self._reader = Reader(self._lookup, self._fetch, cache_bytes // _LIGHT)
        self._appending, self._growing = Lock(), Lock()
        self._newest: dict[str, _Newest] = {}
        self._encoders: dict[str, Encoder] = {}
        self.query = Query(connection.connect_reader(store.folder))
        self.labels = Labels.open(store.folder, self.query.place, durable=durable, read_only=store.read_only)
        self._closed = False
        self._closing = Event()
        self._loading: Thread | None = None
        for layout in self._lookup.layouts():
            self._reader.meet(layout)
        self._load()

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
        if path != MEMORY:
            store = Store.open(path, durability=durability, segment_bytes=segment_bytes, read_only=read_only)
            return cls(store, cache_bytes, threads, lossy, durability == "power", capacity)
        index = mkdtemp(prefix="user-gym-")  # some 300 bytes a chunk
        clean = partial(rmtree, index, ignore_errors=True)
        register(clean)  # for one that nobody closes
        store = Store.open(index, durability="kill", segment_bytes=segment_bytes, files=MemoryFiles)
        return cls(store, cache_bytes, threads, lossy, False, capacity, clean)

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def append(self, chunk: Chunk | Block) -> Acknowledgement:
        """As `core.Storage.append`. A block is stored as it is; it comes from an `Encoder`, perhaps on another machine."""
        return self.extend([chunk])[0]

    def extend(self, chunks: Sequence[Chunk | Block]) -> list[Acknowledgement]:
        """Append several in one commit, all or none."""
        with self._appending:
            self._check_open()
            newest = dict(self._newest)
            blocks = [item if isinstance(item, Block) else self._encoded(item, newest) for item in chunks]
            answers = self._store.append(blocks)
            self._newest = newest
            self._make_room()
            with self._growing:
                for block, answer in zip(blocks, answers, strict=True):
                    if not answer.repeated and self._reader.end == answer.first:
                        self._keep(answer.first, block.head)
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
        return live.numbers(rng.integers(0, len(live), n))

    def read(
        self,
        numbers: I64,
        horizon: int = 1,
        out: Batch | None = None,
        due: Due | None = None,
        rewards: Rewards | None = None,
    ) -> Batch:
        """The transitions with these numbers; see `Reader.read`. Raises Gone if one of them is not there any more."""
        self._check_open()
        self._catch_up()
        with self._sound():
            return self._reader.read(numbers, horizon, out, due, rewards)

    def view(self, where: str, reward: str | None = None) -> View:
        """As `core.Storage.view`, e.g. `view("robot = 'franka-fr3' AND success AND policy_version > 100")`.

        Columns of steps select single steps; `success` is that of the whole episode as known so far.

        Args:
            where: a condition over the columns that `condition` lists, and over labels.
            reward: a label that takes the place of the reward; transitions without it are not selected.
        """
        self._check_open()
        return View(self, parse(where, self.labels.names), reward)

    def chunk(self, number: int) -> Chunk:
        """The chunk that holds the transition with this number, decoded. Raises Gone."""
        self._check_open()
        with self._sound():
            entry = self._lookup.find(np.array([number])).entry(0)
            before = None
            if entry.before != ABSENT:
                before = self._reader.last_observation(self._lookup.find(np.array([entry.before])))
            try:
                return self._store.read_block(entry).chunk(before)
            except BadBlock as error:
                raise Damaged(entry.first, error) from error

    @property
    def live(self) -> Live:
        """Which transitions there are now."""
        return self._lookup.live

    def changes(self, after: int) -> Sequence[Change]:
        """As `selection.Blocks.changes`."""
        return self._lookup.changes(after)

    def steps(self, numbers: I64, names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """As `selection.Blocks.steps`."""
        with self._sound():
            return self._reader.steps(numbers, names)

    def lives(self, numbers: I64) -> Bool:
        """Which of these transitions can be read."""
        return self._lookup.live.contains(numbers)

    def newer(self, number: int) -> I64:
        """Numbers of the transitions from `number` on that can be read."""
        live = self._lookup.live
        numbers = np.arange(number, live.total)
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
        self._check_open()
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
        with self._appending:
            if self._closed:
                return
            self._closed = True
        self._closing.set()
        if self._loading is not None:
            self._loading.join()
        self.labels.close()
        self.query.close()
        self._store.close()
        self._fetch.close()
        self._clean()
        unregister(self._clean)

    def _make_room(self) -> None:
        """The oldest chunks leave, whole, where there are more transitions than may be."""
        live = self._lookup.live
        excess = len(live) - self._capacity if self._capacity is not None else 0
        leaving = []
        while excess > 0:
            entry = self._lookup.find(live.numbers(np.array([0]))).entry(0)
            leaving.append(entry.first)
            live = live.without(np.array([entry.first]), np.array([entry.steps]))
            excess = len(live) - (self._capacity or 0)
        if leaving:
            self._store.prune(firsts=leaving)
            self._reader.drop_before(int(live.numbers(np.array([0]))[0]))

    def _encoded(self, chunk: Chunk, newest: dict[str, _Newest]) -> Block:
        self._check(chunk)
        encoder = self._encoders.setdefault(chunk.source, Encoder(lossy=self._lossy))
        before = newest.get(chunk.source)
        follows = before is not None and before.is_before(chunk)
        block = encoder.encode(chunk, follows)
        newest[chunk.source] = _Newest.of(chunk)
        return block

    def _check(self, chunk: Chunk) -> None:
        """Raise BadChunk where a chunk cannot lie beside those that are here."""
        where = f"chunk {chunk.sequence} of episode {chunk.episode} from {chunk.source!r}"
        if self._capacity is not None and len(chunk) > self._capacity:
            raise BadChunk(f"{where} has {len(chunk)} steps; the capacity is {self._capacity}")
        rows = _rows(chunk)
        for kind in self._reader.kinds():
            for key, (dtype, shape) in kind.rows.items():
                if key in rows and (rows[key][0] != dtype or len(rows[key][1]) != len(shape)):
                    given = f"{rows[key][0]}{rows[key][1]}"
                    raise BadChunk(
                        f"{where}: {key} has rows {given}; those that are stored have {dtype}{shape}; allowed: the same dtype "
                        "and number of axes, so that a batch can hold both, or another name"
                    )

    def _keep(self, first: int, head: Head, entry: Entry | None = None) -> None:
        """Keep the light columns of a block that is next."""
        last = None
        if head.follows:
            before = entry.before if entry is not None else self._before(first)
            last = before + int(self._lookup.find(np.array([before])).steps[0]) - 1 if before != ABSENT else None
        self._reader.add(first, head, last)

    def _before(self, first: int) -> int:
        return int(self._lookup.find(np.array([first])).entry(0).before)

    def _catch_up(self) -> None:
        """What another process appended, or what is there from before, comes into memory."""
        if self._reader.keeps and self._lookup.live.total > self._reader.end:
            self._load()

    def _load(self) -> None:
        with self._growing:
            if self._loading is None and not self._closing.is_set():
                self._loading = Thread(target=self._load_light, name="buffer-light", daemon=True)
                self._loading.start()

    def _load_light(self) -> None:
        try:
            while not self._closing.is_set():
                with self._growing:
                    blocks = self._lookup.entries(self._reader.end)
                    if not len(blocks) or not self._reader.keeps:
                        self._reader.skip(self._lookup.live.total)
                        self._loading = None
                        return
                    self._keep_all(blocks.take(slice(_PART)))
        except Closed:
            return
        except Exception:  # top of this thread; batches are read from blocks instead
            _log.exception("light columns cannot be loaded into memory")

    def _keep_all(self, blocks: Entries) -> None:
        for row in range(len(blocks)):
            entry = blocks.entry(row)
            try:
                self._keep(entry.first, self._fetch.head(entry), entry)
            except Damaged as damage:
                self._quarantine(damage)
            except Gone:
                self._reader.skip(entry.first + entry.steps)

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """A block that is found damaged inside goes into quarantine. Raises Gone then."""
        try:
            yield
        except Damaged as damage:
            self._quarantine(damage)
            raise Gone(f"{damage}; the block is in quarantine, and its transitions are not drawn any more") from damage

    def _quarantine(self, damage: Damaged) -> None:
        _log.warning("block of transition %d: %s", damage.first, damage)
        self._fetch.forget(damage.first)
        try:
            entry = self._lookup.find(np.array([damage.first])).entry(0)
        except Gone:
            return  # another thread was first
        self._store.quarantine(entry, str(damage))

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"buffer {self._store.folder} is closed; open it again")


class _Newest:
    """The newest chunk of a source: what the next one may follow."""

    def __init__(self, episode: int, sequence: int, over: bool, obs: Mapping[str, NDArray[Any]], rows: Any) -> None:
        self._place, self._over, self._obs, self._rows = (episode, sequence), over, obs, rows

    @classmethod
    def of(cls, chunk: Chunk) -> _Newest:
        """A copy of what has to be known of a chunk."""
        over = bool(chunk.terminated[-1] or chunk.truncated[-1])
        return cls(chunk.episode, chunk.sequence, over, {n: c[-1].copy() for n, c in chunk.obs.items()}, _rows(chunk))

    def is_before(self, chunk: Chunk) -> bool:
        """Whether a chunk goes on from here, with the same columns and from the same observation, bit for bit."""
        return (
            self._place == (chunk.episode, chunk.sequence - 1)
            and not self._over
            and self._rows == _rows(chunk)
            and all(self._obs[name].tobytes() == column[0].tobytes() for name, column in chunk.obs.items())
        )


def _rows(chunk: Chunk) -> dict[str, Any]:
    return {key: (column.dtype, column.shape[1:]) for key, column in columns_of(chunk).items()}
