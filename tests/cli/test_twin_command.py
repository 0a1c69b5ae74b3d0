"""`user-gym twin` serves what the inventory can then name, and ends cleanly. Each twin is a real process here."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from user_gym.cli.main import main

_numbers = itertools.count(1)


def fresh_address() -> str:
    """A loopback address that no other test of any process uses."""
    number = (os.getpid() * 10 + next(_numbers)) % (250 * 250 * 20)
    return f"127.{20 + number // 62500}.{number // 250 % 250 + 1}.{number % 250 + 1}"


class Started:
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


@pytest.fixture
def start() -> Iterator[Any]:
    twins: list[Started] = []

    def run(*arguments: str) -> Started:
        twins.append(Started(*arguments))
        return twins[-1]

    yield run
    for twin in twins:
        twin.close()


def arx(home: Path, name: str = "x5") -> list[str]:
    return [
        "arx-x5",
        "--bus",
        f"seqpacket:{home}/{name}.can",
        "--side",
        f"unix:{home}/{name}.side",
        "--id",
        name,
        "--mode",
        "gated",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_twin_ends_cleanly_and_leaves_nothing_behind(start: Any, home: Path, number: int) -> None:
    twin = start(*arx(home))
    assert twin.ready == "ready: a twin of arx-x5, PegInsert, gated; Ctrl-C ends it. In the inventory:\n"
    assert twin.end(number) == 0
    assert not [p for p in home.iterdir() if p.suffix in (".can", ".side")]
    assert twin.process.stderr.read() == ""


def test_what_it_prints_is_an_inventory_entry_that_is_found_healthy(
    start: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = start(*arx(home))
    assert tomllib.loads(twin.entry)["robot"][0]["id"] == "x5"
    (home / "inventory.toml").write_text(twin.entry)
    assert main(["devices", "--json"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    assert (device["state"], device["reason"]) == ("free", "twin, PegInsert, gated; 4 motors answer")


def test_a_bus_or_side_door_in_use_is_one_clear_error(start: Any, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(*arx(home))
    for same, other in (("--bus", "--side"), ("--side", "--bus")):
        arguments = arx(home)
        place = arguments.index(other) + 1
        arguments[place] = arguments[place].replace("x5", "free")
        assert main(["twin", *arguments]) == 2, same
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        assert f"{home}/x5.{'can' if same == '--bus' else 'side'}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arx-x6"], "unknown robot 'arx-x6'"),
        (["arx-x5", "--address", "127.0.0.1"], "bad --address '127.0.0.1'; allowed: none for arx-x5; an ARX has a --bus"),
        (["franka-fr3", "--bus", "virtual:x"], "bad --bus 'virtual:x'; allowed: none for franka-fr3"),
        (["arx-x5", "--bus", "can0"], "bad CAN bus 'can0'"),
        (["arx-x5", "--bus", "virtual:x", "--side", "nowhere"], "bad side address 'nowhere'"),
        (["arx-x5", "--task", "Peg"], "unknown task 'Peg'"),
        (["arx-x5", "--bus", "socketcan:can77"], "CAN"),  # no such interface, or no SocketCAN at all
    ],
)
def test_a_wrong_argument_is_one_clear_error(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["twin", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
