"""Questions of an operator to a hub, over a connection of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from user_gym.errors import BadOption, PeerLost
from user_gym.system.link.dialling import dialled, operators_hub
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.stream.calls import Calls
from user_gym.system.link.stream.connection import Connection
from user_gym.system.link.stream.greeting import greet
from user_gym.system.link.stream.loop import Loop
from user_gym.system.link.stream.race import race
from user_gym.system.link.stream.transport import ClientStream
from user_gym.system.link.wire.assembly import Assembly
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import TO_OPERATOR
from user_gym.system.link.wire.message import Message

Result = TypeVar("Result")
Question = Callable[[Mapping[str, Any]], Awaitable[Message]]  # words -> the hub's answer to them


def ask(address: str | None, bundle: Bundle | None, said: Mapping[str, Any], timeout: float = 10.0) -> Mapping[str, Any]:
    """The words of a hub's answer.

    Args:
        address: HOST:PORT; None: as the bundle says.
        bundle: of an operator; None: only on loopback, to a hub without a folder.
        said: `ask`: "edges", or "stop" with `edge`: a name, or "" for all.
        timeout: s.

    Raises: as `converse`.
    """

    async def once(question: Question) -> Mapping[str, Any]:
        return (await question(said)).words

    return converse(address, bundle, once, timeout)


def converse(
    address: str | None, bundle: Bundle | None, talk: Callable[[Question], Awaitable[Result]], timeout: float = 10.0
) -> Result:
    """What `talk` returns, which asks as often as it likes, on the loop's thread.

    Args:
        address: HOST:PORT; None: as the bundle says.
        bundle: of an operator; None: only on loopback, to a hub without a folder.
        talk: called once.
        timeout: s that an answer may take.

    Raises:
        PeerLost: the hub is not reached, or does not answer.
        NotAdmitted: it does not let us in, or this is no operator.
        BadOption: what was asked makes no sense, or there is no bundle.
    """
    target = operators_hub(address, bundle)
    loop = Loop.borrow()
    try:
        return loop.start(_asked(target, bundle, talk, timeout)).result()
    finally:
        loop.give_back()


async def _asked(address: str, bundle: Bundle | None, talk: Callable[[Question], Awaitable[Result]], timeout: float) -> Result:
    async with dialled(address, bundle) as stream:
        return await _spoken(stream, bundle.name if bundle is not None else "operator", talk, timeout)


async def _spoken(stream: ClientStream, name: str, talk: Callable[[Question], Awaitable[Result]], timeout: float) -> Result:
    await greet(stream, name, {"operator": True})
    calls, results = Calls(), list[Result]()

    async def deliver(message: Message) -> None:
        if message.kind in (Kind.REPLY, Kind.RAW):
            calls.answered(message)

    connection = Connection(stream, Assembly(TO_OPERATOR), deliver)

    async def question(said: Mapping[str, Any]) -> Message:
        answer = await calls.call(connection.send, Message(Kind.REQUEST, said), timeout)
        if "error" in answer.words:
            raise BadOption("question to a hub", dict(said), str(answer.words["error"]))
        return answer

    async def talked() -> None:
        results.append(await talk(question))

    await race(connection.run(), talked())
    if not results:
        raise PeerLost("the hub has left before it answered")
    return results[0]
