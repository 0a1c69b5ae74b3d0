"""A whole machine as a user has it: two Franka twins, one ARX twin and one broken entry; every command is a real process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from served import Served, fresh_address

from user_gym.errors import Busy
from user_gym.robots import inventory, lease
from user_gym.robots.pool import Pool

BROKEN = '\n[[robot]]\nid = "broken"\nmodel = "franka-fr3"\nadress = "172.16.0.2"\n'


@pytest.fixture
def machine(start: Callable[..., Served], home: Path) -> list[str]:
    """Addresses of the two Franka arms."""
    pytest.importorskip("can", reason="python-can comes with the extra 'arx'")
    addresses = [fresh_address(), fresh_address()]
    twins = [
        start("franka-fr3", "--id", "left", "--address", addresses[0], "--mode", "gated"),
        start("franka-fr3", "--id", "right", "--address", addresses[1]),
        start("arx-x5", "--id", "third", "--bus", f"seqpacket:{home}/x5.can", "--side", f"unix:{home}/x5.side"),
    ]
    (home / "inventory.toml").write_text("\n".join(twin.entry for twin in twins) + BROKEN)
    return addresses


def command(name: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    run = [sys.executable, "-m", "user_gym.cli", name]
    return subprocess.run(run, capture_output=True, text=True, timeout=60, env=environment)


def test_devices_lists_the_twins_as_what_they_are_and_the_broken_entry_as_bad(machine: list[str]) -> None:
    with lease.take(inventory.read().find("right")):
        result = command("devices")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: re.sub(" +", " ", line) for line in result.stdout.splitlines()[1:] if line[0] != " "}
    assert rows["left"] == f"left robot franka-fr3 {machine[0]} free twin, PegInsert, gated; robot protocol 10"
    assert rows["right"].startswith(f"right robot franka-fr3 {machine[1]} leased twin; by pid {os.getpid()} of ")
    assert rows["third"].endswith("free twin, PegInsert, paced; 4 motors answer")
    assert "bad [[robot]] 4 of" in rows["broken"]
    assert "did you mean 'address'?" in " ".join(result.stdout.split())


@pytest.mark.usefixtures("machine")
def test_doctor_names_the_broken_entry_and_is_content_without_it(home: Path) -> None:
    result = command("doctor")
    assert result.returncode == 1, result.stderr
    assert re.search(r"robot +broken +BAD", result.stdout)
    assert re.search(r"robot +left +ok +twin, PegInsert, gated; robot protocol 10", result.stdout)
    (home / "inventory.toml").write_text((home / "inventory.toml").read_text().replace(BROKEN, ""))
    mended = command("doctor")
    missing = re.findall(r"(\S+) +MISSING", mended.stdout)
    assert set(missing) <= {"franky-control"}  # which has no wheel for every machine
    assert mended.returncode == len(missing)


@pytest.mark.usefixtures("machine")
def test_the_pool_grants_what_is_well() -> None:
    with Pool().request(robots=["franka-fr3", "third"]) as grant:
        assert [d.id for d in grant.robots] == ["left", "third"]
        assert re.search(r"left .* leased", command("devices").stdout)
        with pytest.raises(Busy):
            Pool().request(robots=["left"])
