"""Questions with a number and a deadline, without a network."""

from __future__ import annotations

import asyncio

import pytest

from user_gym.errors import PeerLost
from user_gym.system.link.stream.calls import Calls
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

ASKED = Message(Kind.REQUEST)


def reply(number, text=""):
    return Message(Kind.REPLY, {"text": text}, number=number)


def test_each_answer_finds_its_question_in_any_order():
    async def main():
        calls, sent = Calls(), []
        asked = [asyncio.ensure_future(calls.call(sent.append, ASKED, 10.0)) for _ in range(3)]
        await asyncio.sleep(0)
        for message in reversed(sent):
            calls.answered(reply(message.number, f"to {message.number}"))
        answers = [(await one).words["text"] for one in asked]
        assert answers == [f"to {message.number}" for message in sent]
        assert calls.late == 0

    asyncio.run(main())


def test_late_double_and_unasked_answers_are_dropped_and_counted():
    async def main():
        calls, sent = Calls(), []
        with pytest.raises(PeerLost, match=r"no answer to REQUEST in 0\.001 s"):
            await calls.call(sent.append, ASKED, 0.001)
        next_one = asyncio.ensure_future(calls.call(sent.append, ASKED, 10.0))
        await asyncio.sleep(0)
        calls.answered(reply(sent[0].number, "late"))
        calls.answered(reply(99, "unasked"))
        calls.answered(reply(sent[1].number, "first"))
        calls.answered(reply(sent[1].number, "again"))
        assert (await next_one).words["text"] == "first"
        assert calls.late == 3

    asyncio.run(main())


def test_a_lost_connection_answers_all_that_was_asked():
    async def main():
        calls = Calls()
        asked = [asyncio.ensure_future(calls.call(lambda _: None, ASKED, 10.0)) for _ in range(2)]
        await asyncio.sleep(0)
        calls.lost(PeerLost("gone"))
        for one in asked:
            with pytest.raises(PeerLost, match="gone"):
                await one

    asyncio.run(main())
