"""The first message of either side, before there is a connection: the two do not trust each other with more yet."""

from __future__ import annotations

import asyncio

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.stream.connection import Stream
from user_gym.system.link.stream.outgoing import Outgoing
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import Parcel
from user_gym.system.link.wire.lanes import FRAGMENT, STRANGER
from user_gym.system.link.wire.message import Message


async def say(stream: Stream, message: Message) -> None:
    """Send one message. Raises PeerLost, NotAdmitted."""
    outgoing = Outgoing({})
    outgoing.put(message)
    while (lane := outgoing.first) is not None:
        await stream.write(outgoing.take(lane, FRAGMENT).pack())


async def hear(stream: Stream, timeout: float) -> Message:
    """The other side's first message.

    Raises:
        PeerLost: it does not come in time.
        BadBlock: it is none, or longer than a stranger's may be.
        NotAdmitted: the other side lets nobody in.
    """
    assembly, data = Assembly(STRANGER), None
    try:
        async with asyncio.timeout(timeout):
            while data is None:
                notes, fragment = Parcel.parse(await stream.read())
                if notes or fragment is None:
                    raise BadBlock("first bytes of a connection", [note.sort.name for note in notes], "a message")
                data = assembly.add(fragment)
    except TimeoutError as error:
        raise PeerLost(f"the other side said nothing for {timeout} s") from error
    return Message.parse(data)
