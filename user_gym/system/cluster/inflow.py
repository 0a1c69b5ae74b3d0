"""Weights for a policy on another machine than the learner: a thread asks for what is new, and decodes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from user_gym.core import Weights
from user_gym.errors import PeerLost
from user_gym.system.weights import Held, LinkRate, Receiver

_PAUSE = 0.1  # s between two questions, one control step: a call costs 3 ms of the owner's machine, for each robot

Fetch = Callable[[Held | None, float | None], tuple[bytes | None, float]]  # as `Gate.weights`; raises PeerLost


class Inflow:
    """A `Subscriber`; its thread runs from `__enter__` to `__exit__`. While nobody answers, what is held stays the newest.

    Args:
        fetch: asks for what is missing.
        pause: s between two questions.
    """

    def __init__(self, fetch: Fetch, pause: float = _PAUSE) -> None:
        self._fetch, self._pause = fetch, pause
        self._receiver, self._rate = Receiver(), LinkRate()
        self._closing = Event()
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name="inflow", daemon=True)

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`. Raises what is wrong with the weights that came."""
        if self._failure is not None:
            raise self._failure
        return self._receiver.newest(than)

    def _run(self) -> None:
        try:
            while not self._closing.wait(self._pause):
                self._look()
        except Exception as error:  # top of this thread: raised in the one that acts
            self._failure = error

    def _look(self) -> None:
        began = time.perf_counter()
        try:
            blob, made = self._fetch(self._receiver.held, self._rate.value)
        except PeerLost:
            return
        if blob is not None:
            self._rate.measure(len(blob), max(0.0, time.perf_counter() - began - made))
            self._receiver.apply(blob)

    def __enter__(self) -> Inflow:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._thread.join()
