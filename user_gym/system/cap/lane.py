"""A CUDA stream beside the caller's, with few pieces in flight: a new limit waits for those only. Importing it needs torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch

IN_FLIGHT = 2  # pieces: the next one is enqueued while the device is at this one


class Lane:
    """Work of one device in order, beside everything else there. One owner.

    The stream has the lowest priority: inference on a stream with `priority=-1` gets its multiprocessors first.

    Args:
        device: a CUDA device; a CPU has no streams, and its pieces run at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ends: deque[torch.cuda.Event] = deque()

    @property
    def handle(self) -> int:
        """The cudaStream_t as a number."""
        return self._stream.cuda_stream if self._stream else 0

    def follow(self) -> None:
        """Begin behind all that is enqueued on the caller's current stream by now."""
        if self._stream:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))

    @contextmanager
    def piece(self) -> Iterator[None]:
        """What is enqueued inside is a piece; leaving waits while too many are in flight."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
            end = torch.cuda.Event(blocking=True)  # the thread sleeps while it waits, and the interpreter is free
            end.record()
        self._ends.append(end)
        while len(self._ends) > IN_FLIGHT:
            self._ends.popleft().synchronize()

    def drain(self) -> None:
        """Wait for all pieces."""
        while self._ends:
            self._ends.popleft().synchronize()
