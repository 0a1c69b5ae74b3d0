"""The process that owns one driver. It obeys its owner through a pipe, and outlives it long enough to leave the arm still.

No order for `stale` seconds: the driver holds, and orders are refused until the next reset. `user-gym stop`: the same, at once.
The owner is gone, or SIGTERM: hold, close, exit. But a driver whose arm has no brakes (attribute `brakes` False) goes on
holding it, since it would fall: until another owner takes it over (`vigil`), no motor answers, or an operator releases it.

Ctrl-C at the terminal does not reach it: it runs in a session of its own. It is started by its owner, never by a fork.
"""

from __future__ import annotations

import contextlib
from multiprocessing.connection import Connection, wait

from user_gym.errors import Closed, Stopped
from user_gym.real.arm import Arm
from user_gym.real.job import Job, Reply, Request
from user_gym.real.owner import Owner
from user_gym.real.session import Session
from user_gym.real.vigil import Tenure, Vigil
from user_gym.real.watch import ORPHANED, Watch
from user_gym.robots.lease import Hold


class Worker:
    """Serves one owner after another.

    Args:
        job: what to drive.
        link: to the first owner.
    """

    def __init__(self, job: Job, link: Connection) -> None:
        shared = job.shared
        self._hold = None if shared is None else Hold(shared.lease, shared.descriptor)
        owner = Owner(job.parent, 0 if shared is None else shared.lease.pid, link)
        self._watch = Watch(job.name, owner, lambda: self._arm.interrupt())
        self._arm = Arm(job, self._watch)
        self._tenure = Tenure(owner, job, self._serve(job))

    def open(self) -> None:
        """Listen for interruptions. Raises MissingSystem."""
        self._tenure.owner.open()
        self._watch.open()

    def run(self) -> None:
        """Obey one owner after another, until one closes the arm or the last one is gone for good."""
        try:
            while (heir := self._obey()) is not None:
                self._succeed(heir)
        finally:
            self._tenure.session.close()
            self._arm.close()
            self._watch.close()
            self._tenure.owner.close()
            if self._hold is not None:
                self._hold.release()

    def _serve(self, job: Job) -> Session:
        return Session(job, self._arm, self._watch)

    def _obey(self) -> Tenure | None:
        """Serve one owner; who comes after it, None where nobody does."""
        while not self._watch.orphaned and not self._watch.released and self._next():
            pass
        if not (self._watch.orphaned and self._arm.falls):
            return None
        self._halt()
        self._arm.attempt(self._arm.driver.hold)
        vigil = Vigil(self._arm, self._watch, self._tenure, self._hold, self._serve)
        return self._arm.attempt(vigil.keep)

    def _succeed(self, heir: Tenure) -> None:
        """Orders come from another owner from now on, or from the last one again."""
        last, self._tenure = self._tenure, heir
        self._watch.follow(heir.owner)
        if heir is last:
            return
        last.session.close()
        last.owner.close(heir.owner)
        self._arm.succeed(heir.job)
        if heir.owner.link is not None:
            with contextlib.suppress(OSError):  # that it died again, the watch sees
                heir.owner.link.send(Reply(0, stops=self._watch.forgiven))

    def _next(self) -> bool:
        """Wait for one thing and do it; whether to go on."""
        owner, _, session = self._tenure
        link, patience = owner.link, session.patience
        if link is None:
            self._watch.end(ORPHANED)
            return False
        ready = wait([link, self._watch.fileno()], patience)
        if not ready:
            name = self._arm.job.name
            self._arm.refuse(Stopped(f"{name} stopped: no order for {patience:g} s; reset() goes on"))
            return True
        if self._watch.fileno() in ready:
            self._watch.hush()
            self._halt()
            return True
        try:
            request: Request = link.recv()
            if request.verb == "attend":  # no answer: that it came is all it says
                return True
            reply = session.answer(request)
            closed = request.verb == "close" and not self._arm.connected
            if closed:
                self._watch.close()  # nothing is left to stop; the owner waits from its answer on
            link.send(reply)
        except (EOFError, ConnectionError):
            owner.hang_up()
            self._watch.end(ORPHANED)  # the watch's thread may not have seen it yet
            return False
        return not closed

    def _halt(self) -> None:
        """Hold where there is a reason to."""
        try:
            self._watch.check()
        except Stopped as stopped:
            self._arm.refuse(stopped)
        except Closed:  # the request to close comes next
            pass
