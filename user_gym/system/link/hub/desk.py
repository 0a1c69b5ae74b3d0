"""What an operator may ask a hub for: how its edges are, that their robots hold, and raw episodes of theirs.

Who asks is known by the bundle alone. A stop needs no lease and no reason; it is noted, as is whoever asked without the
right to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields

from user_gym.errors import BadBlock, BadOption, PeerLost
from user_gym.system.link.hub.caller import Caller
from user_gym.system.link.hub.fetching import Fetches
from user_gym.system.link.hub.hands import Hands
from user_gym.system.link.hub.session import Session
from user_gym.system.link.hub.status import EdgeStatus
from user_gym.system.link.identity import names
from user_gym.system.link.identity.audit import Audit
from user_gym.system.link.identity.roster import Member
from user_gym.system.link.machine import Machine
from user_gym.system.link.raw import lending
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

TIMEOUT = 2.0  # s that an edge may take to say that its robots hold
# Bytes of what edges say of themselves: of one, and of those in one answer, which with one more has to fit into MOST_WORDS.
_MOST_ROW, _PAGE = 1 << 18, 1 << 19


class Desk:
    """On the loop's thread.

    Args:
        sessions: all that there are, by name.
        callers: operators' connections, by name.
        audit: notes what is done.
        fetches: of raw episodes.
    """

    def __init__(self, sessions: Mapping[str, Session], callers: Mapping[str, Caller], audit: Audit, fetches: Fetches) -> None:
        self._sessions, self._audit, self._fetches = sessions, audit, fetches
        self.hands = Hands(sessions, callers, audit)
        self.stopped: Callable[[Sequence[str], str], None] = lambda edges, by: None  # told which edges a person stopped

    async def stop(self, edges: Sequence[Session], by: str, timeout: float = TIMEOUT) -> dict[str, str]:
        """Tell these to hold; by name what each said: "stopped", or why it is not known that its robots hold."""
        self.stopped([edge.name for edge in edges], by)
        answers = await asyncio.gather(*(_told(edge, by, timeout) for edge in edges))
        said = {edge.name: answer for edge, answer in zip(edges, answers, strict=True)}
        self._audit.note("stopped", by, answers=said)
        return said

    async def answer(self, caller: Caller, asked: Message) -> Message:
        """Of a question of an operator. Raises BadBlock where it makes no sense."""
        if words.text(asked, "ask") == "raw":
            return await self._lend(caller, asked)
        known = {"edges": self._edges, "stop": self._stop, "fetch": self._fetch, "take over": self.hands.take}
        ask = known.get(words.text(asked, "ask"))
        if ask is None:
            raise BadBlock("'ask' of an operator", asked.words.get("ask"), "edges, stop, fetch, raw or take over")
        return Message(Kind.REPLY, await ask(caller, asked))

    @property
    def edges(self) -> list[Session]:
        """By name."""
        return [session for _, session in sorted(self._sessions.items())]

    async def _edges(self, caller: Caller, asked: Message) -> dict[str, object]:
        """As many as fit in an answer; `more` where others follow, to be asked for with `after`: the last name of these."""
        after = words.text(asked, "after") if "after" in asked.words else ""
        rows, size = list[dict[str, object]](), 0
        for session in self.edges:
            if session.name <= after:
                continue
            row = _row(session.status())
            size += len(json.dumps(row))
            if rows and size > _PAGE:
                return {"edges": rows, "more": True}
            rows.append(row)
        return {"edges": rows, "more": False}

    async def _stop(self, caller: Caller, asked: Message) -> dict[str, object]:
        name = words.text(asked, "edge")
        chosen = [session for session in self.edges if name in ("", session.name)]
        if name and not chosen:
            known = ", ".join(session.name for session in self.edges)
            return {"error": f"unknown edge {name!r}; known: {known or 'none'}"}
        return {"answers": await self.stop(chosen, caller.member.name)}

    async def _fetch(self, caller: Caller, asked: Message) -> dict[str, object]:
        source, episode = words.text(asked, "source", 200), words.number(asked, "episode")
        if denied := self._denied(caller.member, source):
            return {"error": denied}
        try:
            return asdict(await self._fetches.ask(source, episode, caller.member.name))
        except BadOption as error:
            return {"error": str(error)}

    async def _lend(self, caller: Caller, asked: Message) -> Message:
        """Of what was fetched: which blocks there are, or one of them in the place of the reply."""
        if denied := self._denied(caller.member, words.text(asked, "source", 200)):
            return Message(Kind.REPLY, {"error": denied})
        if asked.words.get("sequence") == lending.ALL:
            facts = {name: str(asked.words.get(name))[:200] for name in ("source", "episode")}
            self._audit.note("lent", caller.member.name, **facts)
        lent = await asyncio.to_thread(lending.answer, self._fetches.archive, asked)
        return lent.block or lent.reply

    def _denied(self, member: Member, source: str) -> str:
        """Why an operator's bundle does not allow raw episodes of a robot, noted; "" where it does."""
        edge = names.owner(source)
        if not member.edges or edge in member.edges:
            return ""
        self._audit.note("denied", member.name, ask="raw episodes", source=source)
        return f"{member.name!r} may have raw episodes of {', '.join(member.edges)}; not of {edge!r}"


def _row(status: EdgeStatus) -> dict[str, object]:
    """As JSON can say it. An edge may say of itself what cannot be written again, or more than there is room for."""
    row: dict[str, object] = {field.name: getattr(status, field.name) for field in fields(status)}
    row["machine"] = asdict(status.machine)
    try:
        if len(json.dumps(row, allow_nan=False)) <= _MOST_ROW:
            return row
        why = "it says more of itself than can be shown"
    except (ValueError, RecursionError):
        why = "what it says of itself cannot be shown"
    return row | {"facts": {}, "machine": asdict(Machine()), "complaint": status.complaint or why}


async def _told(edge: Session, by: str, timeout: float) -> str:
    try:
        return words.text(await edge.call(Message(Kind.STOP, {"by": by}), timeout), "answer")
    except (PeerLost, BadBlock) as error:
        return str(error)
