"""The two ends of every path that weights take, whatever lies between: a variable, shared memory or a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from user_gym.core import Weights


@runtime_checkable
class Publisher(Protocol):
    """Takes a learner's weights. The newest overwrite the ones before; nobody waits."""

    @property
    def version(self) -> int:
        """Of the newest weights; the starting version before the first publication."""
        ...

    def publish(
        self, arrays: Mapping[str, NDArray[Any]], spec_hash: str, *, version: int | None = None, partial: bool = False
    ) -> Weights:
        """Copy the arrays and make them the newest.

        Args:
            arrays: names, dtypes and shapes of the first publication stay those of all later ones.
            spec_hash: of the policy.
            version: above the last one; None: one up.
            partial: `arrays` are some of them, the others are as they were; not in the first publication of this object.

        Returns:
            Read-only arrays. They stay as they are while anybody holds them; who does makes the memory grow by one copy.

        Raises:
            BadOption: arrays, spec_hash or version do not fit what was published before, or `partial` has nothing before it.
            NoSpace: there is no memory for one more copy.
            Closed: after close.
        """
        ...


@runtime_checkable
class Subscriber(Protocol):
    """Hands weights to a policy. Owned by one thread, except where its class says otherwise."""

    def newest(self, than: int = -1) -> Weights | None:
        """The newest weights if they are newer than version `than`, or of another learner; else None. It never waits.

        After a learner was restarted from a checkpoint, its versions may begin below those of the one before.
        """
        ...
