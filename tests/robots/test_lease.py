"""One owner per device, whoever asks and under which name, until its last process is gone. Owners are real processes here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from user_gym.core import Device
from user_gym.errors import BadOption, Busy, Closed
from user_gym.robots import lease, locks
from user_gym.robots.address import physical
from user_gym.robots.lease import Hold

SPAWN = multiprocessing.get_context("spawn")
LEFT = Device("left", "robot", "franka-fr3", "127.0.0.77")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path / "leases"


def take_and_wait(device: Device, pipe: Connection) -> None:
    with lease.take(device):
        pipe.send("taken")
        pipe.recv()
    pipe.send("released")


def keep(hold: Hold, pipe: Connection) -> None:
    pipe.send("kept")
    pipe.recv()
    hold.release()


@contextmanager
def running(target: Any, argument: Any) -> Iterator[tuple[Any, Connection]]:
    """A spawned process that has said its first word."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(argument, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        assert ours.poll(30)
        ours.recv()
        yield process, ours
    finally:
        process.kill()
        process.join(10)
        ours.close()


def test_a_leased_device_is_refused_with_its_owners_name() -> None:
    with running(take_and_wait, LEFT) as (process, _):
        with pytest.raises(Busy) as refusal:
            lease.take(LEFT)
        owner = lease.holder(LEFT)
    assert owner is not None
    assert (owner.device, owner.pid) == ("left", process.pid)
    assert "multiprocessing" in owner.command
    for word in ("robot 'left' at '127.0.0.77'", f"pid {process.pid} of {owner.user!r}", owner.command[:20], "since 20"):
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("robot", "franka-fr3", "127.0.0.1"), ("robot", "franka-fer", "localhost")),
        (("robot", "arx-x5", "seqpacket:/tmp/./bus"), ("robot", "arx-l5", "seqpacket:/tmp/bus")),
        (("robot", "arx-x5", "socketcand:localhost:29536"), ("robot", "arx-x5", "socketcand:127.0.0.1:29536/can0")),
        (("robot", "arx-x5", "virtual:a"), ("robot", "arx-x5", "virtual:a")),
        (("camera", "opencv", "0"), ("camera", "opencv", "/dev/video0")),
        (("teleop", "keyboard", ""), ("teleop", "keyboard", "")),
        (("gpu", "H200", "GPU-1"), ("gpu", "other", "GPU-1")),
    ],
)
def test_two_names_of_one_device_are_one_lease(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    with lease.take(Device("one", *one)), pytest.raises(Busy):
        lease.take(Device("other", *other))
    lease.take(Device("other", *other)).release()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("robot", "arx-x5", "socketcan:can0"), ("robot", "arx-x5", "socketcan:can1")),
        (("robot", "arx-x5", "socketcand:127.0.0.1:1"), ("robot", "arx-x5", "socketcand:127.0.0.1:2")),
        (("robot", "franka-fr3", "127.0.0.1"), ("camera", "realsense", "127.0.0.1")),
        (("robot", "my-arm", "/dev/ttyUSB0"), ("robot", "my-arm", "/dev/ttyUSB1")),
        (("robot", "my-arm", "127.0.0.1:5"), ("robot", "my-arm", "127.0.0.1:6")),
        (("robot", "my-arm", "no.such.host.invalid"), ("robot", "my-arm", "another.host.invalid")),
    ],
)
def test_two_devices_are_two_leases(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert physical(Device("x", *one), resolve=False) != physical(Device("x", *other), resolve=False)


def test_a_host_name_is_the_same_as_its_address_where_it_can_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, *_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if name != "arm.lab":
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", ("172.16.0.2", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    number, name, unknown = (Device("x", "robot", "franka-fr3", a) for a in ("172.16.0.2", "Arm.lab.", "other.lab"))
    assert physical(name) == physical(number) == "robot 172.16.0.2"
    assert physical(name, resolve=False) == "robot arm.lab"
    assert physical(unknown) == "robot other.lab"


def test_a_virtual_bus_is_another_one_in_another_process() -> None:
    device = Device("x", "robot", "arx-x5", "virtual:a")
    with running(take_and_wait, device):
        lease.take(device).release()


def test_a_killed_owners_lease_is_free_at_once() -> None:
    with running(take_and_wait, LEFT) as (process, _):
        os.kill(process.pid, signal.SIGKILL)
        process.join(10)
        began = time.monotonic()
        lease.take(LEFT, timeout=10).release()
        assert time.monotonic() - began < 2


def test_a_device_stays_leased_until_the_process_it_was_handed_to_is_gone() -> None:
    mine = lease.take(LEFT)
    with running(keep, mine) as (process, _):
        mine.release()
        assert lease.attempt(LEFT) is None
        with pytest.raises(Busy):
            lease.take(LEFT)
        process.kill()
        process.join(10)
        lease.take(LEFT, timeout=10).release()


def test_the_message_says_when_only_a_child_of_the_owner_is_left() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from user_gym.core import Device\nfrom user_gym.robots import lease\n"
        "hold = lease.take(Device('left', 'robot', 'franka-fr3', '127.0.0.77'))\n"
        "quiet = subprocess.DEVNULL\n"
        "child = subprocess.Popen(['sleep', '60'], stdout=quiet, stderr=quiet, pass_fds=[hold.duplicate()])\n"
        "print(child.pid)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    try:
        with pytest.raises(Busy, match=r"ended; a process that it started still holds .*; user-gym stop --release"):
            lease.take(LEFT)
    finally:
        os.kill(int(result.stdout), signal.SIGKILL)


def test_waiting_ends_when_the_owner_lets_go() -> None:
    with running(take_and_wait, LEFT) as (_, pipe):
        pipe.send("let go")
        with lease.take(LEFT, timeout=20) as hold:
            assert hold.lease.pid == os.getpid()


def test_a_probe_refuses_nobody_who_can_wait_a_moment() -> None:
    probe = lease.attempt(LEFT, passing=True)
    assert probe is not None
    later = threading.Timer(0.1, probe.release)
    later.start()
    try:
        with lease.take(LEFT) as hold:
            assert hold.lease.passing is False
    finally:
        later.join()


def test_a_probe_that_takes_longer_is_named() -> None:
    probe = lease.attempt(LEFT, passing=True)
    assert probe is not None
    with probe, pytest.raises(Busy, match=f"by a probe of pid {os.getpid()}: .*; try again"):
        lease.take(LEFT)


def test_an_owner_that_is_no_probe_refuses_at_once() -> None:
    with lease.take(LEFT):
        began = time.monotonic()
        assert lease.attempt(LEFT) is None
        assert time.monotonic() - began < 0.4  # a probe would have been waited for, 0.5 s


def test_a_command_of_many_lines_is_quoted_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import this\n" * 100])
    with lease.take(LEFT) as hold:
        assert hold.lease.command.startswith("python -c 'import this import this")
        assert len(hold.lease.command) == 200


def test_looking_takes_nothing() -> None:
    assert lease.holder(LEFT) is None
    lease.take(LEFT).release()
    assert lease.holder(LEFT) is None


def test_a_released_lease_cannot_be_used() -> None:
    hold = lease.take(LEFT)
    hold.release()
    hold.release()
    assert not hold.held
    for use in (hold.lend, hold.duplicate):
        with pytest.raises(Closed, match="'left' was released"):
            use()


def test_what_is_lent_goes_to_the_own_process_once() -> None:
    mine = lease.take(LEFT)
    assert not lease.own(LEFT)
    assert lease.attempt(LEFT) is None
    mine.lend()
    assert lease.own(LEFT)
    assert lease.attempt(LEFT, own=False) is None
    borrowed = lease.take(LEFT)
    assert lease.attempt(LEFT) is None  # one client per robot, inside a process, too
    borrowed.release()
    again = lease.take(LEFT)
    mine.release()
    assert lease.attempt(LEFT) is None  # still used
    again.release()
    assert not lease.own(LEFT)
    lease.take(LEFT).release()


def test_a_forked_child_keeps_no_lease() -> None:
    code = (
        "import os, sys, warnings\nwarnings.simplefilter('ignore')\n"
        "from user_gym.core import Device\nfrom user_gym.robots import lease\n"
        "hold = lease.take(Device('left', 'robot', 'franka-fr3', '127.0.0.77'))\n"
        "if os.fork() == 0:\n    sys.stdin.read(); os._exit(0)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        child.wait(60)
        lease.take(LEFT).release()
    finally:
        assert child.stdin is not None
        child.stdin.close()


def test_a_removed_file_is_made_anew(folder: Path) -> None:
    lease.take(LEFT).release()
    for file in folder.iterdir():
        file.unlink()
    with lease.take(LEFT):
        assert lease.holder(LEFT) is not None


def test_a_file_that_is_replaced_between_open_and_lock_is_not_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would otherwise hold the same device, each by a file of its own."""
    lease.take(LEFT).release()
    (path,) = folder.glob("*.lease")
    lock, replaced = locks.lock, []

    def lock_what_was_replaced(descriptor: int) -> bool:
        if not replaced:
            path.unlink()
            replaced.append(locks.open_file(path))
        return lock(descriptor)

    monkeypatch.setattr(locks, "lock", lock_what_was_replaced)
    try:
        with lease.take(LEFT, timeout=5):
            with pytest.raises(Busy):
                lease.take(LEFT)
            assert lease.holder(LEFT) is not None
    finally:
        os.close(replaced[0])


def test_a_note_that_is_none_still_refuses(folder: Path) -> None:
    with lease.take(LEFT):
        (file,) = folder.iterdir()
        file.write_text("")
        with pytest.raises(Busy, match="has not said its name"):
            lease.take(LEFT)


def test_all_users_may_lock(folder: Path) -> None:
    with lease.take(LEFT):
        (file,) = folder.iterdir()
        assert folder.stat().st_mode & 0o7777 == 0o1777
        assert file.stat().st_mode & 0o777 == 0o666


def test_a_folder_that_is_none_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("")
    with pytest.raises(BadOption, match="bad lease folder"):
        lease.take(LEFT)
    monkeypatch.setenv("USER_GYM_LEASES", str(folder / "below"))
    with pytest.raises(BadOption, match="one that can be made"):
        locks.folder()


def test_a_link_in_the_place_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadOption, match="bad lease folder"):
        lease.take(LEFT)
