"""Who lives and does not listen costs no memory, and who ends a connection is heard with its reason."""

from __future__ import annotations

import asyncio
import time

import grpc
import numpy as np
import pytest

from user_gym.errors import NotAdmitted, PeerLost
from user_gym.system.link.stream import connection, greeting, transport
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.outgoing import Outgoing
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.fragments import Note, Sort
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_EDGE, Lane
from user_gym.system.link.wire.message import Message

TIMEOUT = 20.0  # s


class Deaf:
    """A stream whose other side says that it lives, and reads nothing."""

    async def read(self) -> bytes:
        await asyncio.sleep(0.01)
        return Note(Sort.PING, time.monotonic_ns()).pack()

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()


async def nothing(message: Message) -> None:
    pass


def reply(nbytes):
    return Message(Kind.REPLY, {}, {"obs": np.zeros(nbytes, np.uint8)})


def test_who_lives_and_reads_nothing_is_lost_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(connection, "_MOST_URGENT", 1 << 20)

    async def filled() -> int:
        made = Connection(Deaf(), Assembly(FROM_EDGE), nothing)
        running = asyncio.ensure_future(made.run())
        await asyncio.sleep(0.05)
        sent = 0
        while not running.done() and sent < 100:
            made.send(reply(1 << 18))
            sent += 1
            await asyncio.sleep(0)  # the loop takes a few turns to end it
        with pytest.raises(PeerLost, match=r"does not read: \d+ bytes of CALL wait; allowed: 1048576"):
            await asyncio.wait_for(running, TIMEOUT)
        return sent

    assert 4 <= asyncio.run(filled()) < 20


def test_what_waits_is_counted_by_lane_as_it_goes_and_is_replaced():
    outgoing = Outgoing({})
    outgoing.put(reply(1000))
    before = outgoing.nbytes(Lane.CALL)
    assert before > 1000
    assert outgoing.nbytes(Lane.BEAT) == 0
    outgoing.take(Lane.CALL, 400)
    assert outgoing.nbytes(Lane.CALL) == before - 400
    outgoing.take(Lane.CALL, 1 << 20)
    assert outgoing.nbytes(Lane.CALL) == 0
    for number in range(3):
        outgoing.put(Message(Kind.BEAT, {"number": number}), newest=True)
    once = outgoing.nbytes(Lane.BEAT)
    outgoing.take(Lane.BEAT, 1 << 20)
    assert once > 0 == outgoing.nbytes(Lane.BEAT)


def test_the_newest_leaves_what_is_of_another_kind():
    outgoing = Outgoing({})
    for number in range(3):
        outgoing.put(Message(Kind.HAND, {"number": number}))
        outgoing.put(Message(Kind.BEAT, {"number": number}), newest=True)
    assert outgoing.waiting(Lane.BEAT) == 3 + 1


def test_a_greeting_that_nobody_hears_ends(monkeypatch):
    monkeypatch.setattr(greeting, "GREETING", 0.05)
    with pytest.raises(PeerLost, match=r"the other side does not listen for 0\.05 s"):
        asyncio.run(greeting.say(Deaf(), Message(Kind.HELLO, {})))


@pytest.mark.parametrize(
    ("code", "error"), [(grpc.StatusCode.PERMISSION_DENIED, NotAdmitted), (grpc.StatusCode.INVALID_ARGUMENT, PeerLost)]
)
def test_a_write_that_fails_says_what_the_hub_said(code, error):
    async def refuse(context) -> None:
        await context.send_initial_metadata(())
        await context.read()
        await context.abort(code, "this is why")

    async def written() -> None:
        server, port = await transport.serve("127.0.0.1:0", None, refuse)
        try:
            stream = await transport.dial(f"127.0.0.1:{port}", None)
            try:
                while True:
                    await asyncio.wait_for(stream.write(bytes(1 << 20)), TIMEOUT)
            finally:
                await stream.close()
        finally:
            await server.stop(None)

    loop = Loop.borrow()
    try:
        with pytest.raises(error, match="this is why"):
            loop.start(written()).result(TIMEOUT)
    finally:
        loop.give_back()
