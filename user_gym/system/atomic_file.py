"""A file appears whole or not at all, also after a kill or a power cut. It knows no run and no folder's layout.

What is new is written beside the old, as NAME.tmp, and takes its place in one step. One process at a time writes a file.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from user_gym.errors import NoSpace, Unwritable
from user_gym.system.buffer.files import sync

_FULL, _REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the disk says becomes an error that names the file and the cure: NoSpace, Unwritable."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"no room for {path}: {error}; free some, and the run can go on") from error
        if error.errno in _REFUSED:
            cure = "give this user the right to, or choose another folder"
            raise Unwritable(f"{path} may not be written: {error}; {cure}") from error
        raise


def write_aside(path: Path, write: Callable[[Path], object], durable: bool = True) -> None:
    """Let `write` fill a file that then takes the place of `path` in one step. Raises NoSpace, Unwritable: `path` is as it was.

    Args:
        path: to be replaced, or new.
        write: fills the file it is given.
        durable: once this returns, the file survives a power cut under its name; else a power cut may leave an older one.
    """
    aside = path.with_name(f"{path.name}.tmp")
    with explained(path):
        try:
            write(aside)
            if durable:
                sync(aside)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)  # a full disk needs the room
        if durable:
            sync(path.parent)  # a name belongs to its folder


def write_json(path: Path, value: Any, durable: bool = True, before: Path | None = None) -> None:
    """Write a JSON file in one step, as `write_aside`.

    Args:
        path: to be replaced, or new.
        value: goes into it.
        durable: as of `write_aside`.
        before: takes what `path` was, in one step too, and first; where there is no room for both, it is as it was as well.
    """

    def write(aside: Path) -> None:
        aside.write_text(json.dumps(value, indent=1) + "\n")
        if before is not None and path.exists():
            if durable:
                sync(aside)  # what may find no room is done by now
            write_aside(before, lambda older: older.write_bytes(path.read_bytes()), durable)

    write_aside(path, write, durable)


def read_json(path: Path) -> Any:
    """What a file says that `write_json` wrote; None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
