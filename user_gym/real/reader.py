"""Keeps a device open on a thread of its own and reads it until closed. Knows neither pictures nor people.

A device that is lost is opened again, ever more patiently; the thread never dies unseen: an error that nobody foresaw is
logged, kept, and raised by `check`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from user_gym.errors import BadOption, LinkLost, RobotFault, UserGymError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
Out = TypeVar("Out", covariant=True)


class Source(Protocol[Out]):
    """A device as its reader's thread sees it; only that thread calls it. Constructors do no I/O."""

    name: str

    def open(self) -> None:
        """Open it anew.

        Raises:
            LinkLost: it is not there now.
            MissingExtra, MissingSystem: this machine lacks something.
        """
        ...

    def read(self) -> Out | None:
        """The next thing it says, or None where it said nothing for a tenth of a second or so.

        Raises LinkLost where it is gone: it is then closed and opened again.
        """
        ...

    def close(self) -> None:
        """Let go; may be called twice."""
        ...


class Reader(Generic[T]):
    """Reads one source on one named thread.

    Args:
        source: what is read.
        take: gets everything that the source says, on the reader's thread; must not block.
        lost: told, on the reader's thread, that the source is gone until further notice.
        backoff: s before the first and, doubled each time, at most before a later attempt to open it again.
        patience: s that `connect` waits for the source, and `close` for the thread.
    """

    def __init__(
        self,
        source: Source[T],
        take: Callable[[T], None],
        lost: Callable[[], None] = lambda: None,
        backoff: tuple[float, float] = (0.1, 2.0),
        patience: float = 15.0,
    ) -> None:
        if not 0.0 < backoff[0] <= backoff[1]:
            raise BadOption("backoff", backoff, "(first, longest) in s, 0 < first <= longest")
        self._source, self._take, self._lost = source, take, lost
        self._backoff, self._patience = backoff, patience
        self._thread: threading.Thread | None = None
        self._stop, self._settled = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self.losses = 0  # how often the source was lost
        self.trouble = ""  # why it is not there now; empty while it is

    @property
    def running(self) -> bool:
        """Whether it was connected and not closed since."""
        return self._thread is not None

    def connect(self) -> None:
        """Open the source and read it from now on; raises what `Source.open` raises. A thread that died is started anew."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop.clear()
        self._settled.clear()
        self._error = None
        self._thread = threading.Thread(target=self._run, name=f"reader of {self._source.name}", daemon=True)
        self._thread.start()
        if not self._settled.wait(self._patience):
            self.close()
            raise LinkLost(f"{self._source.name} did not open within {self._patience:g} s")
        if self._error is not None:
            error = self._error
            self.close()
            raise error

    def check(self) -> None:
        """Raises RobotFault where the thread ended by an error."""
        if self._error is not None:
            raise RobotFault(f"nobody reads {self._source.name} any more: {self._error!r}; connect it again") from self._error

    def close(self) -> None:
        """End the thread, which lets go of the source. Raises RobotFault where it hangs in the device."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(self._patience)
            if thread.is_alive():
                raise RobotFault(f"{self._source.name} does not let go within {self._patience:g} s; unplug it")

    def _run(self) -> None:
        try:
            self._source.open()
            self._settled.set()
            while not self._stop.is_set():
                try:
                    heard = self._source.read()
                except LinkLost as error:
                    self._reopen(error)
                    continue
                if heard is not None:
                    self._take(heard)
        except Exception as error:  # the top of a thread: keep it for those who ask
            if self._settled.is_set() or not isinstance(error, UserGymError):
                _LOG.exception("reading %s ended", self._source.name)
            self._error = error
            self._lost()
        finally:
            self._source.close()
            self._settled.set()

    def _reopen(self, error: LinkLost) -> None:
        """Try until the source is there again, or until closed."""
        self.losses += 1
        self.trouble = str(error)
        _LOG.warning("lost %s: %s", self._source.name, error)
        self._lost()
        wait, longest = self._backoff
        while not self._stop.wait(wait):
            self._source.close()
            try:
                self._source.open()
            except UserGymError as again:  # no device, no permission: both may come back with the plug
                self.trouble = str(again)
                wait = min(2 * wait, longest)
            else:
                self.trouble = ""
                _LOG.warning("%s is back", self._source.name)
                return
