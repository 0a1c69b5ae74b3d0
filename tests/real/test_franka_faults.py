"""What the driver of either Franka arm does when its vendor's client fails. A scripted client; no robot, no vendor."""

import logging
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from user_gym.errors import Halted, LinkLost, Reflex, RobotFault
from user_gym.real.clock import WallClock
from user_gym.real.franka import control_box
from user_gym.real.franka.driver import FrankaDriver
from user_gym.real.franka.franky_driver import FrankyDriver
from user_gym.real.franka.panda_board import Board
from user_gym.real.franka.panda_driver import PandaDriver
from user_gym.real.franka.panda_loop import Loop
from user_gym.robots import pose, specs

FR3 = specs.SPECS["franka-fr3"]
TOOL = np.eye(4)
TOOL[:3, :3] = pose.matrix(pose.compose(FR3.flange, FR3.tcp)[3:])
TOOL[:3, 3] = pose.compose(FR3.flange, FR3.tcp)[:3] - [0.0, 0.0, 0.107]


class Scripted(FrankaDriver):
    """A driver whose robot does what a test says."""

    def __init__(self, **options):
        super().__init__(FR3, "tcp", "127.0.0.1", WallClock(), gripper=False, **options)
        self.modes, self.moving, self.stops, self.opened, self.cleared = ["Idle"], False, 0, 0, 0
        self.end = None  # what the end of the last motion raises, once
        self.stubborn = self.broken = False

    def _import(self):
        pass

    def _open(self, enforce):
        self.opened += 1
        return self

    def _inspect(self, robot):
        return (self.modes.pop(0) if len(self.modes) > 1 else self.modes[0]), TOOL

    def _prepare(self, robot):
        pass

    def _open_hand(self):
        raise RuntimeError("libfranka: the hand is off")

    def _running(self):
        if self.broken:
            raise RuntimeError("libfranka: no")
        return self.moving

    def _ended(self, timeout):
        if self.moving:
            return False
        error, self.end = self.end, None
        if error is not None:
            raise error
        return True

    def _stop(self):
        self.stops += 1
        self.moving = self.stubborn

    def _clear(self, robot):
        self.cleared += 1

    def _newest(self):
        raise RuntimeError("UDP receive: Timeout")

    _travel = _start = _first = _follow = _comply = _collect = None


@pytest.fixture
def driver():
    driver = Scripted(patience=0.2)
    driver.connect()
    return driver


def test_a_lost_link_does_not_excuse_the_stop_of_an_arm_that_still_moves(driver):
    driver.moving = True
    with pytest.raises(LinkLost):
        driver.measure()
    driver.hold()
    assert driver.stops == 1
    assert not driver.moving


def test_a_stop_that_fails_is_told_and_after_a_lost_link_logged(driver, caplog, monkeypatch):
    monkeypatch.setattr("user_gym.real.franka.driver._TORN", 0.1)
    driver.moving = driver.stubborn = True
    with pytest.raises(LinkLost, match="did not end its motion"):
        driver.hold()
    with caplog.at_level(logging.WARNING):
        driver.hold()
    assert driver.stops == 2
    assert "did not end its motion within 0.1 s" in caplog.text


def test_the_reflex_of_a_motion_that_nobody_watched_is_not_told_by_the_next_one(driver):
    driver.end = RuntimeError('motion aborted by reflex! ["joint_reflex"]')
    driver.hold()
    driver.end = RuntimeError('motion aborted by reflex! ["joint_reflex"]')
    driver.recover()
    assert driver._ended(0.0)


def test_a_clients_exception_while_holding_is_ours(driver):
    driver.broken = True
    with pytest.raises(RobotFault, match="franka-fr3 at"):
        driver.hold()


def test_half_a_connect_is_none():
    driver = Scripted()
    driver._options = control_box.options("tcp", None, "auto", 1.0, 1.0, True, 1.0)
    for opened in (1, 2):
        with pytest.raises(RobotFault, match="the hand is off"):
            driver.connect()
        assert driver.opened == opened


def test_a_robot_in_a_reflex_is_connected_all_the_same():
    driver = Scripted()
    driver.modes = ["Reflex", "Reflex", "Reflex", "Reflex", "Idle"]
    with pytest.raises(Reflex):
        driver.connect()
    driver.recover()  # the state of the first looks is from before
    assert driver.opened == 1


