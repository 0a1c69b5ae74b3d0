"""The index in memory comes back in a second: its columns, packed into pages of the catalog itself.

A page is written in the transaction of what it says, and removed in that of what makes it untrue; so there is nothing to
compare, and what no page holds is read row by row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.entries import DTYPES, Entries, MemoryIndex

PAGE = 8192  # blocks: 360 KB
_ROW = sum(np.dtype(dtype).itemsize for dtype in DTYPES.values())


def load(catalog: Catalog) -> MemoryIndex:
    """All blocks. Inside a transaction of reading, all of one moment."""
    index = MemoryIndex()
    (size,) = catalog.database.execute("SELECT coalesce(sum(length(data)), 0) FROM pages").fetchone()
    index.reserve(size // _ROW + PAGE)
    for part in _parts(catalog):
        index.extend(part)
    return index


def pack(catalog: Catalog, since: int, pages: int) -> int:
    """Write at most so many pages, of blocks from number `since` on that no page holds; inside a transaction.

    Returns:
        The number from which on blocks may be in no page: `since` of the next call.
    """
    while pages:
        held = catalog.database.execute(
            "SELECT first, last FROM pages WHERE last >= ? ORDER BY first LIMIT 1", (since,)
        ).fetchone()
        first, last = held or (None, -1)
        if first is None and not catalog.has(since, PAGE):
            break  # the newest blocks are too few for a page
        part = next(catalog.entries(since, first, PAGE), None)
        if part is not None:
            data = b"".join(column.tobytes() for column in part.columns)
            since = int(part.first[-1]) + 1
            row = int(part.first[0]), since - 1, zlib.adler32(data), data
            catalog.database.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", row)
            pages -= 1
        else:
            since = last + 1
    return since


def _parts(catalog: Catalog) -> Iterator[Entries]:
    done = 0
    for first, check, data in catalog.database.execute("SELECT first, sum, data FROM pages ORDER BY first"):
        if zlib.adler32(data) != check or len(data) % _ROW:
            continue  # damaged: its blocks are read row by row
        page = _unpacked(data)
        if done < first:  # else no block has room between the pages, and a look-up in a cold index takes as long as a page
            yield from catalog.entries(done, first)
        yield page
        done = int(page.first[-1] + page.steps[-1])
    yield from catalog.entries(done)


def _unpacked(data: bytes) -> Entries:
    rows, at = len(data) // _ROW, 0
    columns: list[NDArray[Any]] = []
    for dtype in DTYPES.values():
        columns.append(np.frombuffer(data, dtype, rows, at))
        at += columns[-1].nbytes
    return Entries(*columns)
