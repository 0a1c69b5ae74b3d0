"""What the disk itself can do, and whether the page cache holds a file. It knows no buffer.

Eviction is fsync + POSIX_FADV_DONTNEED, which needs no privilege and touches nobody else's pages; `resident` proves it. Both
must run while no process maps the files.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

READ = 4 << 20  # bytes of one sequential read


def files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in files(folder))


def evict(paths: Iterable[Path]) -> float:
    """Drop files from the page cache; the share of their pages that stayed."""
    held = pages = 0
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            here, of = _resident(file.fileno())
        held, pages = held + here, pages + of
    return held / max(pages, 1)


def _resident(descriptor: int) -> tuple[int, int]:
    """Pages of a file in memory, and all its pages."""
    length = os.fstat(descriptor).st_size
    if not length:
        return 0, 0
    pages = -(-length // mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        flags = ctypes.create_string_buffer(pages)
        if libc.mincore(address, length, flags):
            raise OSError(ctypes.get_errno(), "mincore")
    finally:
        libc.munmap(address, length)
    return sum(flag & 1 for flag in flags.raw), pages


def read(paths: Sequence[Path], threads: int) -> float:
    """Bytes per second of reading whole files once, in order, by so many threads that share the ranges."""
    ranges = [(path, at) for path in paths for at in range(0, path.stat().st_size, READ)]
    parts = [ranges[len(ranges) * i // threads : len(ranges) * (i + 1) // threads] for i in range(threads)]
    start = perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(_read, parts))
    return total / (perf_counter() - start)


def _read(ranges: Sequence[tuple[Path, int]]) -> int:
    space, total, path, descriptor = bytearray(READ), 0, None, -1
    try:
        for name, at in ranges:
            if name != path:
                if descriptor >= 0:
                    os.close(descriptor)
                path, descriptor = name, os.open(name, os.O_RDONLY)
            total += os.preadv(descriptor, [space], at)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return total


def write(path: Path, pieces: Iterable[bytes]) -> float:
    """Bytes per second of appending pieces to a new file, each safe on disk before the next."""
    total, seconds = 0, 0.0
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        for piece in pieces:
            start = perf_counter()
            os.write(descriptor, piece)
            os.fdatasync(descriptor)
            seconds, total = seconds + perf_counter() - start, total + len(piece)
    finally:
        os.close(descriptor)
    return total / seconds
