"""The owner of the buffer as the run's hub sees it: a `Store`, in another process, which may die and come back.

What an edge brought is acknowledged when the owner has it; while there is none, edges keep it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from user_gym.core import Acknowledgement
from user_gym.errors import BadChunk, NoSpace, PeerLost
from user_gym.system.buffer.block import Block
from user_gym.system.link.hub import Room
from user_gym.system.processes.caller import SocketCaller

_POLL = 0.5  # s that the owner is asked to wait until robots may go on
_LOOK = 0.1  # s between two questions while they may
_AGAIN = 0.1  # s until a lost owner is asked again


class OwnerStore:
    """As `link.hub.Store`; a thread of its own asks how much may come. Thread-safe.

    Args:
        path: of the owner's socket.

    Attributes:
        changed: called when robots that wait may go on, or when the run has enough.
        enough: whether the run has all its steps.
        ready: set once it is known what the run's robots see and do.
    """

    def __init__(self, path: Path) -> None:
        self._asking, self._storing, self._waiting = (_Line(path) for _ in range(3))
        self.changed: Callable[[], None] = lambda: None
        self._robots, self._share = 0, -1
        self._closing = Event()
        self._thread = Thread(target=self._run, name="owner-room", daemon=True)
        self._failure: Exception | None = None
        self.enough, self.ready = False, Event()

    def open(self) -> OwnerStore:
        """Begin to ask."""
        self._thread.start()
        return self

    @property
    def failure(self) -> Exception | None:
        """What ended the thread, if not `close`."""
        return self._failure

    def unfit(self, source: str, form: str) -> str:
        """As `Store.unfit`. Raises PeerLost while there is no owner, or it does not know yet."""
        answer = self._ask(self._asking, "unfit", source=source, form=form)
        if not answer["ready"]:
            raise PeerLost("what this run's robots see and do is not known yet")
        return str(answer["why"])

    def newest(self, source: str) -> tuple[int, int] | None:
        """As `Store.newest`. Raises PeerLost while there is no owner."""
        found = self._ask(self._asking, "newest", source=source)["newest"]
        return None if found is None else (found[0], found[1])

    def extend(self, blocks: Sequence[Block]) -> list[Acknowledgement]:
        """As `Store.extend`; again and again while there is no owner. Raises PeerLost after `close`."""
        sizes, data = [len(block.data) for block in blocks], b"".join(block.data for block in blocks)
        while True:
            try:
                answer = self._ask(self._storing, "blocks", data, sizes=sizes)
                break
            except PeerLost:
                if self._closing.wait(_AGAIN):
                    raise
        if "refused" in answer:
            raise BadChunk(answer["refused"])
        if "full" in answer:
            raise NoSpace(answer["full"])
        return [Acknowledgement(*one) for one in answer["stored"]]

    def room(self, robots: int) -> Room:
        """As `Store.room`, as the owner said last."""
        self._robots = robots
        return Room(self._share, self.enough)

    def absent(self, source: str) -> None:
        """A robot does not come any more, and the run has enough. Raises PeerLost."""
        self._asking.call({"ask": "absent", "name": source})

    def close(self) -> None:
        """May be called twice."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        for line in (self._asking, self._storing, self._waiting):
            line.close()

    def _run(self) -> None:
        try:
            while not self._closing.wait(_LOOK if self._share >= 0 else 0.0):
                try:
                    answer = self._ask(self._waiting, "room", wait=_POLL if self._share < 0 else 0.0)
                except PeerLost:
                    time.sleep(_AGAIN)
                    continue
                if answer["ready"]:
                    self.ready.set()
        except Exception as error:  # top of this thread: raised by the hub's process
            self._failure = error

    def _ask(self, line: _Line, what: str, data: bytes = b"", **words: Any) -> dict[str, Any]:
        answer = line.call({"ask": "edges", "what": what, "robots": self._robots, "wait": 0.0, **words}, data)
        if "room" in answer:
            waited, before = self._share < 0, self.enough
            self._share, self.enough = answer["room"], before or answer["enough"]
            if (waited and self._share >= 0) or self.enough != before:
                self.changed()
        return answer


class _Line:
    """One connection that several threads use in turn."""

    def __init__(self, path: Path) -> None:
        self._caller, self._lock = SocketCaller(path), Lock()

    def call(self, words: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        with self._lock:
            return self._caller.call(words, data)

    def close(self) -> None:
        with self._lock:
            self._caller.close()
