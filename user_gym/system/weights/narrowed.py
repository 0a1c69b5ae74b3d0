"""The same weights in bfloat16, for policies that act in it."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from user_gym.core import Weights
from user_gym.system.weights.arena import Arena
from user_gym.system.weights.bf16 import BF16, narrow
from user_gym.system.weights.ends import Subscriber
from user_gym.system.weights.layout import Layout


class All:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


class Narrowed:
    """A `Subscriber` of float32 weights that hands them out as bfloat16, rounded to nearest even; other tensors as they are.

    It rounds in the thread that asks, which is one that encodes or shares weights, not a policy's. To let the policies of one
    host have them: `publisher.publish(weights.arrays, weights.spec_hash, version=weights.version)`.

    Args:
        source: where weights come from; used by this object alone.
        names: of the tensors that become bfloat16.
    """

    def __init__(self, source: Subscriber, names: Container[str] = All()) -> None:
        self._source, self._names = source, names
        self._arena: Arena | None = None
        self._kinds: dict[str, str] = {}
        self._newest: Weights | None = None
        self._given = True

    def newest(self, than: int = -1) -> Weights | None:
        """As `Subscriber.newest`."""
        fresh = self._source.newest(-1 if self._newest is None else self._newest.version)
        if fresh is not None:
            self._newest, self._given = self._rounded(fresh), False
        if self._newest is None or (self._given and self._newest.version <= than):
            return None
        self._given = True
        return self._newest

    def _rounded(self, weights: Weights) -> Weights:
        layout = Layout.of(weights.arrays, self._names)
        if self._arena is None or self._arena.layout.words != layout.words:
            self._arena = Arena(layout)
        slot = self._arena.free()
        for tensor in layout.tensors:
            array, target = weights.arrays[tensor.name], tensor.view(slot.memory)
            if tensor.dtype == BF16 and array.dtype != BF16:
                narrow(np.ascontiguousarray(array), target.view(np.uint16))
            else:
                np.copyto(target, array)
        return Weights(weights.version, slot.lend(), weights.spec_hash)
