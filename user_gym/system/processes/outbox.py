"""A collector's way to the owner of the buffer: chunks leave in order, and stay here until they are acknowledged.

The robot does not wait for an answer: each one says how many steps may be under way until the next (`room`). What was not
acknowledged when the owner died is sent again to the next one, which knows by (source, episode, sequence) what it has.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, NamedTuple

from user_gym.core import Chunk
from user_gym.errors import BadChunk, Closed, PeerLost, WrongRun
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.processes.caller import Caller
from user_gym.system.processes.conversation import GLANCE, Conversation
from user_gym.system.processes.journal import say
from user_gym.system.processes.link import LAST, Report

_CAPACITY = 64  # chunks; as many seconds of a robot, at least
_POLL = 0.5  # s that the owner is asked to wait for room
_LOOK = 1.0  # s between two questions of a robot that rests, whether the run has enough
_AGAIN = 0.1, 1.0  # s until the owner is tried again: when it is gone, and when its disk is full


class Verdict(NamedTuple):
    """What a person said of an episode that was over."""

    episode: int
    success: bool


class Welcome(NamedTuple):
    """What the owner knows of this collector."""

    episode: int  # that none of its chunks has, nor any above
    steps: int  # stored
    enough: bool  # the run has all its steps


class Outbox(Conversation):
    """As `Outlet` and as `Permission` of a `Collector`. One thread puts; a thread of its own encodes and sends.

    Args:
        caller: reaches the owner; this outbox's own.
        hello: words that introduce this collector.
        lossy: as of `Encoder`.
        report: told what is waited for.
        stop: when set, nothing waits for permission any more.

    Attributes:
        enough: whether the run has all its steps.
    """

    def __init__(self, caller: Caller, hello: Mapping[str, Any], lossy: Mapping[str, int], report: Report, stop: Event) -> None:
        super().__init__("outbox", caller, hello, report, stop)
        self._encoder = Encoder(lossy=lossy)
        self._queue: deque[Chunk | Block | Verdict] = deque()
        self._under_way = 0  # steps that are not acknowledged
        self._room = 0.0  # steps that may be
        self._asking = self._goodbye = self._left = False
        self._welcome: Welcome | None = None
        self.enough = False

    def open(self) -> Welcome | None:
        """Find the owner; None if `stop` was set first. Raises WrongRun where it refuses this collector."""
        self._begin(lambda: self._welcome is not None)
        return self._welcome

    def put(self, item: Chunk) -> None:
        """Take a chunk. Waits while too many are not acknowledged. Raises Closed, or what the owner has against one."""
        self._wait(lambda: self._chunks < _CAPACITY)
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise Closed("the way to the buffer's owner is closed")
            self._queue.append(item)
            self._under_way += len(item)
            self._changed.notify_all()

    def tell(self, episode: int, success: bool) -> None:
        """Send a verdict on an episode, after all that was put before; from any thread, and never waits.

        The newest of an episode counts: it takes the place of one that waits. The oldest item may be under way, and stays.
        """
        with self._changed:
            if self._closing or self._failure is not None:
                why = "the way to the buffer's owner is closed" if self._failure is None else self._failure
                say(f"the verdict on episode {episode} is not kept: {why}")
                return
            for k in range(1, len(self._queue)):
                waiting = self._queue[k]
                if isinstance(waiting, Verdict) and waiting.episode == episode:
                    del self._queue[k]
                    break
            self._queue.append(Verdict(episode, success))
            self._changed.notify_all()

    def insert(self, n: int) -> None:
        """Wait until the next steps may follow. Raises Closed when the run has enough."""
        self._wait(lambda: self._under_way <= self._room)
        if self.enough:
            raise Closed("the run has all its steps")

    def idle(self, seconds: float) -> None:
        """Wait while the robot rests; shorter when the run has enough or `stop` is set."""
        deadline = time.monotonic() + seconds
        while not self.enough and (left := deadline - time.monotonic()) > 0 and not self._stop.wait(min(left, _LOOK)):
            self._report.moved()
            with self._changed:
                self._asking = True
                self._changed.notify_all()

    def close(self, goodbye: bool) -> bool:
        """Let everything that was put be acknowledged, as far as the owner answers; whether it was all, and it heard the end.

        At once where nothing is left to be said, and in `link.LAST` where the owner is gone. May be called twice.

        Args:
            goodbye: this collector will not come again, because the run has enough.
        """
        with self._changed:
            self._closing, self._goodbye = True, goodbye
            self._changed.notify_all()
        self._finish()
        return self._left

    @property
    def _chunks(self) -> int:
        """Items that a robot's room is counted by: a person is nobody whom it waits for."""
        return sum(not isinstance(item, Verdict) for item in self._queue)

    def _wait(self, ready: Callable[[], bool]) -> None:
        began = time.monotonic()
        with self._changed:
            while not (ready() or self.enough or self._stop.is_set() or self._closing or self._failure is not None):
                if not self._waiting:
                    self._waiting = True
                    self._report.set(waits=True)
                    self._changed.notify_all()
                self._report.moved()
                self._changed.wait(GLANCE)
            self._waiting = False
            self._waited += time.monotonic() - began
            counted = {"unacknowledged": self._under_way, "queued": len(self._queue)}
            self._report.set(waits=False, waited=round(self._waited, 3), **counted)

    def _talk(self) -> None:
        given_up = None  # when
        while True:
            with self._changed:
                while self._caller.connected and not (self._queue or self._waiting or self._asking or self._closing):
                    self._changed.wait(GLANCE)
                leaving = self._closing and not self._queue
                if self._closing and given_up is None:
                    given_up = time.monotonic() + LAST[self._report.alone]
            if leaving and not self._goodbye:
                self._left = True
                return
            try:
                if self._turn(leaving):
                    return
            except PeerLost as error:
                if given_up is not None and time.monotonic() > given_up:
                    self._say_lost(error)
                    return
                self._report.set(outbox="waits for the buffer's owner")
                time.sleep(_AGAIN[0])
            except Exception as error:  # raised where the robot's chunks are put; a person who told of episodes hears no answer
                with self._changed:
                    self._failure = error  # at once: what is told from here on is said to be lost by `tell`
                    if self._queue:
                        self._say_lost(error)
                raise

    def _say_lost(self, error: Exception) -> None:
        verdicts = len(self._queue) - self._chunks
        left = f"{self._chunks} chunks" + (f" and {verdicts} verdicts" if verdicts else "")
        say(f"{left} were not acknowledged: {error}")

    def _turn(self, leaving: bool) -> bool:
        """One exchange with the owner; whether it was the last."""
        if not self._caller.connected:
            self._introduce()
        elif self._queue:
            self._send_oldest()
        elif leaving:
            self._left = not self._is_full(self._caller.call({"ask": "bye"}))
            return self._left
        elif self._waiting or self._asking:
            self._asking = False
            self._take(self._caller.call({"ask": "go", "wait": _POLL if self._waiting else 0.0}), None)
        return False

    def _introduce(self) -> None:
        answer = self._caller.call({"ask": "collector", **self._hello})
        if "refused" in answer:
            raise WrongRun(answer["refused"])
        with self._changed:
            if self._welcome is None:
                self._welcome = Welcome(answer["episode"], answer["steps"], answer["enough"])
        self._take(answer, None)

    def _send_oldest(self) -> None:
        item = self._queue[0]
        if isinstance(item, Verdict):
            answer = self._caller.call({"ask": "verdict", **item._asdict()})
            if not self._is_full(answer):
                if not answer["kept"]:
                    say(f"the verdict on episode {item.episode} is not kept: the buffer does not hold the end of that episode")
                self._take(answer, 0)
            return
        if isinstance(item, Chunk):  # encoded once, however often it is sent
            # A builder's chunk begins with the observation that the episode's chunk before ended with.
            item = self._queue[0] = self._encoder.encode(item, follows=item.sequence > 0)
        answer = self._caller.call({"ask": "block"}, item.data)
        if "refused" in answer:
            raise BadChunk(answer["refused"])
        if self._is_full(answer):
            return
        self._report.set(acknowledged=[item.head.episode, item.head.sequence])
        self._take(answer, item.head.steps)

    def _is_full(self, answer: Mapping[str, Any]) -> bool:
        """Whether the owner's disk took nothing: said, and waited for a while. Raises PeerLost for who cannot wait."""
        if "full" not in answer:
            return False
        self._report.set(outbox=f"waits for the disk: {answer['full']}")
        if self._closing:
            raise PeerLost(answer["full"])
        self._stop.wait(_AGAIN[1])
        return True

    def _take(self, answer: Mapping[str, Any], steps: int | None) -> None:
        """Hear how much may come; `steps` of the oldest item are acknowledged, None: nothing was sent."""
        with self._changed:
            if steps is not None:
                self._queue.popleft()
                self._under_way -= steps
            self._room, self.enough = answer["room"], answer["enough"]
            self._changed.notify_all()
        self._report.set(outbox="")
