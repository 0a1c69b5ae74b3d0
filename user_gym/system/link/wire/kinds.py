"""What a message is about. Each kind travels in one lane."""

from __future__ import annotations

from enum import IntEnum

from user_gym.system.link.wire.lanes import Lane

PROTOCOL = 1  # which kinds there are, and what they say; both sides name theirs first


class Kind(IntEnum):
    """The words and arrays of each are in docs/link.md."""

    HELLO = 1  # edge: who I am, and what I still have
    WELCOME = 2  # hub: come in, and what I have of yours
    BYE = 4  # either: I leave on purpose
    BEAT = 5  # edge: how I am
    STOP = 6  # hub: your robots hold, now
    STOPPED = 7  # edge: they were told
    REQUEST = 8  # either: a question with a number
    REPLY = 9  # either: the answer with the same number
    WEIGHTS = 10  # hub: newer weights
    HELD = 11  # edge: the weights that I have now
    BLOCK = 12  # edge: experience
    STORED = 13  # hub: experience that is safe, or why it is not
    FETCH = 14  # hub: what is there of an episode's raw streams, or one block of them; answered by a REPLY
    RAW = 15  # edge, or hub to an operator: a block that was asked for
    ORDER = 16  # client, or hub to an edge: to an environment that runs there
    OUTCOME = 17  # edge, or hub to a client: what came of it, with the same number

    TAKE = 18  # hub: an operator has a robot from now on, or nobody has; with a number it is answered by a REPLY
    HAND = 19  # operator, or hub to an edge: what a person orders
    SEEN = 20  # edge, or hub to an operator: a robot's state, for who has it

    __hash__ = int.__hash__  # Enum's own is a function of Python

    @property
    def lane(self) -> Lane:
        """The one that it travels in."""
        return _LANES[self]


# To name a member of an Enum is a function of Python, and this is asked for every message.
_LANES = dict.fromkeys(Kind, Lane.CALL) | {
    Kind.STOP: Lane.STOP,
    Kind.STOPPED: Lane.STOP,
    Kind.BEAT: Lane.BEAT,
    Kind.TAKE: Lane.BEAT,
    Kind.HAND: Lane.BEAT,
    Kind.SEEN: Lane.BEAT,
    Kind.WEIGHTS: Lane.WEIGHTS,
    Kind.BLOCK: Lane.EXPERIENCE,
    Kind.RAW: Lane.RAW,
}
