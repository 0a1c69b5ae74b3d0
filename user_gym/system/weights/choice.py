"""Which encoding brings weights to a receiver soonest: whole, or as a difference. It sends nothing."""

from __future__ import annotations

from user_gym.core import real
from user_gym.system.weights.blob import Kind

_FORGET = 0.75  # how much of what was measured counts after the next measurement


class LinkRate:
    """Bytes per second of one link, of its latest transfers; the large ones count most."""

    def __init__(self) -> None:
        self._nbytes = self._seconds = 0.0

    def measure(self, nbytes: int, seconds: float) -> None:
        """A transfer took so long, from the first byte sent to the receiver's word that it has all."""
        self._nbytes = _FORGET * self._nbytes + nbytes
        self._seconds = _FORGET * self._seconds + real("seconds", seconds, 0.0, float("inf"), "0 or more")

    @property
    def value(self) -> float | None:
        """Bytes per second; None before the first transfer."""
        return self._nbytes / self._seconds if self._seconds > 0.0 else None


class Choice:
    """Compares the time of the bytes that a difference saves with the time of making and undoing it.

    Args:
        bytes_per_parameter: of a difference, until one was made.
        seconds_per_parameter: to encode, until it was measured. To decode is taken to last as long.
    """

    def __init__(self, bytes_per_parameter: float = 0.4, seconds_per_parameter: float = 8e-9) -> None:
        self._nbytes, self._seconds = bytes_per_parameter, seconds_per_parameter

    def pick(self, nbytes: int, parameters: int, rate: float | None) -> Kind:
        """For an image.

        Args:
            nbytes: of the whole image.
            parameters: how many of its parameters are bfloat16; of an image without any, only what changed is sent.
            rate: of the link, bytes per second; None: not known yet, then the fewest bytes are best.
        """
        if not parameters or rate is None:
            return Kind.DIFFERENCE
        saved = (nbytes - self._nbytes * parameters) / rate
        return Kind.DIFFERENCE if saved > 2 * self._seconds * parameters else Kind.FULL

    def learn(self, parameters: int, nbytes: int, seconds: float) -> None:
        """A difference was made."""
        if parameters:
            self._nbytes += (nbytes / parameters - self._nbytes) * (1.0 - _FORGET)
            self._seconds += (seconds / parameters - self._seconds) * (1.0 - _FORGET)
