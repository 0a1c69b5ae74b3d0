"""Twins as a user starts them: `user-gym twin`, each a process of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

_numbers = itertools.count(1)


def fresh_address() -> str:
    """A loopback address that no other test of any process uses."""
    number = (os.getpid() * 10 + next(_numbers)) % (250 * 250 * 20)
    return f"127.{20 + number // 62500}.{number // 250 % 250 + 1}.{number % 250 + 1}"


class Served:
    """A `user-gym twin` that said it is ready."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "user_gym.cli", "twin", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()
        lines = [""]
        while not lines[-1].startswith("twin = "):
            lines.append(self.process.stdout.readline())
            assert lines[-1], self.process.communicate(timeout=10)
        self.entry = "".join(lines)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)
