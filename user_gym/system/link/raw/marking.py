"""A builder of training chunks that tells a recorder when episodes begin and end, so that both speak of the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from user_gym.core import Builder, Chunk
from user_gym.system.link.raw.recorder import Recorder


class Marking:
    """A `core.Builder`.

    Args:
        builder: makes the chunks.
        recorder: of the same robot.
    """

    def __init__(self, builder: Builder, recorder: Recorder) -> None:
        self._builder, self._recorder = builder, recorder

    def start(self, obs: Mapping[str, NDArray[Any]], episode: int, time: float = 0.0) -> None:
        """As `core.Builder.start`."""
        self._recorder.begin(episode, time)
        self._builder.start(obs, episode, time)

    def add(
        self,
        action: NDArray[Any],
        reward: float,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
        obs: Mapping[str, NDArray[Any]],
        version: int,
        extra: Mapping[str, Any] | None = None,
    ) -> Chunk | None:
        """As `core.Builder.add`."""
        if terminated or truncated:
            self._recorder.end()
        return self._builder.add(action, reward, terminated, truncated, info, obs, version, extra)

    def flush(self, truncated: bool = False) -> Chunk | None:
        """As `core.Builder.flush`."""
        self._recorder.end()
        return self._builder.flush(truncated)
