"""A twin in a process of its own: it starts, says what is wrong, and ends with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic

import pytest
from fci_client import PATIENCE, free_address

from user_gym.errors import Closed, RobotFault
from user_gym.robots.side import Side
from user_gym.sim.twin_process import TwinProcess

TWIN = "user_gym.sim.fci.twin:FciTwin"


def test_it_answers_at_its_side_door_until_it_is_closed() -> None:
    with TwinProcess(TWIN, "franka-fr3", {"address": free_address()}) as twin:
        side = Side(twin.side)
        side.connect()
        assert side.ask("hello").header["robot"] == "franka-fr3"
        side.close()
    twin.close()
    with pytest.raises(Closed):
        assert twin.side


@pytest.mark.parametrize(
    ("robot", "options", "words"),
    [
        ("franka-fr3", {"mode": "fast"}, "gated"),
        ("franka-fr3", {"colour": "red"}, "colour"),
        ("frnka", {}, "unknown robot"),
        ("franka-fr3", {"address": "192.0.2.1"}, "one of this machine"),
    ],
)
def test_what_it_cannot_be_is_told_in_its_own_words(robot: str, options: dict[str, str], words: str) -> None:
    twin = TwinProcess(TWIN, robot, options)
    with pytest.raises(RobotFault, match=words):
        twin.open()


def test_it_ends_with_the_process_that_started_it() -> None:
    script = (
        "import os, sys\nfrom user_gym.sim.twin_process import TwinProcess\n"
        f"twin = TwinProcess({TWIN!r}, 'franka-fr3', {{'address': {free_address()!r}}})\ntwin.open()\n"
        "sys.stdout.write(str(twin.pid))\nsys.stdout.flush()\nos._exit(0)\n"
    )
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout)
    deadline = monotonic() + PATIENCE
    while _alive(pid):
        assert monotonic() < deadline


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"  # nobody may be there to reap it
    except OSError:
        return False
