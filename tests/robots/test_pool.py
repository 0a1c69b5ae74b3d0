"""Jobs get all they ask for or nothing, in their order, across processes; a dead job stands in nobody's way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from user_gym.core import Device, Inventory
from user_gym.errors import BadOption, Busy, NoRobot, UnknownName
from user_gym.robots import candidates, discovery, inventory, lease, line, pool
from user_gym.robots.address import physical
from user_gym.robots.line import Place, Ticket
from user_gym.robots.pool import Pool

SPAWN = multiprocessing.get_context("spawn")
KNOWN = Inventory(
    (
        Device("a", "robot", "franka-fr3", "127.0.0.71"),
        Device("b", "robot", "franka-fr3", "127.0.0.72"),
        Device("c", "robot", "arx-x5", "seqpacket:/tmp/c"),
        Device("bad", "robot", "arx-x5", "seqpacket:/tmp/bad", healthy=False, reason="no answer"),
        Device("eye-a", "camera", "opencv", "/dev/video0", robot="a", name="wrist"),
        Device("eye-b", "camera", "opencv", "/dev/video2", robot="b", name="wrist", healthy=False, reason="unplugged"),
        Device("free", "camera", "realsense", "123"),
        Device("gpu0", "gpu", "H200", "GPU-0"),
        Device("gpu1", "gpu", "H200", "GPU-1"),
    )
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    return tmp_path / "leases"


def held() -> set[str]:
    return {d.id for d in KNOWN.devices if lease.holder(d) is not None}


def ticket(*ids: str, priority: int = 0, since: float = 0.0) -> Ticket:
    """One that came before every other, unless said otherwise."""
    return Ticket(ids, (), 0, priority, tuple(physical(KNOWN.find(i)) for i in ids), os.getpid(), "another job", since)


def test_all_that_was_asked_for_is_granted_and_let_go() -> None:
    with Pool(KNOWN).request(robots=["arx-x5", "a"], cameras=["realsense"], gpus=2) as grant:
        assert [d.id for d in grant.robots] == ["c", "a"]
        assert {d.id for d in grant.cameras} == {"eye-a", "free"}
        assert {d.address for d in grant.gpus} == {"GPU-0", "GPU-1"}
        assert held() == {"a", "c", "eye-a", "free", "gpu0", "gpu1"}
    grant.release()
    assert held() == set()


def test_an_id_is_served_before_a_model_that_would_take_it() -> None:
    with Pool(KNOWN).request(robots=["franka-fr3", "a"]) as grant:
        assert [d.id for d in grant.robots] == ["b", "a"]


def test_nothing_is_held_where_something_is_missing() -> None:
    with lease.take(KNOWN.find("c")):
        with pytest.raises(Busy, match=r"free within 0 s; 'c' is leased by this process \(pid \d+\) itself") as refusal:
            Pool(KNOWN).request(robots=["a", "c"], gpus=1)
        assert "'a'" not in str(refusal.value)
        assert held() == {"c"}
    assert Pool(KNOWN).queue() == ()


def test_a_device_that_is_taken_at_the_last_moment_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment leases a robot without the pool, between the pool's look and its grasp."""
    look = lease.holder
    with ExitStack() as owner:

        def late(device: Device, address: str | None = None) -> object:
            seen = look(device, address)
            if device.id == "c" and seen is None:
                owner.enter_context(lease.take(device))
            return seen

        with monkeypatch.context() as during:
            during.setattr(lease, "holder", late)
            with pytest.raises(Busy):
                Pool(KNOWN).request(robots=["a", "c"])
        assert held() == {"c"}


def test_a_granted_robot_is_there_for_this_process_and_for_one_client() -> None:
    a = KNOWN.find("a")
    with Pool(KNOWN).request(robots=["a"]):
        with pytest.raises(Busy):
            Pool(KNOWN).request(robots=["a"])
        client = lease.take(a)
        with pytest.raises(Busy):
            lease.take(a)
    assert "a" in held()  # as long as its client uses it
    client.release()
    assert held() == set()


def test_an_environment_takes_what_the_grant_has_before_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "read", lambda: KNOWN)
    monkeypatch.setattr(discovery, "examine", lambda device: device)
    with Pool(KNOWN).request(robots=["b"]), Pool(KNOWN).request(robots=["c"]):
        assert candidates.choose(candidates.ANY, "PegInsert", {}).model == "franka-fr3"
        device, hold = candidates.take("franka-fr3", "PegInsert")
        assert device.id == "b"
        hold.release()


def test_a_probe_keeps_nobody_from_a_grant() -> None:
    probe = lease.attempt(KNOWN.find("a"), passing=True)
    assert probe is not None
    later = threading.Timer(0.1, probe.release)
    later.start()
    Pool(KNOWN).request(robots=["a"]).release()
    later.join()


def test_who_comes_first_is_served_first() -> None:
    with Place(ticket("a", "c")):
        for wanted in (["a"], ["franka-fr3", "franka-fr3"], ["c"]):
            with pytest.raises(Busy, match="waits ahead: another job"):
                Pool(KNOWN).request(robots=wanted)
        assert [t.command for t in Pool(KNOWN).queue()] == ["another job"]
    Pool(KNOWN).request(robots=["a", "c"]).release()


def test_a_request_that_takes_nothing_from_those_ahead_need_not_wait() -> None:
    with Place(ticket("a")):
        with Pool(KNOWN).request(robots=["franka-fr3"], gpus=1) as grant:
            assert [d.id for d in grant.robots] == ["b"]
        Pool(KNOWN).request(robots=["c"]).release()


