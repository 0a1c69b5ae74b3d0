"""What waits to be sent, by lane. It knows no stream and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from user_gym.system.link.wire.fragments import NO_TRANSFER, Cut, Opening
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import Bytes, Message


class _Transfer:
    """A message on its way out."""

    def __init__(self, kind: Kind, pieces: Sequence[Bytes], transfer: bytes, offset: int) -> None:
        self.kind, self.pieces = kind, deque(pieces)
        self.total, self.transfer = sum(map(len, pieces)), transfer
        self.at, self.begun = 0, False
        if offset < self.total:
            self.take(offset)

    @property
    def left(self) -> int:
        """Bytes that are not taken yet."""
        return self.total - self.at

    def take(self, size: int) -> Sequence[Bytes]:
        """The next bytes, at most so many, where they lie."""
        if size >= self.left:
            taken = tuple(self.pieces)
            self.pieces.clear()
            self.at = self.total
            return taken
        cut: list[Bytes] = []
        self.at += size
        while size:
            piece = self.pieces.popleft()
            if len(piece) > size:
                self.pieces.appendleft(memoryview(piece)[size:])
                piece = memoryview(piece)[:size]
            cut.append(piece)
            size -= len(piece)
        return cut


class Outgoing:
    """Queues of one connection. Owned by one thread.

    Args:
        torn: transfer -> bytes of it that the other side kept from the connection before.
    """

    def __init__(self, torn: Mapping[bytes, int]) -> None:
        self._torn = dict(torn)
        self._queues: dict[Lane, deque[_Transfer]] = {lane: deque() for lane in Lane}
        self._nbytes = dict.fromkeys(Lane, 0)

    def put(self, message: Message, transfer: bytes = NO_TRANSFER, newest: bool = False) -> None:
        """Queue a message in the lane of its kind.

        Args:
            message: its arrays must not change until it is sent.
            transfer: 16 bytes that name these very bytes, so that the next connection can go on with them.
            newest: it takes the place of those of its kind before it in its lane of which nothing was sent yet.

        Raises:
            BadOption: it cannot be sent.
        """
        queue = self._queues[message.kind.lane]
        made = _Transfer(message.kind, message.pack(), transfer, self._torn.get(transfer, 0))
        for old in [old for old in queue if newest and old.kind is message.kind and not old.begun]:
            queue.remove(old)
            self._nbytes[message.kind.lane] -= old.left
        queue.append(made)
        self._nbytes[message.kind.lane] += made.left

    @property
    def first(self) -> Lane | None:
        """The lane whose turn it is; None: nothing waits."""
        return next((lane for lane, queue in self._queues.items() if queue), None)

    def waiting(self, lane: Lane) -> int:
        """Messages of a lane of which something is left."""
        return len(self._queues[lane])

    def nbytes(self, lane: Lane) -> int:
        """Bytes of a lane that wait."""
        return self._nbytes[lane]

    def take(self, lane: Lane, most: int) -> Cut:
        """The next fragment of a lane that is not empty, with so many bytes at most."""
        transfer = self._queues[lane][0]
        opening = None if transfer.begun else Opening(transfer.total, transfer.at, transfer.transfer)
        transfer.begun, at = True, transfer.at
        pieces = transfer.take(most)
        self._nbytes[lane] -= transfer.at - at
        last = not transfer.pieces
        if last:
            self._queues[lane].popleft()
        return Cut(lane, opening, last, pieces, transfer.at - at)
