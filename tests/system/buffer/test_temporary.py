"""What a buffer in memory keeps in a folder goes, whichever way its process ends."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from user_gym.errors import Unwritable
from user_gym.system import Buffer
from user_gym.system.buffer import temporary
from user_gym.system.buffer.temporary import PREFIX, TemporaryFolder
from user_gym.testing.storage_suite import steps

TIMEOUT = 60  # s


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_the_next_buffer_in_memory_removes_what_a_killed_process_left(here):
    program = (
        "import sys\nfrom user_gym.system import Buffer\n"
        "buffer = Buffer.open(':memory:')\nprint(1, flush=True)\nsys.stdin.read()"
    )
    environment = {**os.environ, "TMPDIR": str(here), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
            (left,) = here.glob(f"{PREFIX}*")
            with Buffer.open(":memory:"):
                assert left.exists()  # that process lives
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(TIMEOUT)
    assert (left / "index.sqlite").exists()
    with Buffer.open(":memory:") as buffer, Buffer.open(":memory:") as other:
        assert not left.exists()
        assert len(list(here.iterdir())) == 2
        for one in (buffer, other):
            one.append(steps(3))
            assert len(one) == 3
    assert list(here.iterdir()) == []


def test_what_is_no_folder_of_ours_stays(here):
    (here / "user-gym-bench-1").mkdir()
    (here / f"{PREFIX}file").write_text("a person's")
    (here / f"{PREFIX}link").symlink_to(here / "user-gym-bench-1")
    before = sorted(here.iterdir())
    folder = TemporaryFolder.make()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()
    folder.remove()
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("when", ["before it is opened", "before its lock is had"])
def test_one_that_another_takes_for_dead_is_made_again(here, monkeypatch, when):
    make, lock, made, locked = temporary.tempfile.mkdtemp, temporary.fcntl.flock, [], []

    def mkdtemp(**options):
        made.append(make(**options))
        if len(made) == 1 and when == "before it is opened":
            os.rmdir(made[0])
        return made[-1]

    def flock(descriptor, how):
        locked.append(how)
        if len(locked) == 1 and when == "before its lock is had":
            os.rmdir(made[0])
        lock(descriptor, how)

    monkeypatch.setattr(temporary.tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(temporary.fcntl, "flock", flock)
    folder = TemporaryFolder.make()
    assert [str(path) for path in here.iterdir()] == [str(folder.path)] == made[1:]
    folder.remove()


def test_where_nothing_can_be_locked_it_says_so_and_leaves_nothing(here, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.raises(Unwritable, match=r"cannot be locked.*TMPDIR"):
        TemporaryFolder.make()
    assert list(here.iterdir()) == []
