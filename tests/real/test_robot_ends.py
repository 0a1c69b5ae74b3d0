"""How a worker ends: closed, left, interrupted or orphaned. A toy arm, no vendor."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from worker_rig import PARENT, START, alive, orphan, stay, until

from user_gym.core import Command
from user_gym.errors import Closed
from user_gym.real import robot as real_robot
from user_gym.real.patience import Patience
from user_gym.robots import stop

LEAVES = PARENT.replace("print(robot.pid, child, flush=True)\ntime.sleep(60)", "print(robot.pid, flush=True)\n{end}")


ENDS = {"by itself": "", "with close": "robot.close()", "by an error": "1 / 0", "by Ctrl-C": "time.sleep(60)"}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_a_program_that_ends_lets_its_arm_go_and_nothing_is_said(tmp_path, diary, end) -> None:
    """Nor does an arm without brakes have to be released by hand."""
    options = {"diary": str(tmp_path / "diary"), "brakes": False}
    code = LEAVES.format(path=[os.path.dirname(__file__)], options=options, fork=False, end=end)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        if "sleep" in end:
            parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=30)
    until(lambda: not alive(pid))
    assert diary()[-2:] == ["hold", "close"]
    assert "WARNING" not in said
    assert bool(said) == (end not in ("", "robot.close()"))  # Python's own words


def test_when_the_parent_is_killed_the_arm_holds_and_the_worker_ends_within_a_second(tmp_path, diary) -> None:
    pid, killed = orphan(tmp_path)
    until(lambda: not alive(pid), timeout=1.0 - (time.monotonic() - killed))
    assert diary()[-2:] == ["hold", "close"]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfd_open")
def test_a_child_that_the_parent_forked_does_not_hide_its_death(tmp_path, diary) -> None:
    """As a DataLoader's does: it has the parent's end of the pipe open, too."""
    pid, killed, child = orphan(tmp_path, fork=True)
    try:
        until(lambda: not alive(pid), timeout=1.0 - (time.monotonic() - killed))
        assert diary()[-2:] == ["hold", "close"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_arm_without_brakes_is_held_after_the_parents_death_until_it_is_released(tmp_path, diary) -> None:
    pid, _ = orphan(tmp_path, brakes=False)
    until(lambda: diary()[-1] == "hold")
    assert alive(pid)
    assert stop.tell(stop.RELEASE).reached
    until(lambda: not alive(pid))
    assert diary()[-1] == "close"


def test_an_arm_without_brakes_is_held_while_a_motor_answers(tmp_path, diary) -> None:
    pid, _ = orphan(tmp_path, brakes=False, answers=40)
    until(lambda: not alive(pid))
    assert diary()[-2:] == ["hold", "close"]


def test_ctrl_c_reaches_the_parent_only(make, diary) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    assert os.getpgid(robot.pid) != os.getpgid(0)
    os.kill(robot.pid, signal.SIGINT)
    robot.exchange(stay(state))


def test_sigterm_lets_the_arm_hold(make, diary, caplog) -> None:
    caplog.set_level(logging.CRITICAL)
    robot = make()
    robot.connect()
    robot.reset(START)
    os.kill(robot.pid, signal.SIGTERM)
    until(lambda: diary()[-1] == "close")
    assert diary()[-2] == "hold"


def test_sigterm_breaks_off_a_call_that_blocks(make, diary, caplog) -> None:
    caplog.set_level(logging.CRITICAL)
    robot = make(broken="slow")
    robot.connect()
    robot.send_reset(START)
    until(lambda: diary()[-1].startswith("move"))
    os.kill(robot.pid, signal.SIGTERM)
    until(lambda: diary()[-1] == "close")
    assert diary()[-2] == "hold"


def test_an_arm_that_is_let_down_slowly_is_waited_for(make, diary, monkeypatch, caplog) -> None:
    monkeypatch.setattr(real_robot, "_LEAVE", 0.4)
    robot = make(lowering=0.5)
    robot.connect()
    robot.close()
    assert diary()[-1] == "close"
    assert "does not answer in time" not in caplog.text


def closed_meanwhile(robot, wait):
    """Close from another thread while this one is in `wait`; what that raised, and how long the close took."""
    took = []

    def waits():
        free = robot._reading.acquire(blocking=False)
        if free:
            robot._reading.release()
        return not free

    def close():
        until(waits)
        began = time.monotonic()
        robot.close()
        took.append(time.monotonic() - began)

    other = threading.Thread(target=close)
    other.start()
    with pytest.raises(Closed) as told:
        wait()
    other.join(30)
    assert not other.is_alive()
    return str(told.value), took[0]


def test_a_close_from_another_thread_breaks_a_reset_off(make, diary) -> None:
    robot = make(broken="slow")  # a motion of 20 s
    robot.connect()
    robot.send_reset(START)
    until(lambda: diary()[-1].startswith("move"))
    process = robot._process
    told, took = closed_meanwhile(robot, robot.receive)
    assert "closed meanwhile" in told
    assert took < 10
    assert diary()[-2:] == ["hold", "close"]
    assert process.wait(5) == 0
    with pytest.raises(Closed):
        robot.exchange(Command(0.0, tcp=START.tcp))


def test_a_close_does_not_wait_for_a_motion_that_its_own_thread_left(make, diary) -> None:
    """As after Ctrl-C."""
    robot = make(broken="slow")
    robot.connect()
    robot.send_reset(START)
    until(lambda: diary()[-1].startswith("move"))
    began = time.monotonic()
    robot.close()
    assert time.monotonic() - began < 10
    assert len([line for line in diary() if line.startswith("move")]) == 1
    assert diary()[-2:] == ["hold", "close"]


def test_an_arm_without_brakes_is_let_go_by_a_close_that_broke_its_motion_off(make, diary) -> None:
    robot = make(broken="slow", brakes=False)
    robot.connect()
    robot.send_reset(START)
    until(lambda: diary()[-1].startswith("move"))
    closed_meanwhile(robot, robot.receive)
    assert diary()[-1] == "close"


def test_a_close_from_another_thread_ends_a_wait_for_a_driver_that_hangs(make) -> None:
    robot = make(broken="hang", patience=Patience(close=0.3))
    robot.connect()
    process, state = robot._process, robot.reset(START)
    try:
        robot.send(stay(state))
        told, _ = closed_meanwhile(robot, robot.receive)
        assert "not connected" in told
    finally:
        process.kill()
        process.wait(5)
