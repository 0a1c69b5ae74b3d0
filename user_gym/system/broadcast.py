"""Latest value of a policy's weights: the newest overwrites, nobody waits. It does not know what the arrays mean."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Weights


class Broadcaster:
    """One writer's newest weights, for any number of readers.

    Readers never block and never see a torn copy: each publication is a fresh set of read-only arrays, and handing it over
    is one assignment.

    Args:
        version: of the last weights published before, as on resume; -1 for none.
    """

    def __init__(self, version: int = -1) -> None:
        self._version = version
        self._newest: Weights | None = None
        self._publishing = Lock()

    @property
    def version(self) -> int:
        """Version of the newest weights; the starting version before the first publication."""
        return self._version

    def publish(self, arrays: Mapping[str, NDArray[Any]], spec_hash: str) -> Weights:
        """Copy the arrays and make them the newest, one version up."""
        copies: dict[str, NDArray[Any]] = {}
        for name, array in arrays.items():
            copies[name] = np.array(array)
            copies[name].flags.writeable = False
        with self._publishing:
            weights = Weights(self._version + 1, MappingProxyType(copies), spec_hash)
            self._newest = weights
            self._version = weights.version
        return weights

    def newest(self, than: int = -1) -> Weights | None:
        """The newest weights if their version is above `than`, else None."""
        weights = self._newest
        return weights if weights is not None and weights.version > than else None
