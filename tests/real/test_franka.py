"""What both Franka drivers share: options, words for faults, the slow way, the hand. No robot, no vendor."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from user_gym.core import Gripper
from user_gym.errors import BadOption, Halted, LinkLost, MissingSystem, Reflex, RobotFault, Unreachable
from user_gym.real.franka import control_box, path
from user_gym.real.franka.hand import FrankaHand
from user_gym.robots import kinematics, reach, specs

FER = specs.SPECS["franka-fer"]


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ('libfranka: Move command aborted: motion aborted by reflex! ["joint_reflex", "x"]', Reflex, "joint_reflex, x"),
        ('libfranka: Set command rejected: command not possible in the current mode ("Reflex")!', Reflex, "Reflex"),
        ("libfranka: UDP receive: Timeout", LinkLost, "builds the link anew"),
        ("libfranka: server closed connection", LinkLost, "10.0.0.7"),
        ("libfranka: Connection to FCI refused. Please install FCI feature or enable FCI mode in Desk.", LinkLost, "10.0.0.7"),
        ("libfranka: Incompatible library version (server version: 5, library version: 10).", RobotFault, "install the client"),
        ('libfranka: Move command rejected: command not possible in the current mode ("User stopped")!', Halted, "person"),
        ("libfranka: something else", RobotFault, "something else"),
    ],
)
def test_libfrankas_words_become_the_fault_they_mean(text, kind, says):
    told = control_box.fault(RuntimeError(text), "franka-fr3", "10.0.0.7")
    assert type(told) is kind
    assert says in str(told)
    assert "10.0.0.7" in str(told)


@pytest.mark.parametrize(("mode", "kind"), [("kReflex", Reflex), ("RobotMode.UserStopped", Halted), ("kGuiding", RobotFault)])
def test_a_robot_that_is_not_ready_is_refused_in_words(mode, kind):
    with pytest.raises(kind):
        control_box.refuse_mode(mode, "franka-fr3", "10.0.0.7")
    control_box.refuse_mode("RobotMode.Idle", "franka-fr3", "10.0.0.7")


@pytest.mark.parametrize(
    "bad",
    [
        {"control": "velocity"},
        {"realtime": "maybe"},
        {"force_threshold": 0.0},
        {"torque_threshold": float("nan")},
        {"patience": -1.0},
        {"load": (1.0, (0, 0, 0))},
        {"load": (1.0, (0, 0), (0,) * 9)},
        {"load": (-1.0, (0, 0, 0), (0,) * 9)},
        {"load": (1.0, (0, 0, float("nan")), (0,) * 9)},
    ],
)
def test_a_bad_option_is_named(bad):
    good = {
        "control": "tcp",
        "load": None,
        "realtime": "auto",
        "force_threshold": 60.0,
        "torque_threshold": 40.0,
        "gripper": True,
        "patience": 1.0,
    }
    with pytest.raises(BadOption, match=next(iter(bad))):
        control_box.options(**good | bad)


def test_a_real_arm_needs_a_real_time_kernel_and_a_twin_on_this_machine_does_not(monkeypatch, tmp_path):
    kernel = tmp_path / "realtime"
    monkeypatch.setattr(control_box, "_KERNEL", kernel)
    assert not control_box.enforce_realtime("auto", "127.0.0.77")
    assert not control_box.enforce_realtime("ignore", "10.0.0.7")
    with pytest.raises(MissingSystem, match=r"PREEMPT_RT.*10\.0\.0\.7"):
        control_box.enforce_realtime("auto", "10.0.0.7")
    kernel.write_text("1\n")
    assert control_box.enforce_realtime("auto", "10.0.0.7")


def test_another_tool_than_the_specs_is_refused():
    ours = np.eye(4)
    ours[:3, :3] = np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2**0.5]]) / 2**0.5
    ours[2, 3] = 0.1034
    control_box.check_tool(FER, ours, "10.0.0.7")
    bare = np.eye(4)
    with pytest.raises(RobotFault, match="Franka Hand"):
        control_box.check_tool(FER, bare, "10.0.0.7")
    turned = ours.copy()
    turned[:3, :3] = np.eye(3)
    with pytest.raises(RobotFault, match="Franka Hand"):
        control_box.check_tool(FER, turned, "10.0.0.7")


def test_the_slow_way_is_straight_gentle_and_ends_in_the_posture_asked_for():
    q = FER.home + [0.1, -0.1, 0.3, 0.1, 0.2, -0.1, 0.2]
    goal = reach.solve(FER, np.array([0.5, 0.05, 0.2, 0, 0, 0.4]))
    way = path.plan(FER, q, [goal], 0.1)
    points = kinematics.position(FER, way)
    line = points[-1] - points[0]
    off = np.linalg.norm(np.cross(points - points[0], line / np.linalg.norm(line)), axis=1)
    speed = np.diff(way, axis=0) / path.TICK
    change = np.diff(speed, axis=0) / path.TICK
    assert np.abs(way[-1] - goal).max() < 1e-9
    assert off.max() < 1e-6
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() / path.TICK <= 0.1 + 1e-6
    assert (np.abs(speed) < 0.3 * FER.dq_max).all()
    assert np.abs(change).max() < 3.0  # rad/s2; the arm takes 7.5 and more
    assert np.abs(speed[[0, -1]]).max() < 1e-3


def test_a_way_that_leaves_the_joint_limits_is_refused():
    goal = FER.home.copy()
    goal[5] = FER.q_max[5] + 0.1
    with pytest.raises(Unreachable):
        path.plan(FER, FER.home, [goal], 0.1)


class _Fingers:
    """A hand whose moves wait to be let through."""

    def __init__(self):
        self.calls, self.go, self.width, self.grasps = [], threading.Semaphore(0), 0.08, True
        self.gone = False

    def move(self, width, speed):
        self.calls.append(("move", round(width, 3)))
        assert self.go.acquire(timeout=5)
        self.width = width
        return True

    def grasp(self, width, speed, force, epsilon_inner, epsilon_outer):
        self.calls.append(("grasp", width))
        assert self.go.acquire(timeout=5)
        self.width = 0.02
        return self.grasps

    def read(self):
        if self.gone:
            raise RuntimeError("the cable is out")
        return SimpleNamespace(width=self.width, is_grasped=self.width == 0.02)


@pytest.fixture
def hand():
    fingers = _Fingers()
    hand = FrankaHand(Gripper(0.08, 0.1, 70.0), fingers, fingers.read)
    hand.open()
    yield hand, fingers
    fingers.go.release(10)
    hand.close()
    hand.close()


def test_of_the_orders_that_wait_for_the_fingers_the_latest_wins(hand):
    hand, fingers = hand
    hand.order(0.0)
    hand.order(0.5)
    hand.order(0.25)
    hand.order(0.75)
    fingers.go.release(10)
    assert hand.wait(5)
    assert fingers.calls[-1] == ("move", 0.06)
    assert len(fingers.calls) <= 3
    assert not hand.failure


def test_what_the_hand_already_does_is_not_ordered_again(hand):
    hand, fingers = hand
    hand.order(1.0)  # it is open
    hand.order(1.0)
    assert hand.wait(5)
    assert not fingers.calls


def test_a_grasp_that_fails_is_told_and_the_next_order_still_goes_through(hand, caplog):
    hand, fingers = hand
    fingers.grasps = False
    fingers.go.release(10)
    hand.order(0.0)
    assert hand.wait(5)
    assert "did not get to 0.00" in hand.failure
    assert "did not get to 0.00" in caplog.text
    hand.order(1.0)
    assert hand.wait(5)
    assert not hand.failure


def test_a_width_that_nobody_tells_any_more_is_a_lost_link_and_not_the_last_one(hand, monkeypatch):
    monkeypatch.setattr("user_gym.real.franka.hand._LOST", 0.0)
    hand, fingers = hand
    assert hand.opening == 1.0
    fingers.gone = True
    deadline = time.monotonic() + 5
    with pytest.raises(LinkLost, match="the cable is out"):
        _openings(hand, deadline)


def _openings(hand, deadline):
    while time.monotonic() < deadline:
        assert hand.opening == 1.0
