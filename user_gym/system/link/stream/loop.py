"""The one thread of a process on which everything of the link runs that waits for a network.

gRPC's asyncio objects live on the loop that made them, and several loops in one process disturb each other's wake-ups, so all
links of a process share one. It begins with the first that borrows it, and ends with the last that gives it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

_lock = Lock()


class Loop:
    """Borrowed with `borrow`, given back with `give_back`. Thread-safe, except where it says otherwise."""

    _shared: Loop | None = None
    _borrowers = 0

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = Event()
        self._thread = Thread(target=self._run, name="link-loop", daemon=True)

    @classmethod
    def borrow(cls) -> Loop:
        """The process's loop, running."""
        with _lock:
            if cls._shared is None:
                cls._shared = cls()
                cls._shared._thread.start()
                cls._shared._ready.wait()
            cls._borrowers += 1
            return cls._shared

    def give_back(self) -> None:
        """Once for each `borrow`, and not on the loop's own thread; the last ends the thread."""
        with _lock:
            Loop._borrowers -= 1
            if Loop._borrowers == 0:
                Loop._shared = None
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()

    def start(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Let it run."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let it run until `end`."""

        async def begin() -> asyncio.Task[Any]:
            return asyncio.ensure_future(coroutine)

        return self.start(begin()).result()

    def end(self, task: asyncio.Task[Any]) -> None:
        """Cancel what `spawn` began, and wait for it."""

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.start(stop()).result()

    def soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call something on the loop's thread; nobody waits."""
        self._loop.call_soon_threadsafe(call, *arguments)

    def soon_each(self, calls: Sequence[Callable[[], object]]) -> None:
        """As `soon`, of several that cost one wake-up together; where one raises, the others are called all the same."""
        self._loop.call_soon_threadsafe(self._each, calls)

    def _each(self, calls: Sequence[Callable[[], object]]) -> None:
        for call in calls:
            self._loop.call_soon(call)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
