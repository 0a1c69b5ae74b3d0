"""Batches with fixed shares from several storages, as RLPD's half demonstrations, half experience. It knows no learner."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.core import Batch, Storage, real, whole
from user_gym.errors import BadOption


class Mixture:
    """A sampler for `Learner`: each part gives its share of every batch, to the nearest transition.

    The share of a part that is still empty goes to the others. Rows come in the order of the parts.

    Args:
        parts: storages or views, each with its share > 0; shares are relative.
        batch_size: transitions in a batch.
        horizon: steps that each row may span, as in `core.Storage.sample`.
    """

    def __init__(self, parts: Sequence[tuple[Storage, float]], batch_size: int = 256, horizon: int = 1) -> None:
        allowed = "one part or more, each with a share > 0"
        if not parts:
            raise BadOption("parts", parts, allowed)
        for _, share in parts:
            real("share of a part", share, sys.float_info.min, sys.float_info.max, allowed)
        least = len(parts)
        self._parts, self._horizon = tuple(parts), whole("horizon", horizon, 1)
        self._batch_size = whole("batch_size", batch_size, least, f"a whole number, {least} or more, one for each part")

    def __call__(self, storage: Storage, rng: np.random.Generator) -> Batch:
        """One batch; `storage`, the learner's own, is not used. Raises BadOption when all parts are empty."""
        parts = [(part, share) for part, share in self._parts if len(part)]
        if not parts:
            raise BadOption("sample", self._batch_size, "nothing yet: all parts of the mixture are empty")
        edges = np.cumsum([0.0, *(share for _, share in parts)])
        counts = np.diff(np.rint(edges / edges[-1] * self._batch_size).astype(int))
        drawn = [part.sample(int(n), rng, self._horizon) for (part, _), n in zip(parts, counts, strict=True) if n]
        return drawn[0] if len(drawn) == 1 else _joined(drawn)


def _joined(batches: Sequence[Batch]) -> Batch:
    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(batch, name) for batch in batches])

    def columns(name: str) -> Mapping[str, NDArray[Any]]:
        return {key: np.concatenate([getattr(batch, name)[key] for batch in batches]) for key in getattr(batches[0], name)}

    return Batch(
        obs=columns("obs"),
        action=column("action"),
        ordered=column("ordered"),
        reward=column("reward"),
        next_obs=columns("next_obs"),
        terminated=column("terminated"),
        truncated=column("truncated"),
        policy_version=column("policy_version"),
        is_intervention=column("is_intervention"),
        extra=columns("extra"),
        valid=None if batches[0].valid is None else column("valid"),
    )
