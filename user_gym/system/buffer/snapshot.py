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
from user_gym.system.buffer.entries import DTYPES, Entries

PAGE = 8192  # blocks: 360 KB
_ROW = sum(np.dtype(dtype).itemsize for dtype in DTYPES.values())


def load(catalog: Catalog) -> Entries:
    """All blocks. Inside a transaction of reading, all of one moment."""
    return Entries.joined(list(_parts(catalog)))


def pack(catalog: Catalog, since: int = 0) -> int:
    """Write pages for full runs of blocks from number `since` on that no page holds; inside a transaction.

    Returns:
        The number from which on blocks are in no page: `since` of the next call.
    """
    held = catalog.database.execute("SELECT first, last FROM pages WHERE last >= ? ORDER BY first", (since,)).fetchall()
    for first, last in [*held, (1 << 62, 1 << 62)]:
        for part in catalog.entries(since, first, many=PAGE):
            if len(part) < PAGE and first == 1 << 62:
                return since
            data = b"".join(column.tobytes() for column in part.columns)
            row = int(part.first[0]), int(part.first[-1]), zlib.crc32(data), data
            catalog.database.execute("INSERT INTO pages VALUES (?, ?, ?, ?)", row)
            since = row[1] + 1
        since = max(since, last + 1)
    return since


def _parts(catalog: Catalog) -> Iterator[Entries]:
    done = 0
    for first, last, crc, data in catalog.database.execute("SELECT first, last, crc, data FROM pages ORDER BY first"):
        if zlib.crc32(data) != crc or len(data) % _ROW:
            continue  # damaged: its blocks are read row by row
        page = _unpacked(data)
        yield from catalog.entries(done, first)
        yield page
        done = last + 1
    yield from catalog.entries(done)


def _unpacked(data: bytes) -> Entries:
    rows, at = len(data) // _ROW, 0
    columns: list[NDArray[Any]] = []
    for dtype in DTYPES.values():
        columns.append(np.frombuffer(data, dtype, rows, at))
        at += columns[-1].nbytes
    return Entries(*columns)
