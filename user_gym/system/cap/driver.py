"""cuMemcpyBatchAsync by ctypes: a copy within one GPU that prefers the copy engine. It knows the driver's library, no torch.

`cudaMemcpyAsync` within a device runs on multiprocessors. A batch of one whose attribute says PREFER_OVERLAP_WITH_COMPUTE is
a hint to leave them alone (cuda.h 13.1, cuMemcpyBatchAsync). The first version of the function (CUDA 12.8) has a parameter more
than the second (13.0). Memory that is neither managed nor foreign needs no location hints.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

from user_gym.errors import MissingSystem

IN_STREAM_ORDER = 1  # CU_MEMCPY_SRC_ACCESS_ORDER_STREAM
PREFER_OVERLAP = 1  # CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE


class Location(Structure):
    """CUmemLocation; zeros are no hint."""

    _fields_ = (("kind", c_int), ("id", c_int))


class Attributes(Structure):
    """CUmemcpyAttributes."""

    _fields_ = (("order", c_int), ("source_hint", Location), ("target_hint", Location), ("flags", c_uint))


Overlap = Callable[[int, int, int, int], None]


def overlapped_copy(library: str = "libcuda.so.1") -> Overlap:
    """A function of target, source, bytes and stream (addresses as numbers) that enqueues such a copy.

    The caller's thread has the device's context; the stream is not the default one. Raises MissingSystem without a driver of
    CUDA 12.8 or later; the function raises it when the driver refuses.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise MissingSystem(f"no CUDA driver: {error}; install NVIDIA's driver 570 or later") from None
    second = hasattr(driver, "cuMemcpyBatchAsync_v2")
    if not second and not hasattr(driver, "cuMemcpyBatchAsync"):
        raise MissingSystem("this CUDA driver has no cuMemcpyBatchAsync; it comes with CUDA 12.8: driver 570 or later")
    batch = driver.cuMemcpyBatchAsync_v2 if second else driver.cuMemcpyBatchAsync
    failed = () if second else (POINTER(c_size_t),)
    batch.restype = c_int
    batch.argtypes = (
        POINTER(c_uint64), POINTER(c_uint64), POINTER(c_size_t), c_size_t,
        POINTER(Attributes), POINTER(c_size_t), c_size_t, *failed, c_void_p,
    )  # fmt: skip
    attributes = Attributes(order=IN_STREAM_ORDER, flags=PREFER_OVERLAP)

    def enqueue(target: int, source: int, count: int, stream: int) -> None:
        first = c_size_t(0)
        more = () if second else (byref(c_size_t(0)),)
        code = batch(
            byref(c_uint64(target)), byref(c_uint64(source)), byref(c_size_t(count)), 1,
            byref(attributes), byref(first), 1, *more, stream,
        )  # fmt: skip
        if code:
            raise MissingSystem(f"cuMemcpyBatchAsync failed with CUresult {code} for {count} bytes")

    return enqueue
