"""The side door: whatever a visitor sends is refused once, and what it borrowed is given back when it leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import pytest
from can_host import arm
from fci_client import free_address

from user_gym.errors import LinkLost, RobotFault
from user_gym.robots import specs
from user_gym.robots.gate import GateClock
from user_gym.robots.side import MAX_HEADER, Message, Side
from user_gym.sim import side_door
from user_gym.sim.fci.twin import FciTwin
from user_gym.sim.side_door import SideDoor
from user_gym.tasks.peg_insert import PegInsert

PATIENCE = 10.0


class Room:
    """What lies behind the door of these tests."""

    def __init__(self) -> None:
        self.mode = "paced"
        self.stuck = threading.Event()

    def switch(self, arguments: dict[str, Any], body: bytes) -> Message:
        if arguments["mode"] == "none":
            raise RobotFault("no such mode")
        self.mode = arguments["mode"]
        return Message({})

    def again(self) -> Any:
        mode = self.mode
        return lambda: setattr(self, "mode", mode)

    def add(self, arguments: dict[str, Any], body: bytes) -> Message:
        return Message({"sum": int(arguments["x"]) + 1})

    def fail(self, arguments: dict[str, Any], body: bytes) -> Message:
        raise OSError("a surprise")


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def door(room: Room) -> Iterator[SideDoor]:
    door = SideDoor("127.0.0.1:0", {"mode": room.switch, "add": room.add, "fail": room.fail}, {"mode": room.again})
    door.open()
    yield door
    door.close()


@pytest.fixture
def visit() -> Iterator[Callable[[str], Side]]:
    visits = []

    def connect(address: str) -> Side:
        visits.append(side := Side(address, PATIENCE))
        side.connect()
        return side

    yield connect
    for side in visits:
        side.close()


def connect(door: SideDoor) -> socket.socket:
    host, _, port = door.address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def say(link: socket.socket, header: bytes, size: int | None = None) -> dict[str, Any]:
    """Send a header as it is; what is answered."""
    link.sendall(struct.pack("<II", len(header) if size is None else size, 0) + header)
    with link.makefile("rb") as replies:
        length, _ = struct.unpack("<II", replies.read(8))
        return json.loads(replies.read(length))


def until(holds: Any) -> None:
    end = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < end, "it did not happen in time"
        sleep(0.002)


HOSTILE = {
    "deep": b"[" * 60_000,
    "deep in an argument": b'{"op": "add", "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "infinity": b'{"op": "add", "x": Infinity}',
    "too large a float": b'{"op": "add", "x": 1e999}',
    "nan": b'{"op": "add", "x": NaN}',
    "too large a number": b'{"op": "add", "x": ' + b"9" * 5000 + b"}",
    "no text": b"\xff\xfe\x00\x01",
    "no json": b"hello",
    "no object": b"[]",
    "no operation": b'{"op": ["add"]}',
    "an argument that is none": b'{"op": "add", "x": {}}',
    "no argument": b'{"op": "add"}',
    "a surprise": b'{"op": "fail"}',
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_means_nothing_gets_one_refusal_and_the_visitor_may_go_on(door: SideDoor, header: bytes) -> None:
    with connect(door) as link:
        refusal = say(link, header)["error"]
        assert 0 < len(refusal) < 600
        assert say(link, b'{"op": "add", "x": 1}') == {"sum": 2}


def test_what_is_too_large_is_refused_and_its_visitor_sent_away(visit: Callable[[str], Side], door: SideDoor) -> None:
    with connect(door) as link:
        assert f"allowed: {MAX_HEADER}" in say(link, b"x" * (MAX_HEADER + 1))["error"]
        assert link.recv(1) == b""
    assert visit(door.address).ask("add", x=1).header == {"sum": 2}


def test_one_visitor_too_many_is_told_so(visit: Callable[[str], Side], door: SideDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_door, "MAX_VISITORS", 1)
    first = visit(door.address)
    first.ask("add", x=1)
    with pytest.raises((RobotFault, LinkLost)):
        visit(door.address).ask("add", x=1)
    assert first.ask("add", x=2).header == {"sum": 3}


CROWDED = """
import os, resource, socket
from user_gym.robots.side import Message, Side
from user_gym.sim.side_door import SideDoor
door = SideDoor("127.0.0.1:0", {"add": lambda arguments, body: Message({"sum": arguments["x"] + 1})})
door.open()
host, _, port = door.address.rpartition(":")
most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 2, most[1]))
waiting = socket.socket(), socket.socket()  # with these no descriptor is left
try:
    os.dup(0)
