"""An arm without brakes goes from a program that was killed to the next one: it is held all the while, and has one owner."""

import logging
import os
import signal
import subprocess
import sys
import threading

import pytest
from adoption_rig import ARM, PATIENCE, PROGRAM, Program, orphaned, waits
from worker_rig import START, alive, stay, until

from user_gym.errors import BadOption, Busy, Halted, Stopped
from user_gym.real import robot as real_robot
from user_gym.robots import lease, stop


def test_the_next_program_takes_over_the_driver_that_holds_the_arm_and_its_reset_goes_on(place, heir, diary, caplog) -> None:
    caplog.set_level(logging.WARNING)
    with orphaned(place) as program:
        held = len(diary())
        arm = heir()
        arm.connect()
        assert arm.pid == program.driver
        owner = lease.holder(ARM)
        assert (owner.pid, owner.waiting) == (os.getpid(), False)
        with pytest.raises(Stopped, match=r"held after its program had ended; reset\(\) goes on"):
            arm.exchange(stay(START))
        state = arm.reset(START)
        arm.exchange(stay(state))
        since = diary()[held:]
        assert since[0].startswith("compliance")
        assert since[1] == "recover"
        assert not [line for line in since if line.startswith(("connect", "close", "hold"))]
        assert f"took over toy: its driver process (pid {program.driver}) held it after" in caplog.text
        arm.close()
        until(lambda: not alive(program.driver), PATIENCE)
        assert diary()[-2:] == ["hold", "close"]
        assert lease.holder(ARM) is None


def test_a_waiting_driver_is_named_by_the_lease_and_refuses_who_does_not_ask_for_it(place) -> None:
    with orphaned(place) as program:
        with pytest.raises(Busy, match=rf"by its driver process \(pid {program.driver}\).*takes it over, or: user-gym"):
            lease.take(ARM)
        assert "-c" in lease.holder(ARM).command  # of the program that has ended


def test_the_lease_is_never_free_on_the_way(place, heir) -> None:
    stolen, done = [], threading.Event()

    def third():
        while not done.is_set():
            if (hold := lease.attempt(ARM, own=False)) is not None:
                stolen.append(hold)

    thief = threading.Thread(target=third)
    program = Program(place)
    thief.start()
    try:
        program.kill()
        waits(program.driver)
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver
    finally:
        done.set()
        thief.join(PATIENCE)
        program.close()
    assert not stolen


CLAIMANT = PROGRAM.replace(
    "arm.connect()",
    "sys.stdin.read(1)\ntry:\n    arm.connect()\nexcept Exception as error:\n    print(error, file=sys.stderr); sys.exit(3)",
)


def test_of_two_claimants_one_wins_and_the_other_is_told_who(place) -> None:
    code = CLAIMANT.format(path=[os.path.dirname(__file__)], diary=str(place), options={}, fork=False)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with orphaned(place) as program:
        both = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
        for one in both:
            one.stdin.write("go")
            one.stdin.close()
        until(lambda: any(one.poll() is not None for one in both), PATIENCE)
        loser, winner = sorted(both, key=lambda one: one.poll() is None)
        assert loser.returncode == 3
        assert int(winner.stdout.readline().split()[0]) == program.driver
        assert str(winner.pid) in (said := loser.stderr.read())
        assert "taken it over" in said or "is leased: by pid" in said
        winner.kill()
        for one in both:
            one.wait(PATIENCE)
            one.stdout.close()
            one.stderr.close()


def test_nobody_gets_it_while_its_owner_lives(place, heir) -> None:
    """The driver process was told to end, and holds the arm; the program that drives it is still there."""
    program = Program(place)
    try:
        os.kill(program.driver, signal.SIGTERM)
        until(lambda: "hold" in place.read_text().splitlines()[-1], PATIENCE)
        with pytest.raises(Busy, match=f"by pid {program.pid} of"):
            lease.take(ARM, timeout=1.0, adopt=True)  # it looks 50 times a second who has died
        program.kill()
        waits(program.driver)
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver
        arm.close()
    finally:
        program.close()


