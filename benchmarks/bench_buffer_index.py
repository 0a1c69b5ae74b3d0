"""An index of millions of blocks: how soon it opens, says its length and finds a first batch, when it is in memory, and a view.

    python -m benchmarks.bench_buffer_index --rows 10000000

The rows are synthetic and their one segment is empty space: what is measured is the index. Each figure is of a fresh process
that finds nothing of the index in the page cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import disk
from user_gym.system.buffer import connection, schema, snapshot
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.condition import parse
from user_gym.system.buffer.files import FOLDER, name
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.labels import Labels
from user_gym.system.buffer.query import Query
from user_gym.system.buffer.segment import FIRST, SEGMENT_HEAD
from user_gym.system.buffer.selection import Selection
from user_gym.system.buffer.store import Store

STEPS, NBYTES, CHUNKS, ROBOTS = 10, 4096, 5, 4  # steps and bytes a block, blocks an episode
BATCH = 256
VIEW = 1_000_000  # blocks of the views
VIEWS = {"the newest": "policy_version >= {oldest}", "a tenth": "robot = 'robot-1' AND sequence < 2"}


def build(folder: Path, rows: int, packed: bool = True) -> None:
    """A store of so many blocks."""
    Store.open(folder, durability="kill").close()
    database = connection.connect_writer(folder, durable=False)
    origins = [(f"collector-{robot}", f"robot-{robot}", "peg", "policy", "", "", "sim", "[]") for robot in range(ROBOTS)]
    end = FIRST + rows * NBYTES
    with database:
        database.execute("BEGIN")
        for origin in origins:
            database.execute("INSERT INTO sources (name) VALUES (?)", origin[:1])
            database.execute(f"INSERT INTO origins ({', '.join(schema.ORIGIN)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", origin)
        # Four collectors in turns, and five chunks an episode; each follows the one before it in its episode.
        previous = f"iif((i / {ROBOTS}) % {CHUNKS} = 0, -1, (i - {ROBOTS}) * {STEPS})"
        database.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows - 1}) INSERT INTO blocks SELECT "
            f"i * {STEPS}, {STEPS}, 1, {FIRST} + i * {NBYTES}, {NBYTES}, {previous}, (i / {ROBOTS}) % {CHUNKS} > 0, "
            f"1 + i % {ROBOTS}, 1 + i % {ROBOTS}, i / {ROBOTS} / {CHUNKS}, (i / {ROBOTS}) % {CHUNKS}, i % 3 = 0, "
            f"1.5, 0.0, 1.0, i / 1000, i / 1000, i * 1.0, i + 1.0, 0, 0, 0, i * 1.0 FROM n"
        )
        database.execute("INSERT INTO segments VALUES (1, 0, 0, 'live', ?, ?, ?)", (end, end, end - FIRST))
        database.execute("UPDATE counters SET next = ? WHERE name = 'training'", (rows * STEPS,))
        database.execute("UPDATE counters SET next = 2 WHERE name = 'segments'")
        if packed:
            snapshot.pack(Catalog(database), 0, rows)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with (folder / FOLDER / name(1)).open("wb") as file:
        file.write(SEGMENT_HEAD)
        file.truncate(end)


def measure(folder: str) -> None:
    """In a fresh process: seconds, bytes and steps, as JSON."""
    began, working = time.perf_counter(), time.process_time()
    with Store.open(folder, durability="kill") as store:
        opened = time.perf_counter() - began
        length = len(store)
        said = time.perf_counter() - began
        rng = np.random.default_rng(0)
        begin = time.perf_counter()
        store.locate(rng.integers(0, length, BATCH))
        first = time.perf_counter() - begin
        early = not store.lookup.loaded
        assert store.lookup.wait(600)
        loaded, busy = time.perf_counter() - began, time.process_time() - working
        begin = time.perf_counter()
        store.locate(rng.integers(0, length, BATCH))
        warm = time.perf_counter() - begin
        said_all = {
            "open s": opened,
            "open + len s": said,
            "first batch s": first,
            "before the index was in memory": early,
            "in memory s": loaded,
            "processor s until then": busy,
            "later batch s": warm,
            "bytes a row": store.lookup.nbytes / len(store.entries()),
        }
    print(json.dumps(said_all))


class _Blocks:
    """What a view asks of its buffer where every block is selected whole."""

    def __init__(self, store: Store, query: Query, labels: Labels) -> None:
        self.query, self.labels, self.changes, self._store = query, labels, store.changes, store

    @property
    def live(self) -> Live:
        return self._store.live

    def steps(self, numbers: Any, names: Sequence[str]) -> Mapping[str, Any]:
        raise NotImplementedError("these blocks have no steps")


def measure_view(folder: str) -> None:
    """In a fresh process, of conditions that select parts of the blocks: seconds to the first length and draw, as JSON."""
    said: dict[str, float] = {}
    with Store.open(folder, durability="kill") as store, tempfile.TemporaryDirectory() as empty:
        assert store.lookup.wait(600)
        query = Query(connection.connect_reader(store.folder))
        blocks = _Blocks(store, query, Labels.open(Path(empty), query.place, durable=False, read_only=False))
        for part, where in VIEWS.items():
            begin = time.perf_counter()
            selection = Selection(blocks, parse(where.format(oldest=(len(store) // STEPS - VIEW) // 1000)))
            selection.follow()
            selection.ranges.draw(BATCH, np.random.default_rng(0))
            said |= {f"{part} s": time.perf_counter() - begin, f"{part}, blocks": len(selection.ranges) / STEPS}
        blocks.labels.close()
        query.close()
    print(json.dumps(said))


def fresh(folder: Path, what: str = "measure") -> dict[str, float]:
    """One measurement, cold."""
    stayed = disk.evict(folder.glob("index.sqlite*"))
    assert stayed <= 0.01, f"{stayed:.1%} of the index is still in the page cache"
    code = f"from benchmarks import bench_buffer_index; bench_buffer_index.{what}({str(folder)!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def medians(folder: Path, repeats: int, what: str = "measure") -> dict[str, float]:
    runs = [fresh(folder, what) for _ in range(repeats)]
    return {key: float(np.median([run[key] for run in runs])) for key in runs[0]}


def drop_pages(folder: Path) -> None:
    """The packed index is missing."""
    database = connection.connect_writer(folder, durable=False)
    database.execute("DELETE FROM pages")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def bench_an_index_opens_finds_and_loads(benchmark, tmp_path):
    build(tmp_path, 20_000)
    benchmark.pedantic(lambda: fresh(tmp_path), rounds=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_buffer_index-") as path:
        folder = Path(path)
        began = time.perf_counter()
        build(folder, chosen.rows)
        size = (folder / connection.NAME).stat().st_size
        print(f"{chosen.rows} blocks, index {size / chosen.rows:.0f} bytes a row, made in {time.perf_counter() - began:.0f} s")
        print("packed", json.dumps(medians(folder, chosen.repeats)), flush=True)
        print("views", json.dumps(medians(folder, chosen.repeats, "measure_view")), flush=True)
        drop_pages(folder)
        # The first one that opens it to write packs it again beside its callers.
        print("not packed", json.dumps(fresh(folder)))


if __name__ == "__main__":
    main()
