"""An operator's part in fetching a raw episode: asks the hub for it, waits, and copies it to a folder of this machine.

What is here is not copied again, so a copy that was broken off goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from user_gym.errors import BadBlock, BadOption
from user_gym.system.link.identity.bundle import Bundle
from user_gym.system.link.operator import Question, converse
from user_gym.system.link.raw import Archive, lending
from user_gym.system.link.wire.message import Message

_LOOK = 0.5  # s between two looks how far it is
_ANSWER = 60.0  # s that an answer may take: one is a block


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the hub is."""

    state: str  # "waits for the edge", "comes" or "done"
    blocks: int
    of: int  # 0: not known yet
    bytes: int
    of_bytes: int


def fetch(
    address: str | None,
    bundle: Bundle | None,
    source: str,
    episode: int,
    to: Archive | None = None,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Bring an episode's raw streams from the edge to the hub, and on to an archive of this machine.

    It ends when all is there. Whoever breaks it off leaves the hub at it; asked for again, it goes on.

    Args:
        address: HOST:PORT of the hub; None: as the bundle says.
        bundle: of an operator; None: only on loopback, to a hub without a folder.
        source: "EDGE/ROBOT".
        episode: its number, as in the training group.
        to: takes a copy; None: it stays at the hub.
        told: how far it is, now and then, on the loop's thread.

    Raises:
        BadOption: there is no such edge or episode, the hub takes none, or this is no operator.
        PeerLost, NotAdmitted: as `operator.ask`.
        NoSpace, Unwritable: `to` cannot take it.
    """
    said = {"source": source, "episode": episode}

    async def talk(question: Question) -> Progress:
        while True:
            words = (await question({"ask": "fetch", **said})).words
            if words.get("state") == "failed":
                raise BadOption("raw episode", f"{episode} of {source}", str(words.get("why")))
            now = _progress(words)
            told(now)
            if now.state == "done":
                break
            await asyncio.sleep(_LOOK)
        if to is not None:
            await _copy(question, source, episode, to)
        return now

    return converse(address, bundle, talk, _ANSWER)


async def _copy(question: Question, source: str, episode: int, to: Archive) -> None:
    if await asyncio.to_thread(to.is_whole, source, episode):
        return

    async def lent(sequence: int) -> Message:
        return await question({"ask": "raw", **lending.question(source, episode, sequence)})

    there = lending.listed(await lent(lending.ALL))
    for sequence in await asyncio.to_thread(lending.missing, to, source, episode, list(there)):
        block = await asyncio.to_thread(lending.lent, await lent(sequence))
        if (found := (block.head.source, block.head.episode, block.head.sequence)) != (source, episode, sequence):
            raise BadBlock("raw block of a hub", found, f"{(source, episode, sequence)}, as it was asked for")
        await asyncio.to_thread(to.append, block)
    await asyncio.to_thread(to.finish, source, episode)


def _progress(words: Mapping[str, Any]) -> Progress:
    found = {field.name: words.get(field.name) for field in fields(Progress)}
    numbers = [value for name, value in found.items() if name != "state"]
    if not isinstance(found["state"], str) or not all(type(value) is int for value in numbers):
        raise BadBlock("answer to a fetch", dict(words), "state, blocks, of, bytes and of_bytes", cure="update the older side")
    return Progress(**found)  # pyright: ignore[reportArgumentType]
