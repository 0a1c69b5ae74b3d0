"""A driver in a process of its own, told what to do by name: franky and panda_py cannot live in one process.

`Rig.run("name", ...)` calls a function of franka_scenes in the child and returns what it returns, or raises what it raised.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import traceback
from multiprocessing.connection import Connection
from typing import Any

from user_gym import errors

_counter = itertools.count(1)


def address() -> str:
    """A loopback address that no other test worker uses."""
    pid, n = os.getpid(), next(_counter)
    return f"127.{64 + pid % 64}.{pid // 64 % 250 + 1}.{n % 250 + 1}"


class Rig:
    """The child. `close` ends it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def send(self, scene: str, *args: Any, **kwargs: Any) -> None:
        self._pipe.send((scene, args, kwargs))

    def receive(self, timeout: float = 100.0) -> Any:
        if not self._pipe.poll(timeout):
            raise TimeoutError(f"the child did not answer within {timeout} s")
        kind, name, result = self._pipe.recv()
        if kind == "error":
            raise getattr(errors, name, AssertionError)(result)
        return result

    def run(self, scene: str, *args: Any, **kwargs: Any) -> Any:
        self.send(scene, *args, **kwargs)
        return self.receive()

    def gone(self, timeout: float = 60.0) -> None:
        """Wait for the death of the child."""
        self._process.join(timeout)
        assert self._process.exitcode is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.join(10)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self.kill()


def _serve(pipe: Connection) -> None:
    scenes = importlib.import_module("franka_scenes")
    while True:
        try:
            scene, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("result", "", getattr(scenes, scene)(*args, **kwargs)))
        except Exception as error:
            told = str(error) if isinstance(error, errors.UserGymError) else traceback.format_exc()
            pipe.send(("error", type(error).__name__, told))
