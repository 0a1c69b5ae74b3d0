"""The asking end of a collector on a cluster: one actor call for each request, through the `Gate` of the owner's actor."""

from __future__ import annotations

import uuid
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError

from user_gym.errors import PeerLost
from user_gym.system.cluster.gate import LOST


class ActorCaller:
    """A `processes.caller.Caller`.

    Args:
        owner: actor with the owner's `ask`.
        name: of the collector.
        timeout: s for an answer, beyond what the request itself asks to wait; more than the gate gives the owner.
    """

    def __init__(self, owner: Any, name: str, timeout: float = 15.0) -> None:
        self._owner, self._name, self._timeout = owner, name, timeout
        self._session: str | None = None

    @property
    def connected(self) -> bool:
        """As `Caller`."""
        return self._session is not None

    def call(self, words: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """As `Caller`."""
        first, session = self._session is None, self._session or uuid.uuid4().hex
        try:
            asked = self._owner.ask.remote(self._name, session, first, words, bytes(data))
            answer = answer_of(asked, self._timeout + words.get("wait", 0.0))
            if LOST in answer:
                raise PeerLost(answer[LOST])
        except PeerLost:
            self.close()
            raise
        self._session = session
        return answer

    def close(self) -> None:
        """As `Caller`. The gate notices when this collector comes again, or its driver says that it is gone."""
        self._session = None


def answer_of(asked: Any, timeout: float) -> Any:
    """What an actor answered. Raises PeerLost where it did not.

    Args:
        asked: the reference that its call returned.
        timeout: s.
    """
    try:
        return ray.get(asked, timeout=timeout)
    except (RayActorError, ObjectLostError) as error:
        raise PeerLost(f"the actor of the buffer's owner is gone: {error}") from error
    except GetTimeoutError as error:
        raise PeerLost(f"the actor of the buffer's owner has not answered for {timeout} s") from error
