"""Room kept free for the day when the disk is full: even leaving needs some, for what SQLite writes about it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAME = "reserve"
SIZE = 8 << 20  # bytes: SQLite's log grows to 4 MB before it is used anew, by a transaction more
_PLENTY = 8  # times its size: what has to be free before it is taken


def take(folder: Path) -> None:
    """Reserve the room, if it is not yet and the disk has plenty."""
    path = folder / NAME
    if path.exists() or shutil.disk_usage(folder).free < _PLENTY * SIZE:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    finally:
        os.close(descriptor)


def give(folder: Path) -> bool:
    """Let go of it. Whether there was any."""
    path = folder / NAME
    if not path.exists():
        return False
    path.unlink()
    return True
