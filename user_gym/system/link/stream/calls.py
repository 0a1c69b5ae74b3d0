"""Questions to the other side, each with a number and a deadline: a late reply is never taken for the answer to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from user_gym.errors import PeerLost
from user_gym.system.link.wire.message import Message


class Calls:
    """Of one side, across its connections. All of it runs on the loop's thread.

    Attributes:
        late: replies that came after their deadline, or twice, and were dropped.
    """

    def __init__(self) -> None:
        self._next = 0
        self._open: dict[int, asyncio.Future[Message]] = {}
        self.late = 0

    async def call(self, send: Callable[[Message], None], asked: Message, timeout: float) -> Message:
        """Ask, and return the reply. Raises PeerLost after `timeout` s, or when the connection is lost; it is not repeated."""
        self._next += 1
        number, reply = self._next, asyncio.get_running_loop().create_future()
        self._open[number] = reply
        try:
            send(replace(asked, number=number))
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError as error:
            raise PeerLost(f"no answer to {asked.kind.name} in {timeout} s") from error
        finally:
            del self._open[number]

    def answered(self, reply: Message) -> None:
        """A reply came."""
        waiting = self._open.get(reply.number)
        if waiting is None or waiting.done():
            self.late += 1
            return
        waiting.set_result(reply)

    def lost(self, why: Exception) -> None:
        """The connection is gone: nothing that was asked will be answered."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(PeerLost(f"the connection was lost before the answer: {why}"))