except OSError:
    pass
for link in waiting:
    link.connect((host, int(port)))
print("full", flush=True)
input()
resource.setrlimit(resource.RLIMIT_NOFILE, most)
side = Side(door.address, 10.0)
side.connect()
print(side.ask("add", x=1).header["sum"], flush=True)
os._exit(0)
"""


def test_a_process_without_descriptors_left_opens_the_door_again_when_it_has_some() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CROWDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "full\n"
        assert "Too many open files" in child.stderr.readline()
        out, told = child.communicate("\n", timeout=30)
    finally:
        child.kill()
        child.wait(10)
    assert (out, told) == ("2\n", "")


def test_a_mode_lasts_until_its_visitor_leaves(visit: Callable[[str], Side], door: SideDoor, room: Room) -> None:
    one = visit(door.address)
    one.ask("mode", mode="gated")
    one.ask("mode", mode="lockstep")
    assert room.mode == "lockstep"
    one.close()
    until(lambda: room.mode == "paced")


def test_a_mode_lasts_until_the_last_of_its_visitors_leaves(visit: Callable[[str], Side], door: SideDoor, room: Room) -> None:
    one, two, other = visit(door.address), visit(door.address), visit(door.address)
    one.ask("mode", mode="gated")
    two.ask("mode", mode="lockstep")
    other.ask("add", x=1)
    one.close()
    until(lambda: len(door._visitors) == 2)
    assert room.mode == "lockstep"
    two.close()
    until(lambda: room.mode == "paced")


def test_a_mode_that_was_refused_is_nobodys(visit: Callable[[str], Side], door: SideDoor, room: Room) -> None:
    one = visit(door.address)
    with pytest.raises(RobotFault, match="no such mode"):
        one.ask("mode", mode="none")
    room.mode = "lockstep"
    one.close()
    until(lambda: not door._visitors)
    assert room.mode == "lockstep"


def test_a_mode_ends_with_a_visitor_that_is_killed(door: SideDoor, room: Room) -> None:
    code = f"import time\nfrom user_gym.robots.side import Side\nside = Side({door.address!r})\nside.connect()\n"
    code += "side.ask('mode', mode='gated')\nprint('in', flush=True)\ntime.sleep(60)"
    visitor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with visitor:
        assert visitor.stdout is not None
        assert visitor.stdout.readline() == "in\n"
        assert room.mode == "gated"
        os.kill(visitor.pid, signal.SIGKILL)
    until(lambda: room.mode == "paced")


def test_time_runs_again_when_the_clock_of_a_franka_twin_is_gone(visit: Callable[[str], Side]) -> None:
    spec = specs.spec("franka-fr3")
    with FciTwin(spec, PegInsert(spec), free_address(), mode="paced") as twin:
        runs_again(visit, twin)


def test_time_runs_again_when_the_clock_of_an_arx_twin_is_gone(visit: Callable[[str], Side]) -> None:
    with arm(mode="paced") as host:
        runs_again(visit, host.twin)


def runs_again(visit: Callable[[str], Side], twin: Any) -> None:
    side, clock = visit(twin.side), GateClock(twin.side, PATIENCE)
    clock.connect()
    with clock.free():
        assert side.ask("hello").header["mode"] == "lockstep"
    assert side.ask("hello").header["mode"] == "gated"
    clock.close()
    until(lambda: side.ask("hello").header["mode"] == "paced")