@pytest.mark.parametrize(
    ("mode", "error", "says", "cleared"),
    [("Reflex", RobotFault, "cannot recover from its reflex by itself", 1), ("UserStopped", Halted, "release the button", 0)],
)
def test_a_fault_that_stays_takes_a_person(driver, monkeypatch, mode, error, says, cleared):
    monkeypatch.setattr("user_gym.real.franka.driver._RECOVERED", 0.05)
    driver.modes = [mode]
    with pytest.raises(error, match=says):
        driver.recover()
    assert driver.cleared == cleared


def test_a_state_from_before_the_button_was_released_halts_nobody(driver):
    driver.modes = ["UserStopped", "UserStopped", "Idle"]
    driver.recover()
    assert driver.cleared == 0


def test_a_reflex_from_under_the_button_is_cleared_once_it_is_released(driver):
    driver.modes = ["UserStopped", "Reflex", "Reflex", "Idle"]
    driver.recover()
    assert driver.cleared == 1


def test_one_recovery_is_enough_for_a_lost_link_and_the_reflex_that_it_caused(driver):
    with pytest.raises(LinkLost):
        driver.measure()
    driver.modes = ["Reflex", "Reflex", "Idle"]
    driver.recover()
    assert (driver.opened, driver.cleared) == (2, 1)


def test_a_link_that_is_lost_again_is_not_taken_for_a_recovered_one(driver):
    with pytest.raises(LinkLost):
        driver.measure()
    driver._open = lambda enforce: (_ for _ in ()).throw(RuntimeError("Connection timeout"))
    with pytest.raises(LinkLost, match="no robot answers"):
        driver.recover()
    assert driver.cleared == 0


def test_a_fer_whose_client_tells_nothing_more_is_lost(monkeypatch):
    """libfranka waits for ever for the robot's answer to its own stop, and the motion seems to go on."""
    monkeypatch.setattr("user_gym.real.franka.panda_driver.CATCH_UP", 0.05)
    driver = PandaDriver(specs.SPECS["franka-fer"], "tcp", "127.0.0.1", WallClock(), gripper=False)
    driver._board, driver._motion, driver._robot = Board(), 1, Silent()
    with pytest.raises(LinkLost, match="no word from franka-fer"):
        driver._collect()


class Silent:
    """A loop whose motion does not end."""

    def over(self, request, timeout):
        return False


class Slow:
    """Serves verbs that answer late."""

    def wait(self, descriptor, answer):
        """Answer once a byte is there."""
        os.read(os.open(descriptor, os.O_RDONLY), 1)
        return answer

    def say(self, answer):
        return answer


def test_an_answer_that_comes_too_late_is_not_that_of_the_next_request(tmp_path):
    fifo = str(tmp_path / "go")
    os.mkfifo(fifo)
    loop = Loop(Slow)
    loop.open()
    try:
        with pytest.raises(LinkLost, match="no answer to 'wait'"):
            loop.ask("wait", fifo, "late", timeout=0.05)
        motion = loop.start("say", "ended")
        with open(fifo, "wb") as go:
            go.write(b"!")
        assert loop.ask("say", "now") == "now"
        assert loop.over(motion, 0.0)
        assert loop.result(motion) == "ended"
    finally:
        loop.close()


def test_a_client_that_came_too_late_is_the_next_attempts(monkeypatch):
    answered, made = threading.Event(), []

    def build(*_, **__):
        made.append(object())
        assert answered.wait(10.0)
        return made[-1]

    monkeypatch.setattr(control_box, "CALL", 0.05)
    driver = FrankyDriver(FR3, "tcp", "127.0.0.1", WallClock())
    driver._vendor = SimpleNamespace(Robot=build, RealtimeConfig=SimpleNamespace(Ignore=0))
    with pytest.raises(LinkLost, match="no franka-fr3 answers"):
        driver._open(False)
    monkeypatch.setattr(control_box, "CALL", 10.0)
    answered.set()
    assert driver._open(False) is made[0]
    assert driver._open(False) is made[1]  # what was handed over is nobody else's
