"""The first message of either side, before there is a connection: the two do not trust each other with more yet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.stream.connection import Stream
from user_gym.system.link.stream.outgoing import Outgoing
from user_gym.system.link.wire import words
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import Parcel
from user_gym.system.link.wire.kinds import PROTOCOL, Kind
from user_gym.system.link.wire.lanes import FRAGMENT, STRANGER
from user_gym.system.link.wire.message import Message

GREETING = 5.0  # s that the other side may take to say, or to hear, who it is


async def greet(stream: Stream, name: str, said: Mapping[str, Any]) -> Message:
    """Who dials says who it is, and what else, and hears the hub's welcome.

    Raises:
        PeerLost: it does not come in time.
        BadBlock: it is no welcome of this protocol.
        NotAdmitted: the hub does not let us in.
    """
    hello = {"protocol": PROTOCOL, "name": name, "host": socket.gethostname(), **said}
    await say(stream, Message(Kind.HELLO, hello))
    return expected(await hear(stream), Kind.WELCOME, "a hub")


def expected(message: Message, kind: Kind, whose: str) -> Message:
    """The first message of somebody, where it is of this kind and of our protocol. Raises BadBlock."""
    if message.kind is not kind or words.number(message, "protocol") != PROTOCOL:
        found = (message.kind.name, message.words.get("protocol"))
        allowed = f"{kind.name} of protocol {PROTOCOL}"
        raise BadBlock(f"first message of {whose}", found, allowed, cure="update the older side")
    return message


async def say(stream: Stream, message: Message) -> None:
    """Send one message. Raises PeerLost, also where the other side does not listen, and NotAdmitted."""
    outgoing = Outgoing({})
    outgoing.put(message)
    with _in_time("does not listen"):
        async with asyncio.timeout(GREETING):
            while (lane := outgoing.first) is not None:
                await stream.write(outgoing.take(lane, FRAGMENT).pack())


async def hear(stream: Stream) -> Message:
    """The other side's first message.

    Raises:
        PeerLost: it does not come in time.
        BadBlock: it is none, or longer than a stranger's may be.
        NotAdmitted: the other side lets nobody in.
    """
    assembly, data = Assembly(STRANGER), None
    with _in_time("said nothing"):
        async with asyncio.timeout(GREETING):
            while data is None:
                notes, fragment = Parcel.parse(await stream.read())
                if notes or fragment is None:
                    raise BadBlock("first bytes of a connection", [note.sort.name for note in notes], "a message")
                data = assembly.add(fragment)
    return Message.parse(data)


@contextmanager
def _in_time(otherwise: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise PeerLost(f"the other side {otherwise} for {GREETING} s") from error
