"""What is said about raw episodes between an edge and its hub, and between the hub and an operator: what there is, and a block.

    asked: {source, episode, sequence}; sequence -1: which blocks there are
    answered: {blocks: [[sequence, bytes], ...]}, or {bytes} and a message RAW with that block, or {error}

It knows no connection. The bytes of a RAW message depend on its block alone, so that a torn one is resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from user_gym.core import U8
from user_gym.errors import BadBlock, Gone, UnknownName
from user_gym.system.buffer.block import Block
from user_gym.system.link import brought
from user_gym.system.link.raw.archive import RAW, Archive
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.lanes import FROM_EDGE, Lane
from user_gym.system.link.wire.message import Message
from user_gym.system.link.wire.words import Key

ALL = -1  # as a sequence: which there are
MOST_BLOCKS = 1 << 15  # of an episode; with a number each in a message's words
_MOST = FROM_EDGE[Lane.RAW] - (1 << 12)  # bytes of a block, in a message with its words
_HEAD = 80  # bytes of a block that hold the CRC of its prefix, which holds those of all else: docs/format.md


class Lent(NamedTuple):
    """An answer, and the block that it speaks of."""

    reply: Message
    block: Message | None
    transfer: bytes  # names the bytes of `block` across connections


def question(source: str, episode: int, sequence: int = ALL) -> dict[str, object]:
    """The words that ask."""
    return {"source": source, "episode": episode, "sequence": sequence}


def answer(archive: Archive | None, asked: Message) -> Lent:
    """What an archive has of what is asked for. It waits for the disk. Raises BadBlock: the question is none."""
    source, episode = words.text(asked, "source", 200), words.number(asked, "episode")
    sequence = words.number(asked, "sequence", ALL)
    if archive is None:
        return _refused("nothing is recorded here: it has no archive of raw streams")
    try:
        if not archive.is_whole(source, episode) and archive.places(source, episode):
            return _refused(f"episode {episode} of {source} is not over; ask again when it is")
        if sequence == ALL:
            places = archive.places(source, episode)
            if len(places) > MOST_BLOCKS:
                return _refused(f"episode {episode} of {source} has {len(places)} blocks; allowed: {MOST_BLOCKS}")
            return Lent(Message(Kind.REPLY, {"blocks": [[p.sequence, p.nbytes] for p in places]}), None, b"")
        block = archive.read(source, episode, sequence)
    except (UnknownName, Gone, BadBlock) as error:
        return _refused(str(error))
    if len(block.data) > _MOST:
        return _refused(f"block {sequence} has {len(block.data)} bytes; allowed: {_MOST}")
    data = {"block": np.frombuffer(block.data, np.uint8)}
    transfer = hashlib.blake2b(block.data[:_HEAD] + len(block.data).to_bytes(8, "little"), digest_size=16).digest()
    return Lent(Message(Kind.REPLY, {"bytes": len(block.data)}), Message(Kind.RAW, {}, data), transfer)


def listed(reply: Message) -> dict[int, int]:
    """Sequence -> bytes, of an answer. Raises Gone where there is nothing, BadBlock where it is no answer."""
    _check(reply)
    found: dict[int, int] = {}
    for row in words.items(reply, "blocks", MOST_BLOCKS):
        match row:
            case [int() as sequence, int() as nbytes] if sequence >= 0 and 0 < nbytes <= _MOST:
                found[sequence] = nbytes
            case _:
                raise BadBlock("block of an episode", row, f"[sequence, bytes], {_MOST} bytes at most")
    return found


def coming(reply: Message) -> None:
    """Raises Gone where an answer says that the block does not come."""
    _check(reply)


def key_of(message: Message) -> Key:
    """Which block a message RAW brings. Raises BadBlock."""
    head = brought.head(_data(message).data)
    return Key.of(head)


def lent(message: Message) -> Block:
    """The block of a message RAW, every byte of it checked. Raises BadBlock."""
    block = brought.block(_data(message).data)
    if block.head.group != RAW:
        raise BadBlock("group of a block", block.head.group, repr(RAW))
    brought.check(block)
    return block


def missing(archive: Archive, source: str, episode: int, there: Sequence[int]) -> list[int]:
    """Which of these blocks are not here yet."""
    try:
        here = {place.sequence for place in archive.places(source, episode)}
    except UnknownName:
        here = set[int]()
    return [sequence for sequence in there if sequence not in here]


def _data(message: Message) -> U8:
    data = message.arrays.get("block")
    if message.kind is not Kind.RAW or data is None or data.ndim != 1 or data.dtype != "u1":
        raise BadBlock(f"message {message.kind.name}", sorted(message.arrays), "RAW with 'block', uint8 (bytes,)")
    return data


def _refused(why: str) -> Lent:
    return Lent(Message(Kind.REPLY, {"error": why[:900]}), None, b"")


def _check(reply: Message) -> None:
    if "error" in reply.words:
        raise Gone(words.text(reply, "error"))
