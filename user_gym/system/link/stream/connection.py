"""One connection while it lasts: sends what has the highest right first, puts together what comes, and notices a dead peer.

It knows no gRPC, no edge and no hub. All of it runs on the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Protocol

from user_gym.errors import PeerLost
from user_gym.system.link.stream.outgoing import Outgoing
from user_gym.system.link.stream.pace import Pace
from user_gym.system.link.stream.piece import Piece
from user_gym.system.link.stream.race import race
from user_gym.system.link.stream.window import LEAST, TARGET, Window
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import NO_TRANSFER, Cut, Fragment, Note, Parcel, Sort
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import Message

PATIENCE = 5.0  # s without a sign of life until a connection counts as lost
_BEATS = 10  # looks in that time whether the other side was heard, and pings where it was not
# Bulk that came is said to have come after so many bytes, or after so many s where nothing else is written meanwhile that
# it could ride on: each write costs more than its bytes. Half of the least window, and a part of the delay it aims at.
_SAY, _HOLD = LEAST // 2, 0.4 * TARGET
_MOST_URGENT = 1 << 27  # bytes of one lane that is no bulk: twice its largest message
_LAST = 0.5  # s that the other side may take to hear that this one leaves: it notices without that, only later
_EMPTY: Mapping[bytes, int] = {}


class Stream(Protocol):
    """Messages of bytes in both directions, in order, each whole. One reads and one writes at a time."""

    async def read(self) -> bytes:
        """The next one. Raises PeerLost, NotAdmitted."""
        ...

    async def write(self, data: bytes) -> None:
        """Send one; returns when there is room for the next. Raises PeerLost, NotAdmitted."""
        ...


class Connection:
    """Over a stream on which both sides know each other already.

    Args:
        stream: not used by anybody else from now on.
        assembly: of the other side; what it holds open is resumable afterwards.
        deliver: takes each message that came; nothing more is read until it is done.
        torn: what the other side kept of transfers; see `Outgoing`.
        rate: bytes per second of bulk sent; None: as many as the link takes.
        raw_rate: bytes per second of the lane RAW sent, within `rate`; None: what the lanes above it leave.
        most_rate: bytes per second read, whatever is sent; None: no limit.
        patience: s without a sign of life until the other side counts as lost.

    Attributes:
        sent: bytes of fragments given to the stream.
        received: bytes of fragments that came.
        round_trip: s of the latest ping; None before the first came back.
    """

    def __init__(
        self,
        stream: Stream,
        assembly: Assembly,
        deliver: Callable[[Message], Awaitable[None]],
        *,
        torn: Mapping[bytes, int] = _EMPTY,
        rate: float | None = None,
        raw_rate: float | None = None,
        most_rate: float | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._stream, self._assembly, self._deliver, self._patience = stream, assembly, deliver, patience
        self._outgoing, self._window, self._piece = Outgoing(torn), Window(), Piece()
        self._pace, self._raw_pace, self._most_pace = Pace(rate), Pace(raw_rate), Pace(most_rate)
        self._notes: deque[Note] = deque()
        self._wake = asyncio.Event()
        self._bulk_received = self._bulk_said = 0  # bytes
        self._saying: asyncio.TimerHandle | None = None
        self._heard = time.monotonic()
        self._over = asyncio.Event()
        self._leaving, self._ended = False, asyncio.Event()
        self._given_up: PeerLost | None = None
        self.sent = self.received = 0
        self.round_trip: float | None = None

    def send(self, message: Message, transfer: bytes = NO_TRANSFER, newest: bool = False) -> None:
        """As `Outgoing.put`; it waits for nothing. On a connection that is over nothing happens.

        What is bulk waits for the other side's word, and who sends it knows how much that may be. All else is small, but of
        one that says it lives and reads nothing it would fill the memory: such a connection is lost.
        """
        self._outgoing.put(message, transfer, newest)
        lane = message.kind.lane
        if not lane.is_bulk and self._outgoing.nbytes(lane) > _MOST_URGENT and self._given_up is None:
            waiting = self._outgoing.nbytes(lane)
            self._given_up = PeerLost(f"it does not read: {waiting} bytes of {lane.name} wait; allowed: {_MOST_URGENT}")
            self._over.set()
        self._wake.set()

    def waiting(self, lane: Lane) -> int:
        """Messages of a lane that are not wholly sent."""
        return self._outgoing.waiting(lane)

    async def run(self) -> None:
        """Until it is over: returns after `close`, raises PeerLost, NotAdmitted or BadBlock otherwise."""
        self._heard = time.monotonic()
        try:
            await race(self._read(), self._write(), self._beat(), self._over.wait())
            if self._given_up is not None:
                raise self._given_up
        except PeerLost:
            if not self._leaving:
                raise
        finally:
            if self._saying is not None:
                self._saying.cancel()
            self._ended.set()
            self._assembly.tear()

    async def leave(self, goodbye: Message) -> None:
        """Send a last message, and end `run` as soon as the other side has ended its own for it, or after a moment."""
        self._leaving = True
        self.send(goodbye)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _LAST)
        self.close()

    def close(self) -> None:
        """End `run`."""
        self._over.set()

    async def _read(self) -> None:
        while True:
            data = await self._stream.read()
            self._heard = time.monotonic()
            self.received += len(data)
            self._most_pace.spend(len(data))
            notes, fragment = Parcel.parse(data)
            for note in notes:
                self._noted(note)
            if fragment is not None:
                await self._take(fragment)
            while wait := self._most_pace.wait():
                await asyncio.sleep(min(wait, self._patience / 2))
                self._heard = time.monotonic()  # it is this side that does not listen

    async def _take(self, fragment: Fragment) -> None:
        whole = self._assembly.add(fragment)
        if fragment.lane.is_bulk:
            self._bulk_received += len(fragment.data)
            if self._bulk_received - self._bulk_said >= _SAY:
                self._say_seen()
            elif self._saying is None:
                self._saying = asyncio.get_running_loop().call_later(_HOLD, self._say_seen)
        if whole is not None:
            await self._deliver(Message.parse(whole))

    def _say_seen(self) -> None:
        """How many bytes of bulk have come, if the other side does not know."""
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        if self._bulk_said < self._bulk_received:
            self._bulk_said = self._bulk_received
            self._note(Sort.SEEN, self._bulk_received)

    async def _write(self) -> None:
        while True:
            self._wake.clear()
            data = self._next()
            if isinstance(data, bytes):
                self.sent += len(data)
                begun = time.monotonic()
                await self._stream.write(data)
                self._piece.wrote(len(data), time.monotonic() - begun)
                continue
            if data is None:
                await self._wake.wait()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), data)

    def _next(self) -> bytes | float | None:
        """What is to be written now; or s until something may be; or None: not before something happens."""
        fragment = self._next_fragment()
        if isinstance(fragment, Cut):
            self._say_seen()  # it costs nothing on this way
        notes = b"".join([note.pack() for note in self._notes])
        self._notes.clear()
        if isinstance(fragment, Cut):
            return fragment.pack(notes)
        return notes or fragment

    def _next_fragment(self) -> Cut | float | None:
        lane = self._outgoing.first
        if lane is None:
            return None
        if not lane.is_bulk:
            return self._outgoing.take(lane, self._piece.size)
        size = self._window.fragment
        if not size:
            return None
        paces = (self._pace, self._raw_pace) if lane is Lane.RAW else (self._pace,)
        if wait := max(pace.wait() for pace in paces):
            return wait
        fragment = self._outgoing.take(lane, size)
        self._window.sent(fragment.nbytes)
        for pace in paces:
            pace.spend(fragment.nbytes)
        return fragment

    async def _beat(self) -> None:
        for beat in count():
            silent = time.monotonic() - self._heard
            # Who is heard need not be asked, except for the round trip now and then.
            if beat % _BEATS == 0 or silent > self._patience / _BEATS:
                self._note(Sort.PING, time.monotonic_ns())
            await asyncio.sleep(self._patience / _BEATS)
            silent = time.monotonic() - self._heard
            if silent > self._patience:
                raise PeerLost(f"nothing heard for {silent:.1f} s; allowed: {self._patience} s")

    def _noted(self, note: Note) -> None:
        if note.sort is Sort.SEEN:
            self._window.seen(note.number)
            self._wake.set()
        elif note.sort is Sort.PING:
            self._note(Sort.PONG, note.number)
        else:
            self.round_trip = (time.monotonic_ns() - note.number) / 1e9

    def _note(self, sort: Sort, number: int) -> None:
        """Queue one; a newer one says all that an older one of its sort said."""
        for old in [old for old in self._notes if old.sort is sort]:
            self._notes.remove(old)
        self._notes.append(Note(sort, number))
        self._wake.set()
