"""What a writer finds when it opens a store is made true again. It knows files and rows; nothing here is fatal but a lost disk.

a segment is longer than the index says: what is sound there is entered, the torn end is cut off
shorter, or unsound where it was not written through: those blocks are quarantined
not there: its blocks are quarantined; they are entered anew when it is back
not in the index: its blocks are entered; so an index that was lost or damaged is made anew from the segments
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from user_gym.errors import BadBlock, BadChunk, BadOption, WrongRun
from user_gym.system.buffer import connection, dropping, schema
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.files import FOLDER, HERE, Files, make, name
from user_gym.system.buffer.filing import Filing, summarized
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.segment import FIRST, Segment

REBUILD = "rebuild"  # a file of this name says that the index was found damaged
_NEWEST = 2  # segments that may not have been written through when the power went: one a group
_log = logging.getLogger(__name__)


def recovered(folder: Path, files: Files, durable: bool, drop_absent: bool = False) -> Catalog:
    """The catalog of a store, true again, and made anew if it was lost or damaged.

    Raises:
        WrongRun: the index is another program's; or a place is not mounted, unless `drop_absent`.
    """
    make(folder / FOLDER)
    path, mark = folder / connection.NAME, folder / REBUILD
    if mark.exists():
        _set_aside(path)
        mark.unlink()
    if not path.exists():  # a log without its database would be played into the new one
        _remove_logs(path)
    try:
        return _recovered(folder, files, durable, drop_absent)
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        _log.warning("index %s is damaged (%s); a new one is made from the segments", path, error)
        _set_aside(path)
        return _recovered(folder, files, durable, drop_absent)


def unfinished(catalog: Catalog) -> list[tuple[str, int, int]]:
    """By group the newest segment: group, number and bytes."""
    query = "SELECT raw, max(id), bytes FROM segments WHERE place = ? GROUP BY raw"
    return [("raw" if raw else "training", number, size) for raw, number, size in catalog.database.execute(query, (HERE,))]


def _recovered(folder: Path, files: Files, durable: bool, drop_absent: bool) -> Catalog:
    database = connection.connect_writer(folder, durable)
    try:
        new = not schema.check(database, folder / connection.NAME)
        if new:
            schema.create(database)
        catalog = Catalog(database)
        _remove_unfinished(catalog, files)
        _compare(catalog, files, new, drop_absent)
    except BaseException:
        database.close()
        raise
    return catalog


def _remove_unfinished(catalog: Catalog, files: Files) -> None:
    """A kill came while a segment was made by compaction, or while one that was left was removed."""
    files.put(catalog.places())
    for (number,) in catalog.database.execute("SELECT id FROM segments WHERE state != 'live'").fetchall():
        files.remove(number)
        with _transaction(catalog):
            catalog.database.execute("DELETE FROM segments WHERE id = ?", (number,))


def _compare(catalog: Catalog, files: Files, new: bool, drop_absent: bool) -> None:
    rows = catalog.database.execute("SELECT id, place, bytes, synced FROM segments").fetchall()
    known = {number: place for number, place, _, _ in rows}
    found = {place: files.found(place) for place in files.places}
    for place, path in files.places.items():
        if not path.is_dir() and not drop_absent and place in known.values():
            raise WrongRun(f"a part of the buffer lies in {path}, which is not there; mount it, or open with drop_absent=True")
        for number in found[place].keys() & known.keys():
            if known[number] != place and number in found[known[number]]:  # a kill came while it moved
                (path / name(number)).unlink()
    again: list[int] = []
    for number, place, size, synced in rows:
        there = found[place].get(number)
        if there is None:
            _lose(catalog, number, files.path(number))
        elif (there != size or synced != size) and reconcile(catalog, files, number, synced):
            again.append(number)
    unknown = sorted((number, place) for place in files.places for number in found[place].keys() - known.keys())
    for row, (number, place) in enumerate(unknown):
        # What is new since a commit may not have been written through; all of an index made anew need not be read for that.
        _adopt(catalog, files, number, place, items=not new or row >= len(unknown) - _NEWEST)
    for number in again:
        reconcile(catalog, files, number)


def _lose(catalog: Catalog, number: int, path: Path) -> None:
    _log.warning("segment %s is not there; its blocks are quarantined", path)
    with _transaction(catalog):
        for table in schema.TABLES.values():
            firsts = catalog.database.execute(f"SELECT first FROM {table} WHERE segment = ?", (number,)).fetchall()
            dropping.quarantine(catalog, table, (first for (first,) in firsts), f"segment {path} is not there")
        catalog.database.execute("DELETE FROM segments WHERE id = ?", (number,))


def _adopt(catalog: Catalog, files: Files, number: int, place: int, items: bool) -> None:
    files.put({number: place})
    with _transaction(catalog):
        catalog.add_segment(number, False, place)
        catalog.database.execute("DELETE FROM quarantine WHERE segment = ?", (number,))
    reconcile(catalog, files, number, items=items)


def reconcile(catalog: Catalog, files: Files, number: int, since: int = 0, items: bool = True) -> bool:
    """Compare a segment with its rows.

    Returns whether sound blocks in it were left out, as the index has such chunks elsewhere. That may not be true: where files
    changed their names all rows are wrong. So once all segments were compared, these are compared again.

    Args:
        catalog: outside a transaction.
        files: where it lies.
        number: of the segment; nobody appends to it.
        since: bytes of it that need no look.
        items: look at the pictures too.
    """
    filing = Filing(catalog)
    with _opened(files.path(number)) as segment, _transaction(catalog):
        filing.begin()
        if not _is_known(catalog, segment, number, since):
            since = 0  # another file has its name: nothing may be cut off by what the index says of this one
        start = max(FIRST, min(since, segment.size))
        pieces = list(segment.scan(start, items=items))
        heads = {piece.offset: piece.head for piece in pieces if piece.head is not None}
        indexed: set[int] = set()
        for group, table in schema.TABLES.items():
            bad: list[int] = []
            for offset, first, *key in _rows(catalog, table, number, start, everything=segment.size < since or since == 0):
                head = heads.get(offset)
                if head is not None and key == [head.source, head.episode, head.sequence] and head.group == group:
                    indexed.add(offset)
                else:
                    bad.append(first)
            if bad:
                _log.warning("%d blocks of %s are damaged, and quarantined", len(bad), segment.path)
                dropping.quarantine(catalog, table, bad, "damaged, or another than the index said")
        end, live, left_out = start, 0, False
        for piece in pieces:
            if piece.head is not None:
                end = piece.offset + piece.nbytes
                if piece.offset not in indexed:
                    entered = _enter(catalog, filing, number, piece.offset, piece.head)
                    live, left_out = live + entered, left_out or not entered
        for piece in pieces:
            if piece.head is None and piece.offset < end:
                dropping.note_damage(catalog, number, piece.offset, piece.nbytes, piece.reason)
        if end < segment.size:
            _log.warning("%d bytes of a torn end are cut off %s", segment.size - end, segment.path)
            segment.truncate(end)
        files.sync(segment)
        catalog.extend_segment(number, end, end, live)
        if any(head.group == "raw" for head in heads.values()):
            catalog.database.execute("UPDATE segments SET raw = 1 WHERE id = ?", (number,))
        filing.end()
    return left_out


def _is_known(catalog: Catalog, segment: Segment, number: int, since: int) -> bool:
    """Whether the newest block that ends at or before `since` is the one that the index has there."""
    for table in schema.TABLES.values():
        query = (
            f"SELECT segment, offset, nbytes, name, episode, sequence FROM {table} "
            "CROSS JOIN sources ON sources.id = source ORDER BY first DESC"
        )
        for other, offset, nbytes, *key in catalog.database.execute(query):
            if other == number and offset + nbytes <= since:
                try:
                    head = segment.head(offset)
                except BadBlock:
                    return False
                return [head.block_bytes, head.source, head.episode, head.sequence] == [nbytes, *key]
            if other < number:
                break  # as in `_rows`
    return True


def _enter(catalog: Catalog, filing: Filing, number: int, offset: int, head: Head) -> int:
    """Enter a block that the index does not know. Returns its bytes, 0 if it is there already or its numbers are none."""
    try:
        summary = summarized(head)
        if filing.known(head) is not None:
            return 0
        filing.file(head, summary, number, offset)
    except (BadChunk, BadOption) as error:  # sound bytes of another maker
        dropping.note_damage(catalog, number, offset, head.block_bytes, str(error))
        return 0
    return head.block_bytes


def _rows(catalog: Catalog, table: str, number: int, start: int, everything: bool) -> list[tuple[int, int, str, int, int]]:
    """Offset, first, source, episode, sequence of the blocks of a segment that end behind `start`."""
    query = (
        f"SELECT segment, offset, first, name, episode, sequence, offset + nbytes FROM {table} "
        "CROSS JOIN sources ON sources.id = source"
    )
    if everything:
        found = catalog.database.execute(f"{query} WHERE segment = ? AND offset + nbytes > ?", (number, start))
        return [row[1:6] for row in found]
    rows: list[tuple[int, int, str, int, int]] = []
    for row in catalog.database.execute(f"{query} ORDER BY first DESC"):
        if row[0] < number or (row[0] == number and row[6] <= start):
            break  # older blocks lie before, or were moved to segments with higher numbers
        if row[0] == number:
            rows.append(row[1:6])
    return rows


def _opened(path: Path) -> Segment:
    segment = Segment.open(path, write=True)
    try:
        try:
            segment.check()
        except BadBlock as error:
            _log.warning("%s; it is written anew", error)
            segment.mend()
    except BaseException:
        segment.close()
        raise
    return segment


def _set_aside(path: Path) -> None:
    """A damaged index is kept beside the new one, for who wants to look."""
    if path.exists():
        path.replace(path.with_suffix(".damaged"))
    _remove_logs(path)


def _remove_logs(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _transaction(catalog: Catalog) -> Iterator[None]:
    catalog.begin()
    try:
        yield
        catalog.commit()
    except BaseException:
        catalog.rollback()
        raise
