"""What the owner of the buffer answers the run's hub: whose robots fit, what of theirs is stored, how much may come.

It knows no network: the hub, a process of its own, is the one that strangers reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from user_gym.errors import BadBlock, BadChunk
from user_gym.system.buffer import Buffer
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.processes.ledger import Ledger, newest_of
from user_gym.system.processes.wire import Message

_AHEAD = 10_000  # versions that a learner may have published, and died before it could say so


class Edges:
    """The owner's side, shared by all connections of the hub. Thread-safe.

    Args:
        ledger: counts.
        buffer: stores.

    Attributes:
        present: robots of edges that are connected.
    """

    def __init__(self, ledger: Ledger, buffer: Buffer) -> None:
        self._ledger, self._buffer = ledger, buffer
        self._sources = frozenset(collector.source for collector in ledger.plan.edges)
        self._storing = Lock()  # a robot's blocks are counted in the order of their numbers
        self.present = 0

    @property
    def ready(self) -> bool:
        """Whether it is known what the run's robots see and do: nobody elsewhere decides that."""
        return bool(self._ledger.form)

    def unfit(self, source: str, form: str) -> str:
        """Why a robot may bring nothing to this run; "" where it may."""
        if source not in self._sources:
            return f"{source!r} is none of this run's robots: {', '.join(sorted(self._sources))}; write it into the plan"
        if form != self._ledger.form:
            found = form or "not said what it sees and does"
            return f"{source!r} has {found}; one agent learns from all, of {self._ledger.form}"
        return ""

    def newest(self, source: str) -> tuple[int, int] | None:
        """Episode and sequence of the newest stored block of a source."""
        chunk = newest_of(self._buffer, source) if source in self._sources else None
        return None if chunk is None else (chunk.episode, chunk.sequence)

    def store(self, parts: Sequence[bytes]) -> list[tuple[int, int, bool]]:
        """Store blocks in one commit, all or none; the acknowledgements.

        Raises:
            BadChunk, BadBlock: one is refused.
            NoSpace: the disk is full.
        """
        blocks = [self._checked(data) for data in parts]
        with self._storing:
            answers = self._buffer.extend(blocks)
            for block, answer in zip(blocks, answers, strict=True):
                self._ledger.stored(block, answer)
        return [(answer.first, answer.steps, answer.repeated) for answer in answers]

    def _checked(self, data: bytes) -> Block:
        block = read_block(data)
        if block.head.source not in self._sources or block.head.kind != "policy":
            allowed = f"policy, of {', '.join(sorted(self._sources))}"
            raise BadChunk(f"a block of {block.head.source!r}, {block.head.kind}; allowed: {allowed}")
        # The run goes on counting behind the newest version that acted: no edge may end that.
        acted, newest = int(block.head.light("policy_version").max()), self._ledger.version
        if acted > newest + _AHEAD:
            raise BadChunk(f"steps of version {acted} from {block.head.source!r}; published so far: {newest}")
        return block


def _parts(message: Message) -> list[bytes]:
    """The blocks of a message, whose words say how long each is. Raises BadBlock."""
    sizes: Any = message.words.get("sizes")
    sound = isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes)
    if not sound or sum(sizes) != len(message.data):
        raise BadBlock("sizes of blocks", sizes, f"bytes of each, together {len(message.data)}")
    view, parts, at = memoryview(message.data), list[bytes](), 0
    for size in sizes:
        parts.append(bytes(view[at : at + size]))
        at += size
    return parts


def answered(edges: Edges, message: Message) -> dict[str, Any]:
    """Of what a hub asks. Raises BadBlock where it is nothing that is known, NoSpace where the disk is full."""
    words = message.words
    what, source = words.get("what"), str(words.get("source"))
    if what == "room":  # every answer has it
        return {"ready": edges.ready}
    if what == "unfit":
        return {"ready": edges.ready, "why": edges.unfit(source, str(words.get("form")))}
    if what == "newest":
        return {"newest": edges.newest(source)}
    if what == "blocks":
        parts = _parts(message)
        try:
            return {"stored": edges.store(parts)}
        except (BadChunk, BadBlock) as error:
            return {"refused": str(error)}
    raise BadBlock("request of a hub", what, "room, unfit, newest or blocks")
