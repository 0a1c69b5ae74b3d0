"""The door of a driver process whose program is gone: who is let in, what they get, and that nobody there can harm it."""

import json
import os
import pickle
import socket
import stat
import threading

import pytest
from adoption_rig import ARM, orphaned, waits
from worker_rig import START

from user_gym.errors import Busy, LinkLost
from user_gym.real import door as real_door
from user_gym.real.door import Door
from user_gym.robots import adoption, lease

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def door():
    made = Door("robot toy")
    made.open()
    yield made
    made.close()


@pytest.fixture
def knocking(door):
    """Somebody knocks; what came of it, once they were met."""
    ended = []

    def meet(owner=None, as_pid=None):
        answers = []

        def knock():
            try:
                answers.append(adoption.knock("robot toy"))
            except Busy as refused:
                answers.append(refused)

        other = threading.Thread(target=knock)
        other.start()
        met = None
        while other.is_alive():
            met = met or door.meet(lease_file, owner)
            other.join(0.01)
        ended.extend(end for end in (met, getattr(answers[0], "bond", None)) if end is not None)
        return met, answers[0]

    lease_file = os.open(os.devnull, os.O_RDONLY)
    yield meet
    os.close(lease_file)
    for end in ended:
        end.close()


def test_the_socket_is_its_users_alone_and_goes_with_the_door(door) -> None:
    path = adoption.path("robot toy")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    door.close()
    door.close()
    assert not path.exists()
    assert adoption.knock("robot toy") is None


def test_who_is_let_in_gets_the_lock_and_a_pipe(knocking) -> None:
    claim, found = knocking()
    assert claim.pid == found.bond.pid == os.getpid()
    assert os.path.samestat(os.fstat(found.lease), os.stat(os.devnull))
    os.close(found.lease)
    answers = []
    other = threading.Thread(target=lambda: answers.append(found.bond.drive()))
    other.start()
    with claim.pipe() as ours:
        other.join(5)
        with answers[0] as theirs:
            ours.send(b"order")
            assert theirs.recv(16) == b"order"


def test_another_user_is_refused_by_either_side(knocking, door, monkeypatch) -> None:
    real = adoption.credentials
    monkeypatch.setattr(adoption, "credentials", lambda link: real(link)._replace(uid=os.getuid() + 1))
    assert knocking() == (None, None)  # who knocks hangs up on a stranger's door
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.settimeout(5)
        stranger.connect(str(adoption.path("robot toy")))
        stranger.send(json.dumps({"version": adoption.version()}).encode())
        assert [door.meet(0, None) for _ in range(3)] == [None] * 3  # the one that hung up, this one, nobody
        message, descriptors, _, _ = socket.recv_fds(stranger, 4096, 1)
    assert "not for uid" in json.loads(message)["refused"]
    assert not descriptors


def test_another_version_and_a_second_owner_are_told_why(knocking, monkeypatch) -> None:
    met, refused = knocking(owner=1)
    assert met is None
    assert "pid 1 has taken it over" in str(refused)
    mine = adoption.version()
    versions = iter(["0.0.1"])
    monkeypatch.setattr(adoption, "version", lambda: next(versions, mine))
    met, refused = knocking()
    assert met is None
    assert f"runs user-gym {mine}, not 0.0.1" in str(refused)


@pytest.mark.parametrize("said", [b"", b"\x80\x04.", b"[]", b'{"version": 1', b"x" * 4096, b"[" * 4096])
def test_what_is_no_claim_gets_nothing(door, monkeypatch, said) -> None:
    monkeypatch.setattr(real_door, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as visitor:
        visitor.connect(str(adoption.path("robot toy")))
        if said:
            visitor.send(said)
        assert door.meet(0, None) is None  # who says nothing is not waited for
        visitor.settimeout(5)
        assert visitor.recv(4096) == b""


def test_a_driver_that_lives_and_does_not_answer_is_no_reason_for_a_second_one(knocking) -> None:
    claim, found = knocking()
    os.close(found.lease)
    claim.close()
    with pytest.raises(LinkLost, match="does not answer"):
        found.bond.drive()


@pytest.mark.parametrize("job", [b"nonsense", pickle.dumps(["no job"]), pickle.dumps(None)])
def test_a_job_that_is_none_leaves_the_arm_held(place, heir, diary, job) -> None:
    with orphaned(place) as program:
        with lease.take(ARM, adopt=True) as hold, hold.bond.drive() as pipe:
            pipe.send(len(job).to_bytes(4, "big") + job)
            pipe.settimeout(10)
            assert b"no job" in pipe.recv(4096)
        waits(program.driver)
        assert diary()[-1] == "hold"
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver
