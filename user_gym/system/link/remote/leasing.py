"""A client asks its hub for a robot, and gives it back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any

import numpy as np

from user_gym.errors import BadBlock, PeerLost
from user_gym.system.link.remote import faults
from user_gym.system.link.remote.asks import Ask, Reader
from user_gym.system.link.remote.uplink import Inbox, Uplink
from user_gym.system.link.wire import words
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

_RELEASE = 2.0  # s that a hub may take to say that a robot is free


def lease(
    uplink: Uplink,
    *,
    edge: str,
    ids: Sequence[str],
    place: str,
    options: Mapping[str, Any],
    spaces: bool,
    deadline: float,
) -> tuple[str, str, dict[str, Any]]:
    """A robot, for this client alone.

    Args:
        uplink: connected.
        edge: "EDGE", "EDGE/ROBOT" or "": any.
        ids: any of these environments will do.
        place: a word of the client's: what it had for that ends.
        options: of the environment.
        spaces: whether the edge is to say what they are.
        deadline: monotonic s.

    Returns:
        The lease, the robot as "EDGE/ROBOT", and what the edge says of the environment.

    Raises:
        Busy, NotAdmitted, UnknownName, BadOption: the hub or the edge refuses.
        PeerLost: no answer.
    """
    asked = {"ask": int(Ask.LEASE), "edge": edge, "ids": list(ids), "place": place, "options": dict(options), "spaces": spaces}
    inbox: Inbox = SimpleQueue()
    number = uplink.order(lambda number: Message(Kind.ORDER, asked, {}, number), inbox)
    answer = uplink.wait(number, inbox, deadline)
    id = answer.words.get("lease")
    if "error" in answer.words:
        if isinstance(id, str):  # the edge could not open it; it is free for others
            release(uplink, id)
        raise faults.heard(answer.words["error"])
    said = Reader().read(Ask.OPEN, answer.words.get("form"), answer.arrays.get("block", np.empty(0, np.uint8)), copy=True)
    if not isinstance(said, dict):
        raise BadBlock("answer of an edge", said, "what it opened")
    return words.text(answer, "lease"), str(said.get("robot", "")), said


def release(uplink: Uplink, lease: str) -> None:
    """It is free for others. Where the hub is not to be reached, it finds out by itself."""
    inbox: Inbox = SimpleQueue()
    with contextlib.suppress(PeerLost):
        number = uplink.order(lambda n: Message(Kind.ORDER, {"ask": int(Ask.RELEASE), "lease": lease}, {}, n), inbox)
        uplink.wait(number, inbox, monotonic() + _RELEASE)
