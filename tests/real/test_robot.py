"""The parent's end and the worker: orders, faults, deaths. A toy arm, no vendor."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import wait

import numpy as np
import pytest
from toy import VirtualClock

from user_gym.core import Command
from user_gym.errors import BadAction, BadOption, Closed, Halted, LinkLost, NotReset, Reflex, RobotFault, Stopped, Unreachable
from user_gym.real import patience as real_patience
from user_gym.real import robot as real_robot
from user_gym.real.berth import Place
from user_gym.real.clock import WallClock
from user_gym.real.guard import Thresholds
from user_gym.real.job import Job
from user_gym.real.patience import Patience
from user_gym.real.robot import RealRobot
from user_gym.robots import specs, stop
from user_gym.testing.bench import PERIOD, Bench

SPEC = specs.spec("franka-fr3")
TASK = Bench(SPEC)
START = TASK.start(np.random.default_rng(0))


class Berth:
    def __init__(self, job):
        self.job = job

    def take(self):
        return Place(self.job)

    def began(self, time):
        assert time == 0.0

    def release(self):
        pass


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))


@pytest.fixture
def make(tmp_path):
    made = []

    def build(clock=None, patience=None, thresholds=None, stale=None, moves_gripper=False, control="tcp", **options):
        job = Job(
            "toy", "toy:ToyDriver", SPEC, control, "nowhere", clock or VirtualClock(), TASK.workspace, PERIOD, moves_gripper,
            stale=stale, thresholds=thresholds or Thresholds(), options={"diary": str(tmp_path / "diary"), **options},
        )  # fmt: skip
        robot = RealRobot(SPEC, control, Berth(job), patience)
        made.append(robot)
        return robot

    yield build
    for robot in made:
        robot.close()


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "diary"
    return lambda: [line.split(" ", 1)[1] for line in path.read_text().splitlines()]


def until(holds, timeout=5.0):
    """Wait for another process."""
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def stay(state):
    return Command(0.0, tcp=state.tcp)


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


def go_on(robot, seconds):
    end = time.monotonic() + seconds
    state = robot.reset(START)
    while time.monotonic() < end:
        state = robot.exchange(stay(state))


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


def test_a_start_out_of_reach_moves_nothing(make, diary) -> None:
    robot = make()
    robot.connect()
    state = robot.reset(START)
    before = len(diary())
    with pytest.raises(Unreachable):
        robot.reset(replace(START, tcp=START.tcp + [3.0, 0, 0, 0, 0, 0]))
    assert len(diary()) == before
    robot.exchange(stay(state))


def test_an_arm_that_does_not_arrive_at_its_start_is_a_fault(make) -> None:
    robot = make(short=0.011)
    robot.connect()
    with pytest.raises(RobotFault, match=r"did not arrive at its start: off by \[.*0\.011"):
        robot.reset(START)
    with pytest.raises(RobotFault, match="did not arrive"):
        robot.exchange(Command(0.0, tcp=START.tcp))


def test_an_arm_that_is_parked_elsewhere_does_not_move(make, diary) -> None:
    robot = make(turned=1.5)
    robot.connect()
    with pytest.raises(RobotFault, match=r"outside the workspace.*nothing moved"):
        robot.reset(START)
    with pytest.raises(BadOption, match="inside the workspace"):
        robot.reset(replace(START, tcp=START.tcp + [0, 0, 0.1, 0, 0, 0]))
    assert not [line for line in diary() if line.startswith("move")]


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


PARENT = """
import sys, time, numpy as np
sys.path[:0] = {path!r}
from test_robot import *
job = Job("toy", "toy:ToyDriver", SPEC, "tcp", "nowhere", VirtualClock(), TASK.workspace, PERIOD, False,
          options={options!r})
robot = RealRobot(SPEC, "tcp", Berth(job))
robot.connect()
robot.reset(START)
child = os.fork() if {fork} else 0
if {fork} and not child:
    time.sleep(60)
print(robot.pid, child, flush=True)
time.sleep(60)
"""


def orphan(tmp_path, fork=False, **options):
    """A worker whose parent was killed; its process id, and when that was. With `fork`, a child of the parent lives on."""
    options["diary"] = str(tmp_path / "diary")
    code = PARENT.format(path=[os.path.dirname(__file__)], options=options, fork=fork)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        pid, child = map(int, parent.stdout.readline().split())
        parent.kill()
        killed = time.monotonic()
    return (pid, killed, child) if fork else (pid, killed)


def alive(pid) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


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


def test_an_obstacle_on_the_way_to_the_start_stops_the_arm(make, diary) -> None:
    robot = make(broken="obstacle", wrench=100.0)
    robot.connect()
    with pytest.raises(Stopped, match="contact force is 100"):
        robot.reset(START)
    assert diary()[-1] == "hold"


def test_the_arm_is_held_at_one_pose_while_the_gripper_moves(make, diary) -> None:
    robot = make(moves_gripper=True, broken="sag")
    robot.connect()
    robot.reset(replace(START, gripper=1.0))
    assert len({line for line in diary() if line.startswith("order")}) == 1


def test_what_the_gripper_meets_before_an_episode_stops_the_arm(make) -> None:
    robot = make(moves_gripper=True, wrench=100.0)
    robot.connect()
    with pytest.raises(Stopped, match="contact force is 100"):
        robot.reset(replace(START, gripper=1.0))
