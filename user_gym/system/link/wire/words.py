"""Words of a message that came, read one by one: each is what it has to be, or the message is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from user_gym.errors import BadBlock
from user_gym.system.buffer.head import Head
from user_gym.system.link.wire.message import Message

_MOST_TEXT = 1000  # characters
_MOST_NUMBER = (1 << 63) - 1


class Key(NamedTuple):
    """What a block is known by, at both ends."""

    source: str
    episode: int
    sequence: int

    @classmethod
    def of(cls, head: Head) -> Key:
        """Of the block with this head."""
        return cls(head.source, head.episode, head.sequence)


def text(message: Message, name: str, most: int = _MOST_TEXT) -> str:
    """Raises BadBlock."""
    value = message.words.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise _bad(message, name, value, f"text of {most} characters at most")
    return value


def number(message: Message, name: str, least: int = 0) -> int:
    """A whole number. Raises BadBlock."""
    value = message.words.get(name)
    if type(value) is not int or not least <= value <= _MOST_NUMBER:
        raise _bad(message, name, value, f"a whole number, {least}..{_MOST_NUMBER}")
    return value


def flag(message: Message, name: str) -> bool:
    """Raises BadBlock."""
    value = message.words.get(name)
    if not isinstance(value, bool):
        raise _bad(message, name, value, "true or false")
    return value


def items(message: Message, name: str, most: int) -> list[Any]:
    """A list. Raises BadBlock."""
    value = message.words.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise _bad(message, name, value, f"a list of {most} at most")
    return value


def table(message: Message, name: str, most: int) -> Mapping[str, Any]:
    """Raises BadBlock."""
    value = message.words.get(name)
    if not isinstance(value, dict) or len(value) > most:
        raise _bad(message, name, value, f"an object of {most} names at most")
    return value


def torn(message: Message) -> dict[bytes, int]:
    """What the other side kept of transfers. Raises BadBlock."""
    found: dict[bytes, int] = {}
    for name, kept in table(message, "torn", 16).items():
        try:
            found[bytes.fromhex(name)] = kept
        except ValueError as error:
            raise _bad(message, "torn", name, "transfers in hexadecimal") from error
        if type(kept) is not int or kept < 1:
            raise _bad(message, "torn", kept, "bytes, 1 or more")
    return found


def said_torn(kept: Mapping[bytes, int]) -> dict[str, int]:
    """The inverse of `torn`."""
    return {transfer.hex(): count for transfer, count in kept.items()}


def key(message: Message, value: Any) -> Key:
    """Of a block, from [source, episode, sequence]. Raises BadBlock."""
    match value:
        case [str() as source, int() as episode, int() as sequence] if episode >= 0 and sequence >= 0:
            return Key(source, episode, sequence)
    raise _bad(message, "key of a block", value, "[source, episode, sequence]")


def _bad(message: Message, name: str, value: Any, allowed: str) -> BadBlock:
    return BadBlock(f"{name!r} of a message {message.kind.name}", value, allowed)
