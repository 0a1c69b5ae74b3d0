"""An arm without brakes after its program has died: it is held until another owner takes it over, or it may be let go.

The driver keeps it still by itself; this keeps the driver alive. Never two owners: nobody is let in before all processes of
the last owner are seen dead, or the one that took it over has let go of the lease. The lock of the lease is never let go on the
way: the next owner gets a copy of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from user_gym.errors import MissingSystem, RobotFault, UserGymError
from user_gym.real.arm import Arm
from user_gym.real.door import Door
from user_gym.real.job import Job, Reply, described
from user_gym.real.owner import Owner
from user_gym.real.session import Session
from user_gym.real.watch import Watch
from user_gym.robots.lease import Hold

_LOOK = 0.02  # s between two looks whether the motors still answer, and who has died
_log = logging.getLogger(__name__)


class Tenure(NamedTuple):
    """Who has the arm, and for what."""

    owner: Owner  # opened
    job: Job
    session: Session


class Vigil:
    """Keeps one arm from the death of an owner until the next one drives it.

    Args:
        arm: held by its driver.
        watch: hears operators.
        last: the owner that is gone. It may go on, too, where the driver process was told to end, and its owner lives.
        hold: the lease; None: there is none, and nobody can take the arm over.
        serve: begins the session of another owner.
    """

    def __init__(self, arm: Arm, watch: Watch, last: Tenure, hold: Hold | None, serve: Callable[[Job], Session]) -> None:
        self._arm, self._watch, self._last, self._hold, self._serve = arm, watch, last, hold, serve
        self._door = None if hold is None else Door(hold.lease.address)
        self._claim = last.owner.claim  # of who has the lease; None: the first owner, or nobody
        self._handed_on = self._claim is not None  # then the lease is free with the claim's end
        self._link: Connection | None = None  # to the same, from when it wants to drive
        self._waits = False  # for whoever knocks

    def keep(self) -> Tenure | None:
        """Hold the arm; who drives it next, None where it may be let go. Raises LinkLost where no motor answers any more."""
        name = self._arm.job.name
        _log.warning("%s has no brakes: held until its next owner, until power off, or: user-gym stop --release", name)
        heir: Tenure | None = None
        try:
            while heir is None and not self._watch.released:
                self._arm.driver.measure()
                heir = self._look()
        finally:
            if heir is None:
                self._drop()
            if self._door is not None:
                self._door.close()
        return heir

    def _look(self) -> Tenure | None:
        """What has happened to the ownership, within a moment."""
        heir: Tenure | None = None
        try:
            self._offer()
            door = self._door if self._door is not None and self._door.fileno() >= 0 else None
            if not self._watch.broken and self._last.owner.speaks():
                return self._last
            ready = select.select([end for end in (door, self._claim, self._link) if end is not None], [], [], _LOOK)[0]
            if self._link in ready:
                heir = self._engage()
            elif self._claim in ready:
                self._answer()
            elif self._door in ready:
                self._meet()
        except (OSError, MissingSystem):  # the arm is held all the same
            _log.exception("nobody can take %s over any more", self._arm.job.name)
            self._drop()
            if self._door is not None:
                self._door.close()
            self._door, heir = None, None
        return heir

    def _offer(self) -> None:
        """Open the door; once nobody has the arm any more, write that in the lease."""
        if self._waits or self._door is None or self._hold is None or self._watch.broken:
            return
        if self._claim is not None:
            self._door.open()  # to say who has it
        elif self._handed_on or self._last.owner.gone:
            self._door.open()
            self._hold.wait()
            self._waits = True

    def _meet(self) -> None:
        """Somebody knocks."""
        assert self._door is not None
        assert self._hold is not None
        lease = self._hold.duplicate()
        try:
            found = self._door.meet(lease, None if self._claim is None else self._claim.pid)
        finally:
            os.close(lease)
        if found is not None:
            self._claim, self._waits, self._handed_on = found, False, True

    def _answer(self) -> None:
        """Who has the lease asks to drive, or has let go."""
        assert self._claim is not None
        pipe = self._claim.pipe()
        self._drop(claim=pipe is None)
        if pipe is not None:
            self._link = Connection(pipe.detach())

    def _engage(self) -> Tenure | None:
        """Take the job of who wants to drive, if this driver can do it."""
        link, claim = self._link, self._claim
        assert link is not None
        assert claim is not None
        try:
            job: Job = link.recv()  # a pickle of the process that was let in, by a pipe that it alone has
            if (why := self._arm.job.unlike(job)) is not None:
                raise why
            session = self._serve(job)
        except (EOFError, ConnectionError):
            self._drop(claim=False)
            return None
        except Exception as error:  # what this driver cannot do, or what is no job of this version
            _log.warning("pid %d cannot take over %s: %s: %s", claim.pid, self._arm.job.name, type(error).__name__, error)
            known = error if isinstance(error, UserGymError) else RobotFault(f"no job: {type(error).__name__}: {error}")
            with contextlib.suppress(OSError):  # it has gone meanwhile
                link.send(Reply(0, error=described(known)))
            self._drop(claim=False)
            return None
        _log.warning("pid %d takes over %s, which was held for it", claim.pid, job.name)
        owner = Owner(claim.pid, link=link, claim=claim)
        owner.open()
        return Tenure(owner, job, session)

    def _drop(self, claim: bool = True) -> None:
        """Hang up on who wanted to drive, and on who has the lease."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if claim and self._claim is not None:
            if self._claim is self._last.owner.claim:  # who let go of the lease gives no orders, either
                self._last.owner.close()
            self._claim.close()
            self._claim = None
