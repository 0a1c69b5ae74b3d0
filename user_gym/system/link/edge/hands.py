"""Operators' hands at the robots of one edge: which robot a message is about, and what the hub is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from user_gym.system.link.edge.hand import RemoteHand
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message


class Hands:
    """On the loop's thread.

    Args:
        hands: one for each robot that may be taken over.
    """

    def __init__(self, hands: Sequence[RemoteHand]) -> None:
        self._hands = {hand.source: hand for hand in hands}

    def hear(self, message: Message, connection: Connection) -> None:
        """A TAKE or a HAND of the hub. Raises BadBlock where it is none."""
        source = words.text(message, "source")
        hand = self._hands.get(source)
        if message.kind is Kind.HAND:
            if hand is not None:
                hand.hear(message)
            return
        by = words.text(message, "by")
        if hand is None:
            known = ", ".join(self._hands) or "none"
            answer = {"error": f"{source!r} cannot be taken over; allowed: {known}"}
        elif not by:
            return hand.let_go()
        elif why := hand.take(by, partial(_soon, asyncio.get_running_loop(), connection)):
            answer = {"error": why}
        else:
            answer = {"actions": hand.actions, "lasting": hand.lasting}
        connection.send(Message(Kind.REPLY, answer, number=message.number))

    def let_go(self) -> None:
        """Nobody has any robot: the connection is lost."""
        for hand in self._hands.values():
            hand.let_go()


def _soon(loop: asyncio.AbstractEventLoop, connection: Connection, message: Message) -> None:
    """Send, from any thread; nobody waits."""
    loop.call_soon_threadsafe(connection.send, message)
