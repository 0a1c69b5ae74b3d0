"""Heads of blocks, read once and kept while there is room. It knows no rows of pictures.

What is kept of a block that pictures are read from is small: of a million blocks of ten steps and two cameras, a terabyte, it
is 1 GB; of blocks without pictures it is nothing. A whole head holds the light columns too, and is kept only for who reads
those from blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from user_gym.errors import BadBlock, Gone
from user_gym.system.buffer.cache import Cache
from user_gym.system.buffer.entries import Entry
from user_gym.system.buffer.files import Files
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.items import Items
from user_gym.system.buffer.layout import OBS, Layout
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.unreadable import Absent, Damaged

FIRST_READ = 4 << 10  # bytes: the prefix of most blocks of a second, and a page
# Bytes of memory, with the share of the cache's own tables; by RSS over 20,000 blocks:
_OPENED = 800  # an opened block, without its tables
_HEAD = 1800  # a whole head, without its rows and tables
_COLUMN = 150  # each light column of a whole head, without its rows
_ITEM = 8  # offset and check of an item, in the tables


class Source(Protocol):
    """Where the bytes of blocks are. Thread-safe; `store.Store` is one."""

    files: Files

    def read_prefix(self, entry: Entry) -> Head:
        """The verified head of a block. Raises BadBlock, Gone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What is kept of a block."""

    items: Items
    stride: int  # bytes from one row of pictures to the next, where there are only observations, all uncompressed; else 0
    start: int  # bytes from the start of the block to where row 0 is, or would be
    checked: bytearray  # per row: 1 once all its bytes, and those it needs, were right


class Heads:
    """Thread-safe.

    Args:
        source: of the bytes.
        limit: bytes that may be kept.
    """

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._opened: Cache[Opened] = Cache(limit // 2)
        self._whole: Cache[Head] = Cache(limit - limit // 2)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self._opened.nbytes + self._whole.nbytes

    def expect(self, entries: Sequence[Entry]) -> None:
        """The heads of these blocks are about to be read; those that are not known begin to come."""
        for entry in self._opened.missing(entries, lambda entry: entry.first):
            with suppress(Absent), self.used(entry) as segment:  # who reads it hears of it
                segment.expect(entry.offset, min(FIRST_READ, entry.nbytes))

    def opened(self, entry: Entry) -> Opened:
        """What is kept of a block. Raises Damaged, Gone."""
        return self._opened.get(entry.first) or self._keep(entry, self.read(entry).items)

    def head(self, entry: Entry) -> Head:
        """The head of a block. Raises Damaged, Gone."""
        head = self._whole.get(entry.first)
        if head is None:
            head = self.read(entry)
            self._whole.put(entry.first, head, _nbytes(head))
        return head

    def read(self, entry: Entry) -> Head:
        """The head of a block, for who will not need it again: what its pictures need is kept. Raises Damaged, Gone."""
        try:
            head = self._source.read_prefix(entry)
        except Gone as error:
            raise Absent(str(error), entry) from error
        except BadBlock as error:
            raise Damaged(entry.first, error) from error
        if head.layout.heavy:  # else nobody asks for it, and the blocks of a state are many
            self._keep(entry, head.items)
        return head

    def forget(self, first: int) -> None:
        """A block lies elsewhere now, or nowhere."""
        self._opened.drop(first)
        self._whole.drop(first)

    def clear(self) -> None:
        """Forget everything."""
        self._opened.clear()
        self._whole.clear()

    @contextmanager
    def used(self, entry: Entry) -> Iterator[Segment]:
        """The open file in which a block lies. Raises Damaged, Absent."""
        with ExitStack() as stack:
            try:
                segment = stack.enter_context(self._source.files.use(entry.segment))
            except Gone as error:
                raise Absent(str(error), entry) from error
            except BadBlock as error:
                raise Damaged(entry.first, error) from error
            yield segment

    def _keep(self, entry: Entry, items: Items) -> Opened:
        stride = _stride(items.layout)
        opened = Opened(items, stride, items.prefix_bytes - stride * items.follows, bytearray(items.steps + 1))
        self._opened.put(entry.first, opened, _OPENED + len(opened.checked) + _ITEM * len(items.checks))
        return opened


def _nbytes(head: Head) -> int:
    columns = head.layout.light.values()
    rows = (head.steps + 1) * sum(column.nbytes for column in columns)
    # Columns that were pressed have bytes of their own; others are views, and hold the whole prefix.
    return _HEAD + _COLUMN * len(columns) + max(rows, head.prefix_bytes) + _ITEM * len(head.items.checks)


@lru_cache(maxsize=256)
def _stride(layout: Layout) -> int:
    plain = all(column.of == OBS and column.coding.name == "raw" for column in layout.heavy.values())
    return sum(column.nbytes for column in layout.heavy.values()) if plain else 0
