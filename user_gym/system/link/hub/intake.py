"""Blocks of all edges go into the store: one commit for those that came meanwhile, and only then are they acknowledged.

A thread of its own, for a commit waits for the disk. It knows no connection.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

from user_gym.core import Acknowledgement
from user_gym.errors import BadBlock, BadChunk, NoSpace
from user_gym.system.buffer.block import Block
from user_gym.system.link import brought as foreign
from user_gym.system.link.hub.store import Store
from user_gym.system.link.identity import names
from user_gym.system.link.wire.words import Key

_MOST_BLOCKS, _MOST_BYTES = 256, 1 << 26  # of one commit
_PACE = 0.01  # s from one commit to the next: what comes meanwhile shares it, for it costs hardly more than one block's
_AGAIN = 1.0  # s until a full disk is tried again
_log = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What became of a block."""

    key: Key | None  # None: its bytes do not say
    refused: str  # why it will never be stored; "" where it is
    answer: Acknowledgement | None  # of the store
    nbytes: int


Done = Callable[[Sequence[Verdict]], None]


Tell = Callable[[Sequence[Callable[[], None]]], None]


def _at_once(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()


class _Brought(NamedTuple):
    edge: str
    group: str
    data: bytes
    done: Done
    refused: str


class Intake:
    """From `open` to `close`.

    Args:
        store: takes the blocks.

    Attributes:
        full: why the store's disk takes nothing; "" when it does.
        failure: what ended the thread, if not `close`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: SimpleQueue[_Brought | None] = SimpleQueue()
        self._closing, self._tell = Event(), _at_once
        self._thread = Thread(target=self._run, name="hub-intake", daemon=True)
        self.full = ""
        self.failure: Exception | None = None

    def open(self, tell: Tell = _at_once) -> None:
        """Begin.

        Args:
            tell: calls all that have to be told of a commit; it is called on this object's thread.
        """
        self._tell = tell
        self._thread.start()

    def submit(self, edge: str, group: str, data: bytes, done: Done, refused: str = "") -> None:
        """A block came. `done` is called as `open` was told, with all verdicts of one commit that it is given for.

        Args:
            edge: that brought it.
            group: that its blocks have to be of.
            data: its bytes.
            done: takes the verdict.
            refused: why it is not taken, whatever is in it; "" where it may be.
        """
        self._queue.put(_Brought(edge, group, data, done, refused))

    def close(self) -> None:
        """What was not stored is not acknowledged: the edges have it. May be called twice."""
        self._closing.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            due = 0.0  # s, monotonic
            while (first := self._queue.get()) is not None and not self._closing.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + _PACE
                self._take([first, *self._more(len(first.data))])
        except Exception as error:  # top of this thread: raised by the hub
            self.failure = error

    def _more(self, nbytes: int) -> list[_Brought]:
        """What else came meanwhile."""
        more: list[_Brought] = []
        while len(more) + 1 < _MOST_BLOCKS and nbytes < _MOST_BYTES:
            try:
                brought = self._queue.get_nowait()
            except Empty:
                break
            if brought is None:
                self._queue.put(None)
                break
            more.append(brought)
            nbytes += len(brought.data)
        return more

    def _take(self, batch: Sequence[_Brought]) -> None:
        verdicts: dict[Done, list[Verdict]] = defaultdict(list)
        sound: list[tuple[Done, Block]] = []
        for brought in batch:
            try:
                sound.append((brought.done, _read(brought)))
            except _Refused as refused:
                verdicts[brought.done].append(Verdict(refused.key, refused.why, None, len(brought.data)))
        for (done, block), verdict in zip(sound, self._stored([block for _, block in sound]), strict=True):
            verdicts[done].append(Verdict(Key.of(block.head), *verdict, len(block.data)))
        if not self._closing.is_set():
            self._tell([partial(done, given) for done, given in verdicts.items()])

    def _stored(self, blocks: Sequence[Block]) -> list[tuple[str, Acknowledgement | None]]:
        """Together, or where one is refused each by itself, so that it does not take the others with it."""
        if not blocks:
            return []
        try:
            return [("", answer) for answer in self._tried(blocks)]
        except (BadChunk, BadBlock) as error:
            if len(blocks) == 1:
                return [(str(error), None)]
        return [verdict for block in blocks for verdict in self._stored([block])]

    def _tried(self, blocks: Sequence[Block]) -> list[Acknowledgement]:
        """Again and again while the disk is full: the edges hold what is not acknowledged."""
        while True:
            try:
                answers = self._store.extend(blocks)
                if self.full:
                    _log.info("there is room again")
                self.full = ""
                return answers
            except NoSpace as error:
                if not self.full:
                    _log.error("edges hold their data until there is room: %s", error)
                self.full = str(error)
                if self._closing.wait(_AGAIN):
                    raise


class _Refused(Exception):
    def __init__(self, key: Key | None, why: str) -> None:
        super().__init__(why)
        self.key, self.why = key, why


def _read(brought: _Brought) -> Block:
    """The block, every byte of it checked, and only if it is the edge's own."""
    try:
        block = foreign.block(brought.data)
    except BadBlock as error:
        raise _Refused(None, str(error)) from error
    if brought.refused:
        raise _Refused(Key.of(block.head), brought.refused)
    edge, _, robot = block.head.source.partition("/")
    if edge != brought.edge or not names.is_name(robot):
        allowed = f"{names.source(brought.edge, 'ROBOT')!r}: an edge brings its own data"
        raise _Refused(Key.of(block.head), f"source {block.head.source!r}; allowed: {allowed}")
    if block.head.group != brought.group:
        raise _Refused(Key.of(block.head), f"a block of group {block.head.group!r}; allowed here: {brought.group!r}")
    try:
        foreign.check(block)
    except (BadBlock, BadChunk) as error:
        raise _Refused(Key.of(block.head), str(error)) from error
    return block