def test_higher_priority_goes_first() -> None:
    with Place(ticket("a")), Pool(KNOWN).request(robots=["a"], priority=1):
        pass
    with Place(ticket("a", priority=2, since=time.monotonic() + 1000)), pytest.raises(Busy):
        Pool(KNOWN).request(robots=["a"], priority=1)


def test_the_queue_is_in_the_order_of_service() -> None:
    places = [ticket("a", since=2.0), ticket("b", since=1.0), ticket("c", since=3.0, priority=1)]
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(Place(place))
        assert [t.robots for t in Pool(KNOWN).queue()] == [("c",), ("b",), ("a",)]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"robots": ["d"]}, UnknownName, r"unknown robot 'd'; known: a, arx-x5, b, bad, c, franka-fr3"),
        ({"cameras": ["eye-a"]}, BadOption, "ask for the robot 'a'"),
        ({"robots": ["bad"]}, NoRobot, r"can never grant bad at once; .*bad \(arx-x5, bad: no answer\)"),
        ({"robots": ["franka-fr3"] * 3}, NoRobot, "can never grant franka-fr3, franka-fr3, franka-fr3 at once"),
        ({"robots": ["a", "a"]}, NoRobot, "can never grant a, a at once"),
        ({"gpus": 3}, NoRobot, "can never grant 3 GPUs at once"),
        ({"gpus": -1}, BadOption, "bad gpus -1"),
        ({"gpus": True}, BadOption, "bad gpus True"),
        ({"timeout": -1.0}, BadOption, "bad timeout"),
        ({"timeout": float("nan")}, BadOption, "bad timeout"),
    ],
)
def test_what_can_never_be_granted_is_refused_at_once(arguments: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Pool(KNOWN).request(**{"timeout": 1000.0, **arguments})  # type: ignore[arg-type]


def test_without_an_inventory_the_machines_own_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "i.toml").write_text('[[robot]]\nid = "x"\nmodel = "franka-fr3"\naddress = "127.0.0.79"\n')
    monkeypatch.setenv("USER_GYM_INVENTORY", str(tmp_path / "i.toml"))
    monkeypatch.setattr("user_gym.robots.probes.gpu.find", lambda: (Device("gpu0", "gpu", "H200", "GPU-0"),))
    with Pool().request(robots=["x"], gpus=1) as grant:
        assert [d.id for d in grant.devices] == ["x", "gpu0"]


def hold_and_wait(pipe: Connection) -> None:
    with Pool(KNOWN).request(robots=["a", "c"], gpus=1, timeout=30):
        pipe.send("granted")
        pipe.recv()


def wait_in_line(pipe: Connection) -> None:
    pipe.send("waiting soon")
    Pool(KNOWN).request(robots=["a"], timeout=60)


@contextmanager
def job(target: object) -> Iterator[multiprocessing.process.BaseProcess]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs,), daemon=True)  # type: ignore[arg-type]
    process.start()
    theirs.close()
    try:
        assert ours.poll(30)
        ours.recv()
        yield process
    finally:
        process.kill()
        process.join(10)
        ours.close()


def test_a_killed_owners_grant_is_free_within_two_seconds() -> None:
    with job(hold_and_wait) as owner:
        assert owner.pid is not None
        assert held() == {"a", "c", "eye-a", "gpu0"}
        os.kill(owner.pid, signal.SIGKILL)
        began = time.monotonic()
        with Pool(KNOWN).request(robots=["a", "c"], gpus=2, timeout=20):
            assert time.monotonic() - began < 2


def test_a_killed_waiter_leaves_the_line(folder: Path) -> None:
    with lease.take(KNOWN.find("a")), job(wait_in_line) as waiter:
        deadline = time.monotonic() + 30
        while [t.pid for t in line.waiting()] != [waiter.pid]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        waiter.kill()
        waiter.join(10)
        assert line.waiting() == ()
    assert not list(folder.glob("*.ticket"))


def compete(wanted: list[str], gpus: int, rounds: int, marks: Path, together: Barrier, pipe: Connection) -> None:
    """Take a set again and again. A mark that is there already would be a device with two owners."""
    try:
        together.wait(60)
        for _ in range(rounds):
            with Pool(KNOWN).request(robots=wanted, gpus=gpus, timeout=60) as grant:
                assert len(grant.robots) == len(wanted)
                assert len(grant.gpus) == gpus
                for device in grant.devices:
                    (marks / device.id).touch(exist_ok=False)
                for device in grant.devices:
                    (marks / device.id).unlink()
        pipe.send(rounds)
    except BaseException as error:
        pipe.send(f"{type(error).__name__}: {error}")
        raise


def test_three_competing_jobs_all_get_through_and_never_share(tmp_path: Path) -> None:
    rounds, marks = 30, tmp_path / "marks"
    marks.mkdir()
    sets = [(["a", "c"], 1), (["franka-fr3", "franka-fr3"], 1), (["c", "franka-fr3"], 2)]
    pipes, processes, together = [], [], SPAWN.Barrier(len(sets))
    for wanted, gpus in sets:
        ours, theirs = SPAWN.Pipe()
        processes.append(SPAWN.Process(target=compete, args=(wanted, gpus, rounds, marks, together, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        for pipe in pipes:
            assert pipe.poll(60)
            assert pipe.recv() == rounds
    finally:
        for process in processes:
            process.kill()
            process.join(10)
    assert held() == set()
    assert pool.Pool(KNOWN).queue() == ()
