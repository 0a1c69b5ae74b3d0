"""One connection of an edge, from its greeting to its loss. All of it runs on the loop's thread."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from user_gym.errors import BadBlock, BadChunk, BadOption, MissingExtra, WrongWeights
from user_gym.system.buffer.block import Block
from user_gym.system.link.edge.hands import Hands
from user_gym.system.link.edge.outlet import Outlet
from user_gym.system.link.edge.spool import Spool
from user_gym.system.link.machine import Machine
from user_gym.system.link.raw import Archive, lending
from user_gym.system.link.remote.host import Host
from user_gym.system.link.stream.connection import Connection, Stream
from user_gym.system.link.stream.greeting import greet
from user_gym.system.link.stream.race import race
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import Lane
from user_gym.system.link.wire.message import Message
from user_gym.system.weights import Held, Receiver

_BEAT = 1.0  # s between two beats
_MOST_WAITING = 64  # blocks that are sent and not acknowledged
_MOST_LENT = 2  # blocks of raw streams that wait to be sent
_GLANCE = 0.01  # s between two looks whether one went
_HEAD = 80  # bytes of a block that hold the CRC of its prefix, which holds those of all else: docs/format.md
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Home:
    """What of an edge outlives a connection."""

    name: str
    sources: Sequence[str]
    machine: Machine
    spool: Spool
    outlet: Outlet
    receiver: Receiver | None
    assembly: Assembly  # of what the hub sends
    stop: Callable[[str], None]  # robots hold; told who said so
    stopper: Executor  # where it runs: threads of others may all be waiting for a disk
    facts: Callable[[], Mapping[str, Any]]
    answer: Callable[[Message], Message]  # of a question of the hub
    host: Host | None  # of environments that clients step
    hands: Hands  # of operators, at its robots
    archive: Archive | None  # of raw episodes that are lent


class Visit:
    """One connection.

    Args:
        home: of the edge.
        stream: to the hub.
        options: of `Connection`.
        begun: the edge was in before, and its robots have their numbers of episodes from then.

    Attributes:
        connection: None before the hub has said welcome.
    """

    def __init__(self, home: Home, stream: Stream, options: Mapping[str, Any], begun: bool) -> None:
        self._home, self._stream, self._options, self._begun = home, stream, options, begun
        self._changed = asyncio.Event()
        self._sent: set[words.Key] = set()  # not acknowledged
        self._brought = self._settled = 0  # bytes of blocks that this connection brought; those of them that the hub has judged
        self._verdicts: asyncio.Queue[Message] = asyncio.Queue()
        self._most = 0  # bytes that may be
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: asyncio.Queue[Exception] = asyncio.Queue()
        self.connection: Connection | None = None

    async def run(self, welcomed: Callable[[], None]) -> None:
        """Until it is over: returns when the hub leaves on purpose or `leave` was called.

        Raises:
            PeerLost: it is lost.
            NotAdmitted: the hub does not let this edge in.
            BadBlock: the hub breaks the rules.
        """
        home = self._home
        welcome = await greet(self._stream, home.name, self._hello())
        for source, place in words.table(welcome, "newest", len(home.sources)).items():
            key = words.key(welcome, [source, *place] if isinstance(place, list) else place)
            await asyncio.to_thread(home.spool.acknowledge_up_to, *key)
        self._allow(welcome)
        connection = Connection(self._stream, home.assembly, self._deliver, torn=words.torn(welcome), **self._options)
        self.connection = connection
        welcomed()
        try:
            await race(connection.run(), self._send_all(), self._acknowledge_all(), self._beat(), self._watch())
        finally:
            home.hands.let_go()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """There may be something to send."""
        self._changed.set()

    async def leave(self) -> None:
        """Say goodbye, and end `run`."""
        if self.connection is not None:
            await self.connection.leave(Message(Kind.BYE))

    def _hello(self) -> dict[str, Any]:
        home = self._home
        return {
            "operator": False, "spool": home.spool.name, "waits": len(home.spool), "begun": self._begun,
            "sources": list(home.sources), "torn": words.said_torn(home.assembly.torn), "weights": home.receiver is not None,
            "held": None if home.receiver is None else _said(home.receiver.held), **home.machine.said,
            **({} if home.host is None else home.host.said),
        }  # fmt: skip

    def _allow(self, message: Message) -> None:
        self._most, self._settled = words.number(message, "under_way"), words.number(message, "settled")
        self._home.outlet.allow(words.number(message, "room", -1), words.flag(message, "enough"))

    async def _send_all(self) -> None:
        """Blocks in the order of the spool, a bounded number of them ahead of their acknowledgements."""
        assert self.connection is not None
        last = -1
        while True:
            self._changed.clear()
            if len(self._sent) < _MOST_WAITING and self._brought - self._settled < self._most:
                found = await asyncio.to_thread(self._home.spool.after, last)
                if found is not None:
                    spooled, block = found
                    last = spooled.number
                    self._sent.add(spooled.key)
                    self._brought += len(block.data)
                    arrays = {"block": np.frombuffer(block.data, np.uint8)}
                    self.connection.send(Message(Kind.BLOCK, {}, arrays), _transfer(block))
                    continue
            await self._changed.wait()

    async def _acknowledge_all(self) -> None:
        while True:
            message = await self._verdicts.get()
            stored = [words.key(message, value) for value in words.items(message, "stored", 1 << 16)]
            refused = [_refused(message, value) for value in words.items(message, "refused", 1 << 16)]
            await asyncio.to_thread(self._settle, stored, refused)
            self._sent.difference_update(stored, (key for key, _ in refused))
            self._allow(message)
            self._changed.set()

    def _settle(self, stored: Sequence[words.Key], refused: Sequence[tuple[words.Key, str]]) -> None:
        """On another thread, for it may wait for the disk."""
        for key in stored:
            self._home.spool.acknowledge(key)
        for key, why in refused:
            _log.error("the hub refuses a block, which goes to refused.segment: %s", why)
            self._home.spool.set_aside(key)
            self._home.outlet.fail(BadChunk(f"the hub refuses {key}: {why}"))

    async def _beat(self) -> None:
        assert self.connection is not None
        while True:
            facts = await asyncio.to_thread(self._home.facts)
            self.connection.send(Message(Kind.BEAT, facts), newest=True)
            await asyncio.sleep(_BEAT)

    async def _deliver(self, message: Message) -> None:
        match message.kind:
            case Kind.STORED:
                self._verdicts.put_nowait(message)
            case Kind.ORDER if self._home.host is not None:
                assert self.connection is not None
                self._home.host.order(message, self.connection.send)
            case Kind.STOP:
                self._start(self._stop(message))
            case Kind.WEIGHTS:
                self._start(self._load(message))
            case Kind.REQUEST:
                self._start(self._answer(message))
            case Kind.TAKE | Kind.HAND:
                assert self.connection is not None
                self._home.hands.hear(message, self.connection)
            case Kind.FETCH:
                self._start(self._lend(message))
            case Kind.BYE:
                assert self.connection is not None
                self.connection.close()
            case _:
                raise BadBlock("message of a hub", message.kind.name, "STORED, STOP, WEIGHTS, REQUEST, FETCH, ORDER or BYE")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run beside the reading, so that nothing that takes long keeps an order to stop waiting."""
        task = asyncio.ensure_future(self._worked(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _worked(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # top of this task: raised by `run`
            self._failures.put_nowait(error)

    async def _watch(self) -> None:
        raise await self._failures.get()

    async def _stop(self, message: Message) -> None:
        by = words.text(message, "by")
        _log.warning("told to stop by %s", by)
        try:
            await asyncio.get_running_loop().run_in_executor(self._home.stopper, self._home.stop, by)
            answer = "stopped"
        except Exception as error:  # whatever it is, the hub's operator has to know
            _log.exception("robots were not stopped")
            answer = f"NOT stopped: {error}"
        assert self.connection is not None
        self.connection.send(Message(Kind.STOPPED, {"answer": answer}, number=message.number))

    async def _answer(self, message: Message) -> None:
        answer = await asyncio.to_thread(self._home.answer, message)
        assert self.connection is not None
        self.connection.send(Message(Kind.REPLY, answer.words, answer.arrays, message.number))

    async def _lend(self, asked: Message) -> None:
        """What is there of a raw episode, or a block of it, behind all else that is to be sent."""
        connection = self.connection
        assert connection is not None
        while asked.words.get("sequence") != lending.ALL and connection.waiting(Lane.RAW) >= _MOST_LENT:
            await asyncio.sleep(_GLANCE)  # no more of them are in memory; what there is, can be said meanwhile
        lent = await asyncio.to_thread(lending.answer, self._home.archive, asked)
        connection.send(replace(lent.reply, number=asked.number))
        if lent.block is not None:
            connection.send(lent.block, lent.transfer)

    async def _load(self, message: Message) -> None:
        receiver, blob = self._home.receiver, message.arrays.get("blob")
        if receiver is None or blob is None or blob.ndim != 1 or blob.dtype != "u1":
            raise BadBlock("message WEIGHTS", sorted(message.arrays), "'blob', uint8 (bytes,), to an edge that asked for it")
        refused, again, never = "", False, False
        try:
            await asyncio.to_thread(receiver.apply, blob.data)
        except BadBlock as error:  # damaged, or a difference to what is not here: another one will do
            refused, again = str(error), receiver.held is not None
        except (WrongWeights, MissingExtra) as error:
            refused, never = str(error), True
        except BadOption as error:  # not finite: the next version may be
            refused = str(error)
        if refused:
            _log.error("weights are refused, the ones before stay: %s", refused)
        assert self.connection is not None
        said = {"refused": refused[:900], "again": again, "never": never, "transfer": words.text(message, "transfer", 32)}
        self.connection.send(Message(Kind.HELD, {**said, "held": _said(receiver.held)}))


def _said(held: Held | None) -> list[Any] | None:
    return None if held is None else [held.lineage.hex(), held.version]


def _transfer(block: Block) -> bytes:
    """Names the bytes of a block across connections and processes."""
    return hashlib.blake2b(block.data[:_HEAD] + len(block.data).to_bytes(8, "little"), digest_size=16).digest()


def _refused(message: Message, value: Any) -> tuple[words.Key, str]:
    match value:
        case [list() as key, str() as why]:
            return words.key(message, key), why
    raise BadBlock("refused block", value, "[key, why]")
