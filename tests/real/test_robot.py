"""The parent's end and the worker: resets, orders and their limits. A toy arm, no vendor."""

import os
import signal
from dataclasses import replace
from multiprocessing.connection import wait

import numpy as np
import pytest
from worker_rig import SPEC, START, TASK, stay, until

from user_gym.core import Command
from user_gym.errors import BadAction, BadOption, Closed, NotReset, RobotFault, Unreachable
from user_gym.testing.bench import PERIOD


def test_a_reset_goes_up_across_and_down_slowly_and_starts_the_clock(make, diary) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    np.testing.assert_allclose(state.tcp, START.tcp, atol=1e-6)
    assert state.time == 0.0
    moves = [line for line in diary() if line.startswith(("move", "begin"))]
    assert moves[-1] == "begin"
    assert all(line.endswith(" 0.1") for line in moves[:-1])
    heights = [float(line.split(",")[2]) for line in moves[:-1]]
    assert heights[0] >= TASK.workspace.high[2]
    assert heights[-1] == pytest.approx(START.tcp[2], abs=1e-4)


def test_an_order_takes_one_period_and_the_split_halves_do_the_same(make) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    target = state.tcp + [0.01, 0, 0, 0, 0, 0]
    state = robot.exchange(Command(0.0, tcp=target))
    np.testing.assert_allclose(state.tcp, target, atol=1e-6)
    assert float(state.time) == pytest.approx(PERIOD)
    robot.send(Command(0.0, tcp=target))
    assert wait([robot.connection], timeout=5.0)
    assert float(robot.receive().time) == pytest.approx(2 * PERIOD)


def test_an_order_beyond_the_step_is_clipped_and_says_so(make) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    after = robot.exchange(Command(0.0, tcp=state.tcp + [0.1, 0, 0, 0, 0, 0]))
    assert robot.clipped
    assert after.tcp[0] - state.tcp[0] == pytest.approx(SPEC.tcp_speed[0] * PERIOD, abs=1e-6)
    robot.exchange(stay(after))
    assert not robot.clipped


@pytest.mark.parametrize(
    "bad", [np.full(6, np.nan), START.tcp + [0.5, 0, 0, 0, 0, 0], START.tcp[:5]], ids=["nan", "jump", "short"]
)
def test_an_order_that_means_nothing_is_refused_and_no_time_passes(make, bad) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    with pytest.raises(BadAction):
        robot.exchange(Command(0.0, tcp=bad))
    after = robot.exchange(stay(state))
    assert float(after.time) == pytest.approx(PERIOD)


@pytest.mark.parametrize(
    "bad", [None, "up", [0.0] * 6, Command(0.0, tcp=[0.0] * 6)], ids=["none", "text", "list", "a list inside"]
)
def test_what_is_no_order_is_never_sent(make, bad) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    for use in (robot.send, robot.exchange):
        with pytest.raises(BadAction, match="of type"):
            use(bad)
    with pytest.raises(BadOption, match="a Start"):
        robot.reset(bad)
    robot.exchange(stay(state))


def test_before_connect_and_after_close_it_is_closed_and_before_reset_not_reset(make) -> None:
    robot = make()
    with pytest.raises(Closed):
        robot.reset(START)
    robot.connect()
    robot.connect()
    with pytest.raises(NotReset):
        robot.exchange(Command(0.0, tcp=START.tcp))
    robot.close()
    robot.close()
    with pytest.raises(Closed):
        robot.exchange(Command(0.0, tcp=START.tcp))


def test_a_start_out_of_reach_moves_nothing(make, diary) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    before = len(diary())
    with pytest.raises(Unreachable):
        robot.reset(replace(START, tcp=START.tcp + [3.0, 0, 0, 0, 0, 0]))
    assert len(diary()) == before
    robot.exchange(stay(state))


def test_an_arm_that_is_parked_elsewhere_does_not_move(make, diary) -> None:
    robot = make(turned=1.5)
    robot.connect()
    with pytest.raises(RobotFault, match=r"outside the workspace.*nothing moved"):
        robot.reset(START)
    with pytest.raises(BadOption, match="inside the workspace"):
        robot.reset(replace(START, tcp=START.tcp + [0, 0, 0.1, 0, 0, 0]))
    assert not [line for line in diary() if line.startswith("move")]


def test_a_compliance_is_kept_when_a_new_process_is_started(make, diary) -> None:
    robot = make()
    robot.connect()
    softer = replace(SPEC.compliance, stiffness=SPEC.compliance.stiffness * 0.5)
    robot.set_compliance(softer)
    os.kill(robot.pid, signal.SIGKILL)
    until(lambda: robot._process.poll() is not None)
    robot.reset(START)
    assert [line for line in diary() if line.startswith("compliance")] == ["compliance 1000.0"] * 2
    with pytest.raises(BadOption):
        robot.set_compliance(replace(softer, damping=np.full(6, -1.0)))


def test_the_gripper_is_brought_to_the_start_where_the_task_moves_it(make) -> None:
    robot = make(moves_gripper=True)
    robot.connect()
    state = robot.reset(replace(START, gripper=1.0))
    assert float(state.gripper) == pytest.approx(1.0, abs=0.06)
    assert state.time == 0.0


def test_what_a_task_does_not_move_keeps_its_width(make) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    assert float(robot.exchange(Command(1.0, tcp=state.tcp)).gripper) == 0.0


def test_the_first_clip_of_an_episode_is_logged_and_the_others_are_counted(make, diary, capfd) -> None:
    robot = make()
    robot.connect()
    for _ in range(2):
        state = robot.reset(START)
        for _ in range(3):
            state = robot.exchange(Command(0.0, tcp=state.tcp + [0.0, 0.1, 0, 0, 0, 0]))
    robot.close()
    logged = capfd.readouterr().err
    assert logged.count("an order for toy was brought within its limits") == 2
    assert logged.count("3 orders of this episode for toy were") == 2


def test_the_arm_is_held_at_one_pose_while_the_gripper_moves(make, diary) -> None:
    robot = make(moves_gripper=True, broken="sag")
    robot.connect()
    robot.reset(replace(START, gripper=1.0))
    assert len({line for line in diary() if line.startswith("order")}) == 1
