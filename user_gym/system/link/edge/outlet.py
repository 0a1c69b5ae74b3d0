"""A collector's way to the hub: chunks are encoded and put into the spool, and the robot waits only where it has to.

The robot goes on while the network is gone, as long as the spool has room and the hub's last word on the ratio of updates to
steps allows it. It knows no network.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition, Event, Thread

from user_gym.core import Chunk
from user_gym.errors import BadChunk, Closed, NoSpace
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.costs import Costs
from user_gym.system.link.edge.spool import Spool
from user_gym.system.link.identity import names
from user_gym.system.link.wire.lanes import FROM_EDGE, Lane

_CAPACITY = 64  # chunks that wait to be encoded; as many seconds of a robot, at least
_MOST = FROM_EDGE[Lane.EXPERIENCE] - (1 << 12)  # bytes of a block, in a message with its words
_GLANCE = 0.1  # s; the longest that a change goes unnoticed
_AGAIN = 1.0  # s until a full disk is tried again
_log = logging.getLogger(__name__)


class Outlet:
    """As `Outlet` and `Permission` of any number of `Collector`s of one edge. Thread-safe.

    Args:
        edge: its name.
        spool: takes the blocks.
        lossy: as of `Encoder`.
        zstd: as of `Encoder`.
        spooled: called when there is something to send, on this object's thread.

    Attributes:
        enough: whether the hub needs no more steps.
        full: why the spool's disk takes nothing; "" when it does.
        costs: bytes of what travels, by column.
    """

    def __init__(
        self, edge: str, spool: Spool, lossy: Mapping[str, int] | None, zstd: bool, spooled: Callable[[], None]
    ) -> None:
        self._edge, self._spool, self._lossy, self._zstd, self._spooled = edge, spool, dict(lossy or {}), zstd, spooled
        self._encoders: dict[str, Encoder] = {}
        self._changed = Condition()
        self._queue: deque[Chunk] = deque()
        self._queued = 0  # steps that are not in the spool yet
        self._room = -1
        self._failure: Exception | None = None
        self._closing = Event()
        self._thread = Thread(target=self._run, name="edge-spool", daemon=True)
        self.enough, self.full = False, ""
        self.costs = Costs()

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, item: Chunk, stop: Event | None = None) -> None:
        """Take a chunk of one of this edge's robots, whose source is "EDGE/ROBOT". Waits while too many wait for the disk.

        Args:
            item: the next of its robot.
            stop: once it is set nothing is waited for: what a robot has when it ends is taken, too.

        Raises:
            Closed: after close.
            BadChunk: it is not this edge's, or the hub refused an earlier one.
        """
        if names.owner(item.source) != self._edge:
            raise BadChunk(
                f"a chunk of {item.source!r}; allowed: {names.source(self._edge, 'ROBOT')!r}, as identity.names says"
            )
        with self._changed:
            self._wait(lambda: len(self._queue) < _CAPACITY, stop)
            if self._closing.is_set():
                raise Closed("the edge is closed; nothing more can be put")
            self._queue.append(item)
            self._queued += len(item)
            self._changed.notify_all()

    def insert(self, n: int, stop: Event | None = None) -> None:
        """Wait until the next steps may follow. Raises Closed when the hub has enough, after close, or once `stop` is set."""
        with self._changed:
            self._wait(lambda: self.enough or (self._room >= 0 and self.under_way <= self._room), stop)
            if self.enough:
                raise Closed("the hub has all the steps it needs")
            if self._closing.is_set() or (stop is not None and stop.is_set()):
                raise Closed("the robot is to end, or the edge is closed")

    @property
    def under_way(self) -> int:
        """Steps that are not acknowledged."""
        return self._queued + self._spool.steps

    def allow(self, room: int, enough: bool) -> None:
        """The hub's word on how much may come."""
        with self._changed:
            self._room, self.enough = room, enough
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """What collectors get from now on."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def close(self) -> None:
        """Everything that was put is in the spool when this returns, beyond its bound if need be, unless its disk is full.

        What is lost is said. May be called twice.
        """
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _wait(self, ready: Callable[[], bool], stop: Event | None) -> None:
        """With the lock held. Raises why nothing goes on."""
        while not (self._failure is not None or self._closing.is_set() or ready() or (stop is not None and stop.is_set())):
            self._changed.wait(_GLANCE)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (chunk := self._next()) is not None:
            try:
                self._keep(chunk)
            except Exception as error:  # top of this thread: raised in the collectors; what else they have put may be sound
                _log.error("%d steps of %s are lost: %s", len(chunk), chunk.source, error)
                self.fail(error)

    def _next(self) -> Chunk | None:
        """The oldest chunk, waiting for one; None: there will be no more."""
        with self._changed:
            while not (self._queue or self._closing.is_set()):
                self._changed.wait(_GLANCE)
            if not self._queue:
                return None
            self._changed.notify_all()
            return self._queue.popleft()

    def _keep(self, chunk: Chunk) -> None:
        encoder = self._encoders.setdefault(chunk.source, Encoder(lossy=self._lossy, zstd=self._zstd))
        # A builder's chunk begins with the observation that the episode's chunk before ended with.
        block = encoder.encode(chunk, follows=chunk.sequence > 0)
        if len(block.data) > _MOST:
            raise BadChunk(
                f"a chunk of {chunk.source!r} has {len(block.data)} bytes; allowed: {_MOST}; make its chunks shorter"
            )
        while True:
            closing = self._closing.is_set()
            try:
                self._spool.append(block, _GLANCE, beyond=closing)
                break
            except TimeoutError:  # full: robots wait
                continue
            except NoSpace as error:
                if closing:
                    raise
                if not self.full:
                    _log.error("robots hold until there is room: %s", error)
                self.full = str(error)
                self._closing.wait(_AGAIN)
        self.full = ""
        self.costs.add(block)
        with self._changed:
            self._queued -= len(chunk)
        self._spooled()
