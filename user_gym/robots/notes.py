"""What the file of a lease says, for people: whose it is, and how to get it. Nothing is decided by it."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

from user_gym.core import Device, Lease

_LONGEST = 200  # characters of a command line that a message quotes


def sign(device: Device, address: str, passing: bool) -> Lease:
    """What this process says of a device that it has taken."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without a name
        user = str(os.getuid())
    return Lease(device.id, address, os.getpid(), user, socket.gethostname(), command(), time.time(), passing)


def read(note: bytes) -> Lease | None:
    """What a file says; None: nothing, or nothing that means anything."""
    try:
        return Lease(**json.loads(note))
    except (ValueError, TypeError):
        return None


def write(descriptor: int, lease: Lease) -> None:
    """Into the file of a lock that this process holds. Raises OSError."""
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(lease)).encode(), 0)


def ended(lease: Lease) -> bool:
    """Whether its process is gone, as far as this one can see."""
    return lease.pid != 0 and not Path(f"/proc/{lease.pid}").exists()


def describe(lease: Lease | None) -> str:
    """Owner of a lease in words, and how to get the device."""
    if lease is None:
        return "its owner let go this moment; try again"
    if lease.pid == 0:
        return "by a process that has not said its name yet; try again"
    if lease.passing:
        return f"by a probe of pid {lease.pid}: {lease.command}; try again"
    if lease.pid == os.getpid():
        return f"by this process (pid {lease.pid}) itself; close() what has it here, or use that"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.since))
    if lease.waiting:
        cure = f"a program of {lease.user!r} that names it takes it over, or: user-gym stop --release"
        return f"by its driver process (pid {lease.pid}), which holds it since {since}, after {lease.command} has ended; {cure}"
    gone = ended(lease)
    left = " (ended; a process that it started still holds the device)" if gone else ""
    cure = "user-gym stop --release lets go of an arm that is held" if gone else "wait for it, or end it"
    return f"by pid {lease.pid}{left} of {lease.user!r} since {since}: {lease.command}; {cure}"


def command() -> str:
    """What this process was started with, on one line, for people who wait for it."""
    return " ".join(shlex.join(sys.orig_argv).split())[:_LONGEST]
