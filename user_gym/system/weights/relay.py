"""Carries the newest weights on from where a learner put them, in a thread of its own. It knows no cap, codec or network.

A learner's publication is one copy into its own or into shared memory. What lasts longer, a copy that a cap slows down, an
encoding, a broadcast, is done here, for the newest version at that moment; those that were overwritten meanwhile are skipped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from user_gym.core import Weights, real
from user_gym.errors import Closed
from user_gym.system.cap.copier import Copier
from user_gym.system.weights.ends import Subscriber

PERIOD = 0.005  # s between two looks at the source: short beside any update, and a look costs microseconds


class Relay:
    """From a `Subscriber` to whatever `carry` does with a version.

    Args:
        source: where weights come from; used by this object alone.
        carry: brings one version to where it is needed, and may last. What it raises ends the relay.
        copier: what `carry` copies through, if it does. It is the caller's to open; `close` closes it to end a copy.
        patience: s that `close` gives to what is under way.
    """

    def __init__(
        self,
        source: Subscriber,
        carry: Callable[[Weights], object],
        copier: Copier[Any] | None = None,
        *,
        patience: float = 1.0,
    ) -> None:
        self._source, self._carry, self._copier = source, carry, copier
        self._patience = real("patience", patience, 0.0, 3600.0, "s, 0 .. 3600")
        self._stop, self._changed = threading.Event(), threading.Condition()
        self._thread: threading.Thread | None = None
        self._carried, self._done = -1, False
        self._error: BaseException | None = None
        self._told = False  # somebody has been told of the error

    def open(self) -> Relay:
        """Begin. May be called twice. Raises Closed after close."""
        if self._stop.is_set():
            raise Closed("this relay of weights is closed; make another one")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="relay of weights", daemon=True)
            self._thread.start()
        return self

    @property
    def carried(self) -> int:
        """The version that arrived last; -1 for none. Raises what `carry` or the source has raised."""
        with self._changed:
            self._tell()
            return self._carried

    def wait(self, version: int, timeout: float) -> bool:
        """Whether a version, or one after it, has arrived within so many s. Raises what `carry` or the source has raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._carried >= version or self._done, timeout)
            self._tell()
            return self._carried >= version

    def close(self) -> None:
        """End. What is still under way after the patience ends with the copier. May be called twice.

        Raises:
            TimeoutError: `carry` does not end within a minute more.
            Exception: what `carry` or the source has raised, unless it was told before.
        """
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join(self._patience)
        if self._thread.is_alive() and self._copier is not None:
            self._copier.close()
        self._thread.join(60.0)
        if self._thread.is_alive():
            raise TimeoutError("a relay of weights was asked to end 60 s ago, and what carries them has not returned")
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        if self._error is not None:
            self._told = True
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                weights = self._source.newest(self._carried)
                if weights is None:
                    self._stop.wait(PERIOD)
                    continue
                self._carry(weights)
                with self._changed:
                    self._carried = weights.version
                    self._changed.notify_all()
        except BaseException as error:  # raised again where somebody asks
            if not (self._stop.is_set() and isinstance(error, Closed)):
                self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def __enter__(self) -> Relay:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()
