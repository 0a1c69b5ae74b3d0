"""How long somebody has said nothing, to one who may have been asleep meanwhile. It knows neither of them."""

from __future__ import annotations

import time

_NAP = 2.0  # s between two looks that are no look: the listener was suspended, or had no processor
MUTE = 30.0  # s without a word after which a process hangs


class Silence:
    """Of one speaker, to one listener.

    A listener that was suspended has heard nothing, and nobody is to be killed for that: only what passed since it looks again
    and again counts. `broken` may be called by any thread, the rest by the listener's.
    """

    def __init__(self) -> None:
        self._heard = self._looked = self._awake = time.monotonic()

    def broken(self) -> None:
        """There was a word."""
        self._heard = time.monotonic()

    @property
    def raw(self) -> float:
        """s since the last word, whatever the listener did."""
        return time.monotonic() - self._heard

    def look(self) -> float:
        """s since the last word, as far as the listener was awake: to be asked again and again."""
        now = time.monotonic()
        if now - self._looked > _NAP:
            self._awake = now
        self._looked = now
        return now - max(self._heard, self._awake)
