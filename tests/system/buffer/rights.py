"""File modes bind root too, inside `bound`: this thread is then without the capabilities that pass over them."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522  # linux/capability.h: two words of each set
_PASS_OVER = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def bound() -> Iterator[None]:
    """Inside, what may not be read or written by its mode cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)  # 0: the calling thread
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    _called(libc.capget(header, words))
    before = words[0]
    words[0] = before & ~_PASS_OVER
    _called(libc.capset(header, words))
    try:
        yield
    finally:
        words[0] = before
        _called(libc.capset(header, words))


def _called(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
