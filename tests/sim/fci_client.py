"""A client of FCI in a few lines, written from the protocol's tables alone: it shares no codec with the twin."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

_COUNT = itertools.count(1)
PATIENCE = 10.0  # s
MOVE, STOP = 1, 2
STATE_10, COMMAND_10 = 1377, 371


def free_address() -> str:
    """A loopback address that no other test of this machine uses: ports are fixed."""
    pid = os.getpid()
    return f"127.{10 + pid // 250 % 200}.{1 + pid % 250}.{next(_COUNT) % 250 + 1}"


def run(script: str, *arguments: str) -> str:
    """Run a vendor's client in a process of its own; what it printed."""
    order = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(order, capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class State(NamedTuple):
    number: int
    q: tuple[float, ...]
    q_d: tuple[float, ...]
    generator: int
    controller: int
    errors: bytes
    mode: int
    tau_d: tuple[float, ...]
    force: tuple[float, ...]


class Client:
    """Protocol 10. One thread."""

    def __init__(self, address: str, version: int = 10) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("0.0.0.0", 0))
        self.udp.settimeout(PATIENCE)
        self.tcp = socket.create_connection((address, 1337), PATIENCE)
        self._count = itertools.count()
        try:
            self.status = self.ask(0, struct.pack("<HH", version, self.udp.getsockname()[1]))
        except OSError:
            self.close()
            raise

    def send(self, command: int, payload: bytes = b"") -> int:
        number = next(self._count)
        self.tcp.sendall(struct.pack("<III", command, number, 12 + len(payload)) + payload)
        return number

    def reply(self) -> tuple[int, int, bytes]:
        """Command, command_id and payload of the next reply."""
        command, number, size = struct.unpack("<III", self._exactly(12))
        return command, number, self._exactly(size - 12)

    def ask(self, command: int, payload: bytes = b"") -> bytes:
        number = self.send(command, payload)
        got, answered, rest = self.reply()
        assert (got, answered) == (command, number)
        return rest

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.tcp.recv(size - len(data))
            if not part:
                raise ConnectionError("hung up")
            data += part
        return data

    def state(self) -> State:
        data, self.server = self.udp.recvfrom(4096)
        assert len(data) == STATE_10
        floats = {name: struct.unpack_from("<7f", data, at) for name, at in (("q", 596), ("q_d", 624), ("tau", 540))}
        return State(
            struct.unpack_from("<Q", data)[0], floats["q"], floats["q_d"], data[1288], data[1289], data[1290:1331], data[1372],
            floats["tau"], struct.unpack_from("<6f", data, 868),
        )  # fmt: skip

    def newest(self, after: int) -> State:
        """The first state with a greater number."""
        while (state := self.state()).number <= after:
            pass
        return state

    def until(self, mode: int) -> State:
        """The first state of that robot mode."""
        while (state := self.state()).mode != mode:
            pass
        return state

    def move(self, controller: int = 0, generator: int = 0) -> int:
        """Start a motion; the status of the first reply."""
        payload = struct.pack("<II6d?7d", controller, generator, *[10.0, 3.12, 6.28] * 2, False, *[0.0] * 7)
        return self.ask(MOVE, payload)[0]

    def command(
        self, answers: int, q=(0.0,) * 7, tau=(0.0,) * 7, finished: bool = False, dq=(0.0,) * 7, pose=None, twist=(0.0,) * 6
    ) -> None:
        pose = pose or (1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0)
        data = struct.pack("<Q7d7d16d6d2dBB7dB", answers, *q, *dq, *pose, *twist, 0.0, 0.0, 0, finished, *tau, finished)
        assert len(data) == COMMAND_10
        self.udp.sendto(data, self.server)

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
