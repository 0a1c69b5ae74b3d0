"""Who is inside while something ends: calls are let in until it closes, and those inside are waited for. It knows no files."""

from __future__ import annotations

from threading import Event, Lock

from user_gym.errors import Closed

_WAIT = 60.0  # s that `close` waits for calls inside; one that hangs in a disk longer finds its files closed


class Gate:
    """Thread-safe: `with gate:` around each call, also inside of one another.

    Args:
        what: is closed, for the error.
    """

    def __init__(self, what: str) -> None:
        self._what, self._inside, self._closed = what, 0, False
        self._lock, self._left = Lock(), Event()

    def __enter__(self) -> None:
        with self._lock:
            if self._closed:
                self.check()
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._closed and not self._inside:
                self._left.set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is inside."""
        return not self._inside

    def check(self) -> None:
        """Raise Closed once `close` was called."""
        if self._closed:
            raise Closed(f"{self._what} is closed; open it again")

    def close(self) -> bool:
        """Let nobody in any more, and wait until nobody is inside. Whether this was the first call."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
            if not self._inside:
                return True
        self._left.wait(_WAIT)
        return True
