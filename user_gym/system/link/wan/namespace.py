"""A network namespace of Linux: who is in it sees its devices, and no others.

It has no name and is no file: it ends with the last process or descriptor that is in it, so a kill leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from user_gym.errors import Closed

Result = TypeVar("Result")

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_OWN = "/proc/thread-self/ns/net"


class Namespace:
    """From `open` to `close`. Thread-safe."""

    def __init__(self) -> None:
        self._fd = -1

    def open(self) -> Namespace:
        """Make it. Raises PermissionError, or another OSError, where this process may not."""
        self._fd = _on_a_thread(lambda: _made())
        return self

    def __enter__(self) -> Namespace:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def within(self, call: Callable[[], Result]) -> Result:
        """Call something on a thread that is in here, and return what it returns.

        What it opens and starts belongs to this namespace for ever, whoever uses it afterwards.
        """
        if self._fd < 0:
            raise Closed("the namespace is closed; open it first")

        def entered() -> Result:
            _call("setns", self._fd, _CLONE_NEWNET)
            return call()

        return _on_a_thread(entered)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """A process in here; options as of `Popen`."""
        return self.within(lambda: subprocess.Popen(command, **options))

    def close(self) -> None:
        """Let go of it. May be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _made() -> int:
    _call("unshare", _CLONE_NEWNET)
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    """Of the C library: `os` has these from Python 3.12 on."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _on_a_thread(call: Callable[[], Result]) -> Result:
    """A thread of its own, for the namespace is the thread's."""
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # top of this thread: raised by who waits
            done.set_exception(error)

    thread = Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    return done.result()
