"""Segments move between disks: a cold tier is a folder on another path. Numbers and blocks stay what they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from user_gym.errors import BadOption
from user_gym.system.buffer.files import HERE, name, sync
from user_gym.system.buffer.writer import explained
from user_gym.system.buffer.writing import Writing


def coldest(writing: Writing, keep_bytes: int) -> list[int]:
    """The oldest segments that have to leave the store's own disk so that no more than this stays there."""
    active = writing.active()
    with writing.transaction() as catalog:
        query = "SELECT id, bytes FROM segments WHERE place = ? AND state = 'live' ORDER BY id DESC"
        rows = catalog.database.execute(query, (HERE,)).fetchall()
    leaving: list[int] = []
    held = 0
    for number, size in rows:
        held += size
        if held > keep_bytes and number not in active:
            leaving.append(number)
    return leaving[::-1]


def move(writing: Writing, numbers: Iterable[int], folder: Path) -> int:
    """Move segments to a folder of their own store, on whatever disk. Returns their bytes.

    The copy is complete before the index names it, and the old file goes after that; so a kill leaves one or both.

    Raises:
        BadOption: there is another file of this name in the folder.
        NoSpace: the other disk is full; what moved before stays there.
    """
    with writing.upkeep, explained(folder):
        return _move(writing, numbers, folder)


def _move(writing: Writing, numbers: Iterable[int], folder: Path) -> int:
    files, moved = writing.files, 0
    place = files.place(folder)
    for number in numbers:
        old, new = files.path(number), files.places[place] / name(number)
        if old == new:
            continue
        if new.exists() and new.stat().st_size > old.stat().st_size:
            raise BadOption("cold folder", str(folder), "a folder for this buffer alone", f"{new} is there already")
        part = new.with_suffix(".part")
        shutil.copyfile(old, part)  # appends go on: to other segments, and `upkeep` keeps everybody else from this one
        sync(part)
        part.replace(new)
        files.sync_folder(place)
        with writing.transaction() as catalog:
            catalog.database.execute("UPDATE segments SET place = ? WHERE id = ?", (place, number))
        files.put({number: place})
        writing.sync()
        moved += old.stat().st_size
        old.unlink()
    return moved
