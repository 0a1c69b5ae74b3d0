"""Names of processes, and that no stranger is taken for one of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from user_gym.errors import Busy
from user_gym.system.processes.registry import Identity, Name, holder, of


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_name_is_held_by_one_process_and_says_which(tmp_path):
    name = Name(tmp_path, "owner")
    name.hold()
    assert holder(tmp_path, "owner") == of(os.getpid())
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        Name(tmp_path, "owner").hold()
    name.release()
    assert holder(tmp_path, "owner") is None  # though this process lives
    Name(tmp_path, "owner").hold()


def test_a_record_is_written_over_a_longer_one_in_place(tmp_path):
    (tmp_path / "owner").write_text("x" * 120)
    inode = (tmp_path / "owner").stat().st_ino
    name = Name(tmp_path, "owner")
    name.hold()
    assert holder(tmp_path, "owner") == of(os.getpid())
    assert (tmp_path / "owner").stat().st_ino == inode
    name.release()


def test_nobody_has_a_name_that_was_never_held_or_half_written(tmp_path):
    assert holder(tmp_path, "owner") is None
    for damage in ("", "{", "[1]", "3"):
        (tmp_path / "owner").write_text(damage)
        assert holder(tmp_path, "owner") is None


def test_a_stranger_with_the_number_of_a_dead_process_is_never_signalled(tmp_path, sleeper):
    there = of(sleeper.pid)
    assert there is not None
    for stranger in (there._replace(started=there.started - 1), there._replace(boot="another start of the machine")):
        (tmp_path / "left").write_text(json.dumps(stranger))
        assert holder(tmp_path, "left") is None
        assert not stranger.send(signal.SIGKILL)
    assert sleeper.poll() is None
    assert there.send(signal.SIGKILL)
    assert sleeper.wait(10.0) == -signal.SIGKILL
    assert not there.send(signal.SIGKILL)


def test_a_zombie_is_dead(sleeper):
    there = of(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken its exit code yet
    assert not there.alive
    assert Identity(2**22 + 1, 0, "").alive is False