def test_a_driver_that_was_told_to_end_goes_on_with_a_reset_of_its_own_program(heir, diary) -> None:
    """It may not let go of an arm that would fall."""
    arm = heir()
    arm.connect()
    state = arm.reset(START)
    driver = arm.pid
    os.kill(driver, signal.SIGTERM)
    until(lambda: diary()[-1] == "hold", PATIENCE)
    with pytest.raises(Halted, match="SIGTERM"):
        arm.exchange(stay(state))
    arm.exchange(stay(arm.reset(START)))
    assert arm.pid == driver
    assert "close" not in diary()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_the_program_forked_keeps_nobody_waiting(place, heir) -> None:
    with orphaned(place, fork=True) as program:
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver


def test_it_is_handed_on_again_and_again(place, heir) -> None:
    with orphaned(place) as program:
        for _ in range(2):
            second = Program(place)
            assert second.driver == program.driver
            second.kill()
            waits(program.driver)
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver


@pytest.mark.parametrize(("asked", "name"), [({"control": "joint"}, "control"), ({"wrench": 1.0}, "driver_options")])
def test_who_asks_for_another_driver_is_refused_and_the_arm_stays_held(place, heir, diary, asked, name) -> None:
    with orphaned(place) as program:
        with pytest.raises(BadOption, match=f"{name} .*while toy is held by the driver that was built so.*--release"):
            heir(**asked).connect()
        waits(program.driver)
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid == program.driver
        assert "close" not in diary()


def test_who_may_not_adopt_is_refused(place, heir) -> None:
    with orphaned(place), pytest.raises(Busy, match="by its driver process"):
        heir(adopt=False).connect()


def test_an_operators_stop_of_a_held_arm_is_not_undone_by_the_first_reset(place, heir) -> None:
    with orphaned(place):
        assert stop.tell(stop.STOP).reached
        arm = heir()
        arm.connect()
        with pytest.raises(Halted, match="an operator said stop"):
            arm.reset(START)
        arm.reset(START)


def test_stops_that_the_last_owner_had_seen_count_no_more(place, heir, monkeypatch) -> None:
    monkeypatch.setattr(real_robot, "_LEAVE", 0.1)
    with orphaned(place) as program:
        first = heir()
        first.connect()
        first.reset(START)
        stop.tell(stop.STOP)
        with pytest.raises(Halted):
            first.exchange(stay(START))
        first.reset(START)
        first._end()  # as if it had died: its lease goes with it
        first._berth.release()
        waits(program.driver)
        second = heir()
        second.connect()
        second.reset(START)


def test_a_release_lets_go_of_it_and_the_next_program_starts_a_driver_of_its_own(place, heir, diary) -> None:
    with orphaned(place) as program:
        assert stop.tell(stop.RELEASE).reached
        until(lambda: not alive(program.driver), PATIENCE)
        assert diary()[-1] == "close"
        arm = heir()
        arm.connect()
        assert arm.pid != program.driver


def test_a_driver_that_died_is_replaced(place, heir, diary) -> None:
    with orphaned(place) as program:
        os.kill(program.driver, signal.SIGKILL)
        until(lambda: not alive(program.driver), PATIENCE)
        arm = heir()
        arm.connect()
        arm.reset(START)
        assert arm.pid != program.driver
        assert len([line for line in diary() if line.startswith("connect")]) == 2


def test_one_that_dies_after_it_was_taken_over_is_replaced_too(place, heir) -> None:
    with orphaned(place) as program:
        arm = heir()
        arm.connect()
        arm.reset(START)
        os.kill(program.driver, signal.SIGKILL)
        until(lambda: not alive(program.driver), PATIENCE)
        arm.reset(START)
        assert arm.pid != program.driver


def test_motors_that_fall_silent_end_the_wait(place) -> None:
    program = Program(place, answers=60)
    try:
        program.kill()
        until(lambda: not alive(program.driver), PATIENCE)
        until(lambda: lease.holder(ARM) is None, PATIENCE)
    finally:
        program.close()


def test_a_compliance_of_the_dead_program_is_undone(place, heir, diary) -> None:
    with orphaned(place):
        arm = heir()
        arm.connect()
        assert diary()[-1] == f"compliance {arm.spec.compliance.stiffness[0]}"
