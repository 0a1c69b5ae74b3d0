"""Files that the kernel locks, in one folder for all users of a machine, because they share its robots.

A lock ends with the last process that has its descriptor open, however that process dies; there is nothing to clean up.
Containers that do not share the folder do not see each other.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from user_gym.errors import BadOption, Busy

VARIABLE = "USER_GYM_LEASES"
# Not the user's runtime folder: logging out removes that under a running job, and other users would not see the lock.
DEFAULT = Path("/tmp/user_gym-leases")  # systemd-tmpfiles leaves a locked file alone
POLL = 0.02  # s between tries: flock cannot wait with a time-out
MOST = 1 << 16  # bytes of a file's text that are read


def folder() -> Path:
    """$USER_GYM_LEASES, else one place for the whole machine. Makes it. Raises BadOption."""
    place = Path(os.environ.get(VARIABLE) or DEFAULT)
    try:
        place.mkdir()
        place.chmod(0o1777)  # as /tmp: every user adds files, nobody removes another's
    except FileExistsError:
        pass
    except OSError as error:
        raise BadOption("lease folder", str(place), "one that can be made", f"set ${VARIABLE}; {error}") from error
    if not (stat.S_ISDIR(place.lstat().st_mode) and os.access(place, os.W_OK | os.X_OK)):
        raise BadOption("lease folder", str(place), "a folder that all may write to", f"chmod 1777 it, or set ${VARIABLE}")
    return place


def open_file(path: Path) -> int:
    """Descriptor of a file that every user may lock and write; made if it is not there."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        # Not with O_CREAT: the kernel refuses that for another user's file in a folder like /tmp (fs.protected_regular).
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    os.fchmod(descriptor, 0o666)  # whatever the umask: the next owner may be another user
    return descriptor


def lock(descriptor: int) -> bool:
    """Lock an open file for this process, if nobody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_locked(path: Path) -> bytes | None:
    """What a file says while somebody holds it locked; None where nobody does, or the file is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, MOST, 0)
    finally:
        os.close(descriptor)
    return None


@contextmanager
def alone(name: str, deadline: float) -> Iterator[None]:
    """Inside, no other process of the machine is in a block of this name.

    Args:
        name: of the file that is locked.
        deadline: s, monotonic. One try is made even after it.

    Raises:
        Busy: another process was inside until the deadline.
    """
    descriptor = open_file(folder() / name)
    try:
        while not lock(descriptor):
            if time.monotonic() >= deadline:
                raise Busy(f"another process keeps {folder() / name} locked; it may be suspended: fuser -v {folder() / name}")
            time.sleep(POLL)
        yield
    finally:
        os.close(descriptor)
