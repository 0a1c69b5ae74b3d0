"""`user-gym stop` reaches the driver processes of this user, and says which."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from user_gym.cli.main import main
from user_gym.robots.stop import RELEASE, STOP, Listener


@pytest.fixture
def left() -> Iterator[Listener]:
    listener = Listener("left")
    listener.open()
    yield listener
    listener.close()


def test_every_robot_is_told_to_hold(left: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop"]) == 0
    assert left.read() == STOP
    assert capsys.readouterr().out == f"told left.{os.getpid()} to hold\n"


def test_only_the_named_robot_is_told(left: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop", "right"]) == 1
    assert left.read() is None
    assert "no driver process of 'right' listens" in capsys.readouterr().out
    assert main(["stop", "right", "left"]) == 1
    assert left.read() == STOP


def test_release_ends_the_driver_process(left: Listener) -> None:
    assert main(["stop", "--release"]) == 0
    assert left.read() == RELEASE


def test_nobody_to_stop_is_a_failure_that_says_where_it_looked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stop"]) == 1
    assert capsys.readouterr().out == f"no driver process listens in {home / 'stops'}\n"


def test_a_worker_that_could_not_be_told_is_a_failure_with_its_name(left: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    while main(["stop"]) == 0:
        pass
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"NOT told, it does not listen: left.{os.getpid()}: ")


def test_a_key_stops(left: Listener, home: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "user_gym.cli", "stop", "--key"],
        stdin=theirs, stdout=subprocess.PIPE, text=True, env={**os.environ, "USER_GYM_STOPS": str(home / "stops")},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "press any key to stop the robots\n"
        assert left.read() is None
        os.write(ours, b" ")
        assert process.wait(30) == 0
        assert left.read() == STOP
        process.stdout.close()
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)


def test_without_a_terminal_a_line_stops(left: Listener) -> None:
    result = subprocess.run([sys.executable, "-m", "user_gym.cli", "stop", "--key"], input="\n", text=True, timeout=60)
    assert result.returncode == 0
    assert left.read() == STOP
