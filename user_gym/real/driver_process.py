"""The process that drives an arm, as its owner sees it: started for it, or taken over together with the lease."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

from user_gym.real.berth import Place
from user_gym.real.job import Shared

_GO = "import sys; from user_gym.real.process import main; main(int(sys.argv[1]))"


class DriverProcess(Protocol):
    """As much of `subprocess.Popen` as an owner needs."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def poll(self) -> int | None:
        """None while it lives."""
        ...

    def wait(self, timeout: float) -> int | None:
        """Its exit code, None where that is not known. Raises subprocess.TimeoutExpired."""
        ...

    def send_signal(self, number: int, /) -> None:
        """To it, and to no other process that got its number."""
        ...


class Adopted:
    """A driver process that another program started: how it ended, only that program could have known.

    Args:
        pid: of it.
        death: descriptor, readable when it has died; it is closed with this.
    """

    def __init__(self, pid: int, death: int) -> None:
        self.pid, self._death = pid, death

    def poll(self) -> int | None:
        """As `DriverProcess.poll`."""
        return 0 if self._died(0.0) else None

    def wait(self, timeout: float) -> int | None:
        """As `DriverProcess.wait`."""
        if not self._died(timeout):
            raise subprocess.TimeoutExpired(f"driver process {self.pid}", timeout)
        return None

    def send_signal(self, number: int, /) -> None:
        """As `DriverProcess.send_signal`."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._death, number)

    def close(self) -> None:
        """Look at it no more."""
        os.close(self._death)

    def _died(self, timeout: float) -> bool:
        return bool(select.select([self._death], [], [], timeout)[0])


class Attached(NamedTuple):
    """A driver process that was told its job; its answer comes through the pipe."""

    process: DriverProcess
    link: Connection


def attach(place: Place) -> Attached:
    """The process that came with the lease, else a new one. Raises LinkLost where the first one does not answer."""
    bond = None if place.lease is None else place.lease.bond
    pipe = None if bond is None else bond.drive()
    if bond is None or pipe is None:
        return _start(place)
    with contextlib.ExitStack() as otherwise:
        link = otherwise.enter_context(Connection(pipe.detach()))
        process = Adopted(bond.pid, bond.death())
        otherwise.callback(process.close)
        link.send(replace(place.job, parent=os.getpid()))
        otherwise.pop_all()
    return Attached(process, link)


def _start(place: Place) -> Attached:
    ours, child = socket.socketpair()
    link = Connection(ours.detach())
    shared = None if place.lease is None else Shared(place.lease.lease, place.lease.duplicate())
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _GO, str(child.fileno()), f"user-gym:{place.job.name}"],
            pass_fds=(child.fileno(), *(() if shared is None else (shared.descriptor,))),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent: the worker stops the arm when it is told to
        )
        link.send(replace(place.job, parent=os.getpid(), shared=shared))
    except BaseException:
        link.close()
        raise
    finally:
        child.close()
        if shared is not None:
            os.close(shared.descriptor)
    return Attached(process, link)
