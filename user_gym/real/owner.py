"""The program that a worker obeys, as the kernel knows it: the end of a pipe alone does not say that a program is gone."""

from __future__ import annotations

import logging
import os
import select
import socket
from multiprocessing.connection import Connection

from user_gym.real.door import Claimant

_log = logging.getLogger(__name__)


class Owner:
    """Whoever has the right to the arm.

    Args:
        parent: process id of who gives orders; 0: not known.
        lessee: process id of whose lease it is; 0: nobody's.
        link: to who gives orders; None: nobody does yet.
        claim: of one that took the arm over; it ends when the lease was let go.
    """

    def __init__(self, parent: int, lessee: int = 0, link: Connection | None = None, claim: Claimant | None = None) -> None:
        self.parent, self.link, self.claim = parent, link, claim
        self._lessee = lessee if lessee != parent else 0
        self._deaths: dict[int, int | None] = {}  # by process id: readable when it has died; None: it had died already
        self._known = parent != 0

    def open(self) -> None:
        """Begin to see it die. While a process is looked at, no other one gets its number."""
        for pid in (self.parent, self._lessee):
            if not pid:
                continue
            try:
                self._deaths[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                self._deaths[pid] = None
            except (OSError, AttributeError) as error:  # an old kernel, a container that forbids it, or no Linux
                _log.info("only the pipe tells of the death of pid %d: %s", pid, error)
                self._known = False

    @property
    def death(self) -> int | None:
        """For poll: readable when who gives orders has died; None where that cannot be seen."""
        return self._deaths.get(self.parent)

    @property
    def dead(self) -> bool:
        """Whether who gives orders is known to have died."""
        return self.parent in self._deaths and _died(self._deaths[self.parent])

    @property
    def gone(self) -> bool:
        """Whether nobody is left who could give an order or hold the lease. False where that cannot be known."""
        return self._known and all(map(_died, self._deaths.values()))

    def speaks(self) -> bool:
        """Whether who gives orders lives, and has said something that nobody has heard. Hangs up at the end of the pipe."""
        if self.link is None or self.dead:
            return False
        try:
            with socket.socket(fileno=os.dup(self.link.fileno())) as end:
                if end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    return True
        except BlockingIOError:
            return False
        except ConnectionError as error:
            _log.info("the pipe broke: %s", error)
        self.hang_up()
        return False

    def hang_up(self) -> None:
        """The other end of the pipe is closed, or whoever is there is not heard any more."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def close(self, heir: Owner | None = None) -> None:
        """Forget it. A claim that the heir has as well stays open. May be called twice."""
        self.hang_up()
        claim, self.claim = self.claim, None
        if claim is not None and (heir is None or heir.claim is not claim):
            claim.close()
        for death in self._deaths.values():
            if death is not None:
                os.close(death)
        self._deaths.clear()
        self._known = False


def _died(death: int | None) -> bool:
    return death is None or bool(select.select([death], [], [], 0)[0])
