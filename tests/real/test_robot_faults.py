"""What stops an arm, and what the parent hears of it and of a driver that fails. A toy arm, no vendor."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from worker_rig import START, stay, until

from user_gym.core import Command
from user_gym.errors import Halted, LinkLost, Reflex, RobotFault, Stopped
from user_gym.real import patience as real_patience
from user_gym.real.clock import WallClock
from user_gym.real.guard import Thresholds
from user_gym.real.patience import Patience
from user_gym.robots import stop
from user_gym.testing.bench import PERIOD


def go_on(robot, seconds):
    end = time.monotonic() + seconds
    state = robot.reset(START)
    while time.monotonic() < end:
        state = robot.exchange(stay(state))


def test_a_reflex_is_raised_and_again_until_a_reset_recovers(make, diary) -> None:
    robot = make(broken="reflex")
    robot.connect()
    state = robot.reset(START)
    for _ in range(2):
        with pytest.raises(Reflex, match="toy reflex"):
            robot.exchange(stay(state))
    assert "hold" in diary()
    assert "recover" not in diary()
    robot.exchange(stay(robot.reset(START)))
    assert "recover" in diary()


def test_a_fault_keeps_nothing_of_the_driver_alive_until_the_reset(make, diary) -> None:
    robot = make(broken="lost")
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(LinkLost, match="toy link"):
        robot.exchange(stay(state))
    robot.reset(START)
    assert diary().index("client gone") < diary().index("recover")


def test_a_reflex_from_before_is_recovered_by_the_reset(make, diary) -> None:
    robot = make(broken="before")
    robot.connect()
    robot.exchange(stay(robot.reset(START)))
    assert "recover" in diary()


def test_what_takes_a_person_stays_a_fault(make) -> None:
    robot = make(broken="for good", wrench=100.0)
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(Stopped, match="contact force is 100"):
        robot.exchange(stay(state))
    with pytest.raises(RobotFault, match="a person has to look"):
        robot.reset(START)


def test_too_hard_a_contact_holds_the_arm(make, diary) -> None:
    robot = make(wrench=30.0, thresholds=Thresholds(force=25.0))
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(Stopped, match="allowed: 25"):
        robot.exchange(stay(state))
    assert diary()[-1] == "hold"


def test_a_drivers_surprise_is_a_fault_with_its_name(make) -> None:
    robot = make(broken="crash")
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(RobotFault, match="KeyError"):
        robot.exchange(stay(state))


def test_a_driver_that_cannot_connect_says_why_and_leaves_no_process(make) -> None:
    robot = make(broken="connect")
    with pytest.raises(LinkLost, match="no toy at this address"):
        robot.connect()
    assert robot.pid is None


def test_an_arm_that_does_not_arrive_at_its_start_is_a_fault(make) -> None:
    robot = make(short=0.011)
    robot.connect()
    with pytest.raises(RobotFault, match=r"did not arrive at its start: off by \[.*0\.011"):
        robot.reset(START)
    with pytest.raises(RobotFault, match="did not arrive"):
        robot.exchange(Command(0.0, tcp=START.tcp))


def test_no_order_for_a_while_holds_the_arm_until_a_reset(make, diary) -> None:
    robot = make(clock=WallClock(), stale=0.15)
    robot.connect()
    state = robot.reset(START)
    until(lambda: diary()[-1] == "hold")
    with pytest.raises(Stopped, match=r"no order for 0\.15 s"):
        robot.exchange(stay(state))
    robot.exchange(stay(robot.reset(START)))


def test_stop_from_another_process_holds_the_arm_until_a_reset(make, diary) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    code = "from user_gym.robots import stop; print(*stop.tell().reached)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert told.stdout.startswith("toy.")
    until(lambda: diary()[-1] == "hold")
    with pytest.raises(Stopped, match="an operator said stop"):
        robot.exchange(stay(state))
    robot.exchange(stay(robot.reset(START)))


def test_a_reset_that_comes_by_itself_does_not_undo_a_stop_that_nobody_saw(make, diary) -> None:
    robot = make()
    robot.connect()
    robot.reset(START)
    stop.tell()
    until(lambda: diary()[-1] == "hold")
    with pytest.raises(Halted):
        robot.reset(START)
    robot.exchange(stay(robot.reset(START)))


def test_a_stop_during_an_exchange_is_told_once(make) -> None:
    robot = make(broken="stop")
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(Halted, match="an operator said stop"):
        robot.exchange(stay(state))
    robot.exchange(stay(robot.reset(START)))


def test_a_stop_after_the_one_that_was_told_is_another_one(make) -> None:
    robot = make(broken="stop")
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(Halted):
        robot.exchange(stay(state))
    stop.tell()
    with pytest.raises(Halted):  # whoever comes first: the reset, or an order after it
        go_on(robot, 5.0)
    robot.exchange(stay(robot.reset(START)))


def test_attention_keeps_an_arm_from_going_stale(make, diary) -> None:
    robot = make(clock=WallClock(), stale=0.4)
    robot.connect()
    state = robot.reset(START)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        robot.attend()
        time.sleep(0.05)
    robot.exchange(stay(state))


def test_a_driver_process_that_is_killed_is_named_and_the_next_reset_starts_a_new_one(make) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    first = robot.pid
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(LinkLost, match=rf"pid {first}\) ended with code -9"):
        robot.exchange(stay(state))
    assert time.monotonic() - began < 2.0
    robot.exchange(stay(robot.reset(START)))
    assert robot.pid != first


def test_a_driver_that_dies_within_an_exchange_is_no_hang(make) -> None:
    robot = make(broken="die")
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(LinkLost, match="ended with code -9"):
        robot.exchange(stay(state))


def test_a_reply_that_comes_too_late_is_not_taken_for_the_next_one(make) -> None:
    robot = make(clock=WallClock(), slow=0.4)
    robot.connect()
    state = robot.reset(START)
    robot.send(stay(state))
    with pytest.raises(LinkLost):
        robot.receive(timeout=0.05)
    after = robot.exchange(stay(state))
    assert float(after.time) == pytest.approx(2 * PERIOD)


def test_a_driver_that_hangs_is_given_up_after_its_patience(make, caplog) -> None:
    robot = make(broken="hang", patience=Patience(exchange=0.2))
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(LinkLost, match="does not answer in time"):
        robot.exchange(stay(state))
    os.kill(robot.pid, signal.SIGKILL)


def test_a_worker_that_is_suspended_is_named_within_seconds(make, monkeypatch) -> None:
    monkeypatch.setattr(real_patience, "LOOK", 0.05)
    robot = make()
    robot.connect()
    state = robot.reset(START)
    os.kill(robot.pid, signal.SIGSTOP)
    try:
        for use in (lambda: robot.exchange(stay(state)), lambda: robot.reset(START)):
            began = time.monotonic()
            with pytest.raises(LinkLost, match=f"suspended; kill -CONT {robot.pid}"):
                use()
            assert time.monotonic() - began < 5
    finally:
        os.kill(robot.pid, signal.SIGCONT)
    robot.exchange(stay(robot.reset(START)))


def test_a_hold_that_breaks_keeps_nothing_from_being_let_go(make, diary) -> None:
    robot = make(broken="hold")
    robot.connect()
    process = robot._process
    robot.close()
    assert diary()[-1] == "close"
    assert process.wait(5) == 0


def test_a_hold_that_breaks_in_a_stop_leaves_the_worker_alive(make, diary) -> None:
    robot = make(broken="hold")
    robot.connect()
    state = robot.reset(START)
    stop.tell()
    until(lambda: diary()[-1] == "hold")
    with pytest.raises(Halted):
        robot.exchange(stay(state))
    robot.exchange(stay(robot.reset(START)))


def test_an_obstacle_on_the_way_to_the_start_stops_the_arm(make, diary) -> None:
    robot = make(broken="obstacle", wrench=100.0)
    robot.connect()
    with pytest.raises(Stopped, match="contact force is 100"):
        robot.reset(START)
    assert diary()[-1] == "hold"


def test_what_the_gripper_meets_before_an_episode_stops_the_arm(make) -> None:
    robot = make(moves_gripper=True, wrench=100.0)
    robot.connect()
    with pytest.raises(Stopped, match="contact force is 100"):
        robot.reset(replace(START, gripper=1.0))
