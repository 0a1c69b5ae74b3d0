"""`user-gym devices` says what there is, how it is, and whose it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from user_gym.cli.main import main
from user_gym.core import Device
from user_gym.robots import lease
from user_gym.robots.line import Place, Ticket

ENTRIES = """
[[robot]]
id = "left"
model = "franka-fr3"
address = "127.99.99.1"

[[robot]]
id = "right"
model = "franka-fr3"
adress = "172.16.0.3"

[[robot]]
id = "third"
model = "arx-x5"
address = "virtual:third"

[[teleop]]
id = "keys"
model = "keyboard"
"""
THIRD = Device("third", "robot", "arx-x5", "virtual:third")


@pytest.fixture
def inventory(home: Path) -> Path:
    (home / "inventory.toml").write_text(ENTRIES)
    return home / "inventory.toml"


@pytest.mark.usefixtures("inventory")
def test_each_device_has_its_state_and_the_bad_ones_their_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with lease.take(THIRD):
        assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "KIND", "MODEL", "ADDRESS", "STATE"]
    rows = {line.split()[0]: line for line in lines[1:] if not line.startswith(" ")}
    assert set(rows) == {"left", "right", "third", "keys"}
    assert "bad     nothing listens at 127.99.99.1:1337" in rows["left"]
    assert "bad     [[robot]] 2 of" in rows["right"]
    assert f"leased  by pid {os.getpid()} of" in rows["third"]
    assert "free" in rows["keys"]


@pytest.mark.usefixtures("inventory")
def test_programs_get_json(capsys: pytest.CaptureFixture[str], inventory: Path) -> None:
    with lease.take(THIRD):
        assert main(["devices", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["inventory"] == str(inventory)
    assert said["queue"] == []
    states = {d["id"]: d["state"] for d in said["devices"]}
    assert states == {"left": "bad", "right": "bad", "third": "leased", "keys": "free"}
    third = next(d for d in said["devices"] if d["id"] == "third")
    assert third["lease"]["pid"] == os.getpid()
    assert third["model"] == "arx-x5"


@pytest.mark.usefixtures("inventory")
def test_an_arm_that_its_driver_holds_after_its_program_has_ended_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with lease.take(THIRD) as hold:
        hold.wait()
        assert main(["devices"]) == 0
        assert main(["devices", "--json"]) == 0
    table, _, listing = capsys.readouterr().out.partition("\n{")
    held = f"held by its driver (pid {os.getpid()}), waits for an owner or user-gym stop --release; of"
    assert held in " ".join(table.split())  # on several lines
    (third,) = (d for d in json.loads("{" + listing)["devices"] if d["id"] == "third")
    assert (third["state"], third["lease"]["waiting"]) == ("held", True)


@pytest.mark.usefixtures("inventory")
def test_who_waits_for_devices_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with Place(Ticket(("franka-fr3",), (), 1, 0, ("robot x",), 123, "python train.py", 0.0)):
        main(["devices"])
        assert capsys.readouterr().out.splitlines()[-1] == "waiting: pid 123 for franka-fr3, 1 GPUs: python train.py"
        main(["devices", "--json"])
        assert json.loads(capsys.readouterr().out)["queue"][0]["command"] == "python train.py"


def test_an_empty_machine_says_where_to_begin(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.startswith(f"no devices; write the inventory: {home}/inventory.toml")


@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.usefixtures("inventory")
def test_watching_prints_each_change(json_too: bool) -> None:
    arguments = ["--watch", "--period", "0.02", *(["--json"] if json_too else [])]
    command = [sys.executable, "-m", "user_gym.cli", "devices", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    shared = Device("third", "teleop", "keyboard", "")  # the keyboard: a virtual bus is another one in another process
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        first = [process.stdout.readline() for _ in range(4)]
        assert any("keys" in line for line in first)
        with lease.take(shared):
            taken = process.stdout.readline()
            if json_too:
                change = json.loads(taken)
                assert (change["before"]["state"], change["now"]["state"]) == ("free", "leased")
                assert change["now"]["lease"]["pid"] == os.getpid()
            else:
                assert f"keys (keyboard): free -> leased  by pid {os.getpid()}" in taken
        assert "free" in process.stdout.readline()
        process.send_signal(2)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait(10)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.mark.usefixtures("inventory")
def test_robots_are_offered_to_a_cluster_as_ray_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray", reason="ray comes with the extra 'ray'")
    assert main(["devices", "--ray"]) == 0
    assert json.loads(capsys.readouterr().out) == {"robot:left": 1.0, "robot:third": 1.0}
