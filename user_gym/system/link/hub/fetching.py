"""Raw episodes on their way from edges to the hub's archive, because an operator asked for them.

A block at a time, and those that are here are not asked for again: so a fetch goes on where it was after the connection, the
edge or the hub was lost, and what it takes of memory is a block. It knows no operator; `desk` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from user_gym.errors import BadBlock, BadOption, Gone, NoSpace, PeerLost, Unwritable
from user_gym.system.buffer.block import Block
from user_gym.system.link.hub.session import Session
from user_gym.system.link.identity import names
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.raw import Archive, lending
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.words import Key

PROVENANCE = "provenance.jsonl"  # beside what was fetched: who asked for it, when, and where it came from
_ANSWER = 10.0  # s that an edge may take to look what it has
_GLANCE = 0.2  # s; the longest that a loss goes unnoticed
_MOST = 64  # fetches at a time
_AWAY = 3600.0  # s; an edge that nobody can ask for so long may never return, and others wait for the place
_LENT = 2  # blocks that one edge is asked for at a time
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Fetch:
    """How far one is."""

    source: str
    episode: int
    by: str  # who asked first
    blocks: int = 0  # that are here
    of: int = 0  # blocks; 0: not known yet
    bytes: int = 0
    of_bytes: int = 0
    state: str = "waits for the edge"  # or "comes", "done", "failed"
    why: str = ""  # it failed


class Fetches:
    """On the loop's thread.

    Args:
        sessions: all that there are, by name.
        archive: takes what comes; the caller's. None: nothing can be fetched.
        audit: notes who fetched what.
    """

    def __init__(self, sessions: Mapping[str, Session], archive: Archive | None, audit: Audit) -> None:
        self._sessions, self.archive, self._audit = sessions, archive, audit
        self._provenance = Audit(None if archive is None else archive.folder / PROVENANCE)
        self._running: dict[tuple[str, int], tuple[Fetch, asyncio.Task[None]]] = {}
        self._over: dict[tuple[str, int], Fetch] = {}  # that failed, until somebody was told
        self._awaited: dict[Key, asyncio.Future[Message]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_LENT))  # by edge

    async def ask(self, source: str, episode: int, by: str) -> Fetch:
        """How far a fetch is, begun if it was not. One that failed says so once, and begins anew when asked for again.

        Raises BadOption: the hub has no archive, or there is no such edge, or too much under way.
        """
        key = (source, episode)
        if self.archive is None:
            cure = "start it with --raw DIR, or Hub(archive=)"
            raise BadOption("archive of the hub", None, "a folder for what is fetched", cure)
        if key in self._over:
            return self._over.pop(key)
        if key in self._running:
            return self._running[key][0]
        if await asyncio.to_thread(self.archive.is_whole, source, episode):
            places = await asyncio.to_thread(self.archive.places, source, episode)
            nbytes = sum(place.nbytes for place in places)
            return Fetch(source, episode, by, len(places), len(places), nbytes, nbytes, "done")
        session = self._sessions.get(names.owner(source))
        if session is None:
            known = ", ".join(sorted(self._sessions))
            raise BadOption("source", source, f"EDGE/ROBOT of an edge that came to this hub: {known or 'none did'}")
        if len(self._running) >= _MOST:
            raise BadOption("fetches at a time", len(self._running) + 1, f"{_MOST}", "ask again when some are done")
        if key in self._running:  # somebody else asked while the archive was looked into
            return self._running[key][0]
        fetch = Fetch(source, episode, by)
        self._audit.note("fetch", by, source=source, episode=episode)
        self._running[key] = fetch, asyncio.ensure_future(self._run(fetch, self.archive))
        return fetch

    def came(self, edge: str, message: Message) -> None:
        """A message RAW of an edge. Raises BadBlock: its head is damaged, or nobody asked for it."""
        key = lending.key_of(message)
        if key[:2] not in self._running or names.owner(key.source) != edge:
            raise BadBlock("raw block of an edge", list(key), "one that was asked for, of its own")
        waiting = self._awaited.get(key)
        if waiting is not None and not waiting.done():  # else an answer was given up, and this is what it spoke of
            waiting.set_result(message)

    async def close(self) -> None:
        """Break off; what is here stays, and a later fetch goes on with it."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, fetch: Fetch, archive: Archive) -> None:
        key = (fetch.source, fetch.episode)
        try:
            heard = time.monotonic()
            while not await self._tried(fetch, archive):
                if fetch.state == "comes":
                    heard = time.monotonic()
                elif time.monotonic() - heard > _AWAY:
                    raise PeerLost(
                        f"edge {names.owner(fetch.source)!r} has been away for {_AWAY:g} s; ask again when it is back"
                    )
                fetch.state = "waits for the edge"
                await asyncio.sleep(_GLANCE)
            await asyncio.to_thread(archive.finish, *key)
            fetch.state = "done"
            facts = {"source": fetch.source, "episode": fetch.episode, "blocks": fetch.blocks, "bytes": fetch.bytes}
            self._audit.note("fetched", fetch.by, **facts)
            self._provenance.note("fetched", fetch.by, **facts)
        except (Gone, BadBlock, BadOption, NoSpace, Unwritable, PeerLost) as error:
            _log.error("episode %s of %s is not fetched: %s", fetch.episode, fetch.source, error)
            fetch.state, fetch.why = "failed", str(error)
            self._over[key] = fetch
            self._audit.note("fetch failed", fetch.by, source=fetch.source, episode=fetch.episode, why=str(error)[:500])
        finally:
            del self._running[key]

    async def _tried(self, fetch: Fetch, archive: Archive) -> bool:
        """Over one connection of the edge; whether all is here. Raises Gone, BadBlock, BadOption, NoSpace, Unwritable."""
        session = self._sessions[names.owner(fetch.source)]
        with suppress(PeerLost):
            asked = Message(Kind.FETCH, lending.question(fetch.source, fetch.episode))
            there = lending.listed(await session.call(asked, _ANSWER))
            missing = await asyncio.to_thread(lending.missing, archive, fetch.source, fetch.episode, list(there))
            fetch.state, fetch.of, fetch.of_bytes = "comes", len(there), sum(there.values())
            fetch.blocks, fetch.bytes = len(there) - len(missing), sum(n for k, n in there.items() if k not in set(missing))
            for sequence in missing:
                async with self._turns[session.name]:
                    block = await self._block(session, Key(fetch.source, fetch.episode, sequence))
                await asyncio.to_thread(archive.append, block)
                fetch.blocks, fetch.bytes = fetch.blocks + 1, fetch.bytes + len(block.data)
            return True
        return False

    async def _block(self, session: Session, key: Key) -> Block:
        """One, however long it takes: it goes behind all else that the edge has to send. Raises PeerLost, Gone, BadBlock."""
        coming = self._awaited[key] = asyncio.get_running_loop().create_future()
        try:
            connection = session.connection
            lending.coming(await session.call(Message(Kind.FETCH, lending.question(*key)), _ANSWER))
            while not coming.done():
                if session.connection is not connection:
                    raise PeerLost(f"edge {session.name!r} is not connected")
                await asyncio.wait((coming,), timeout=_GLANCE)
            return await asyncio.to_thread(lending.lent, coming.result())
        finally:
            del self._awaited[key]
