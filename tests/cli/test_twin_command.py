"""`user-gym twin` serves what the inventory can then name, and ends cleanly. Each twin is a real process here."""

from __future__ import annotations

import json
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from served import Served, fresh_address

from user_gym.cli.main import main


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
def test_a_twin_ends_cleanly_and_leaves_nothing_behind(start: Callable[..., Served], home: Path, number: int) -> None:
    twin = start(*arx(home))
    assert twin.ready == "ready: a twin of arx-x5, PegInsert, gated; Ctrl-C ends it. In the inventory:\n"
    assert twin.end(number) == 0
    assert not [p for p in home.iterdir() if p.suffix in (".can", ".side")]
    assert twin.process.stderr is not None
    assert twin.process.stderr.read() == ""


@pytest.mark.parametrize("model", ["franka-fr3", "franka-fer"])
def test_a_franka_twin_is_found_healthy_and_ends_cleanly(
    start: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    twin = start(model, "--address", fresh_address(), "--mode", "gated")
    (home / "inventory.toml").write_text(twin.entry)
    assert main(["devices", "--json"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    protocol = 10 if model == "franka-fr3" else 5
    assert (device["state"], device["reason"]) == ("free", f"twin, PegInsert, gated; robot protocol {protocol}")
    assert twin.end(signal.SIGINT) == 0
    assert twin.process.stderr is not None
    assert twin.process.stderr.read() == ""


def test_a_port_in_use_is_one_clear_error(start: Callable[..., Served], capsys: pytest.CaptureFixture[str]) -> None:
    address = fresh_address()
    start("franka-fr3", "--address", address)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["twin", "franka-fr3", "--address", address]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert address in said


def test_what_it_prints_is_an_inventory_entry_that_is_found_healthy(
    start: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = start(*arx(home))
    assert tomllib.loads(twin.entry)["robot"][0]["id"] == "x5"
    (home / "inventory.toml").write_text(twin.entry)
    assert main(["devices", "--json"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["devices"]
    assert (device["state"], device["reason"]) == ("free", "twin, PegInsert, gated; 4 motors answer")


def test_a_bus_or_side_door_in_use_is_one_clear_error(
    start: Callable[..., Served], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_twins_without_a_name_are_told_apart(start: Callable[..., Served], home: Path) -> None:
    addresses = fresh_address(), fresh_address()
    twins = [start("franka-fr3", "--address", address) for address in addresses]
    twins.append(start("arx-x5", "--bus", f"seqpacket:{home}/left.can", "--side", f"unix:{home}/left.side"))
    ids = [tomllib.loads(twin.entry)["robot"][0]["id"] for twin in twins]
    assert ids[:2] == [f"franka-fr3-{address}" for address in addresses]
    assert ids[2].startswith("arx-x5-")
    assert ids[2].endswith("-left.can")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arx-x6"], "unknown robot 'arx-x6'"),
        (["arx-x5", "--address", "127.0.0.1"], "bad --address '127.0.0.1'; allowed: none for arx-x5; an ARX has a --bus"),
        (["franka-fr3", "--bus", "virtual:x"], "bad --bus 'virtual:x'; allowed: none for franka-fr3"),
        (["franka-fr3", "--address", "192.0.2.1"], "192.0.2.1"),  # not this machine's
        (["arx-x5", "--bus", "can0"], "bad CAN bus 'can0'"),
        (["arx-x5", "--bus", "virtual:x", "--side", "nowhere"], "bad side address 'nowhere'"),
        (["arx-x5", "--task", "Peg"], "unknown task 'Peg'"),
        (["arx-x5", "--option", "board"], "bad --option 'board'; allowed: NAME=JSON"),
        (["arx-x5", "--option", "board=blue"], """text has quotes in JSON: board='"blue"'"""),
        (["arx-x5", "--option", "bord=1"], "did you mean 'board'"),
        (["arx-x5", "--option", 'board="red"'], "board 'red'; allowed:"),
        (["arx-x5", "--bus", "socketcan:can77"], "CAN"),  # no such interface, or no SocketCAN at all
    ],
)
def test_a_wrong_argument_is_one_clear_error(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["twin", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
