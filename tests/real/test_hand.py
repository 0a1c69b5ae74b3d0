"""Six axes and a few buttons become orders: on a device that a test plays."""

import queue

import numpy as np
import pytest

from user_gym.core import RobotState, Teleop
from user_gym.errors import BadOption, Closed, LinkLost, RobotFault
from user_gym.real.hand import Button, Feel, Hand
from user_gym.robots import stop


def state(gripper=0.0):
    six = np.zeros(6)
    return RobotState(np.float64(0), six, six, six, six, six, six, np.float64(gripper))


class Played:
    name = "played hand"

    def __init__(self):
        self.waiting, self.heard = queue.Queue(), queue.Queue()

    def open(self):
        pass

    def read(self):
        try:
            said = self.waiting.get(timeout=0.02)
        except queue.Empty:
            return None
        if isinstance(said, BaseException):
            raise said
        return said

    def close(self):
        pass


class Toy(Hand):
    """Said: (axis, value), a Button, or an exception. `say` waits until it was heard."""

    def __init__(self, **options):
        self.played = Played()
        options = {"gripper": False, "feel": Feel(dead_zone=0.2), "lasting": 10.0, "on_stop": list} | options
        super().__init__(self.played, **options)

    def decode(self, said):
        if isinstance(said, Button):
            self.press(said)
        else:
            self.move(*said)
        self.played.heard.put(said)

    def say(self, said):
        self.played.waiting.put(said)
        self.played.heard.get(timeout=10)


class Time:
    now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def toys():
    made = []

    def build(**options):
        toy = Toy(**options)
        made.append(toy)
        toy.connect()
        toy.connect()
        toy.reset()
        return toy

    yield build
    for toy in made:
        toy.close()
        toy.close()


def test_it_is_a_teleop_and_must_be_connected() -> None:
    toy = Toy()
    assert isinstance(toy, Teleop)
    with pytest.raises(Closed, match=r"played hand.*connect"):
        toy.read(state())


def test_an_untouched_device_leaves_the_policy_alone(toys) -> None:
    order = toys().read(state())
    assert order.active is False
    assert order.action.dtype == np.float32
    assert order.action.tolist() == [0.0] * 6
    assert (order.success, order.terminate, order.rerecord) == (None, False, False)


def test_an_axis_moves_beyond_its_dead_zone_and_reaches_all_of_its_range(toys) -> None:
    toy = toys()
    toy.say((0, 0.2))
    assert toy.read(state()).active is False
    toy.say((0, 0.6))
    toy.say((4, -3.0))
    order = toy.read(state())
    assert order.active is True
    assert order.action.tolist() == pytest.approx([0.5, 0, 0, 0, -1, 0])


def test_speed_scales_translations_and_rotations_apart(toys) -> None:
    toy = toys(feel=Feel(dead_zone=0.0, speed=(0.5, 0.25)))
    toy.say((2, 1.0))
    toy.say((5, -1.0))
    assert toy.read(state()).action.tolist() == pytest.approx([0, 0, 0.5, 0, 0, -0.25])


def test_a_person_opposite_the_robot_sees_forward_and_left_turned(toys) -> None:
    toy = toys(feel=Feel(dead_zone=0.0, facing=np.pi))
    toy.say((0, 1.0))
    toy.say((1, 0.5))
    toy.say((2, 0.25))
    assert toy.read(state()).action.tolist() == pytest.approx([-1, -0.5, 0.25, 0, 0, 0], abs=1e-6)
    toy = toys(feel=Feel(dead_zone=0.0, facing=np.pi / 2))  # looks along the base's +y: forward is +y
    toy.say((0, 1.0))
    assert toy.read(state()).action.tolist() == pytest.approx([0, 1, 0, 0, 0, 0], abs=1e-6)


def test_the_person_keeps_the_robot_for_a_while_after_letting_go(toys) -> None:
    clock = Time()
    toy = toys(clock=clock, feel=Feel(hold=0.5))
    toy.say((0, 1.0))
    clock.now = 53.0  # a stick that is held says nothing new
    assert toy.read(state()).active is True
    toy.say((0, 0.0))
    clock.now = 53.5
    order = toy.read(state())
    assert order.active is True
    assert not order.action.any()
    clock.now = 53.51
    assert toy.read(state()).active is False


def test_what_is_said_once_does_not_move_for_ever(toys) -> None:
    clock = Time()
    toy = toys(clock=clock, lasting=0.15)
    toy.say((0, 1.0))
    clock.now = 50.15
    assert toy.read(state()).action[0] == 1.0
    clock.now = 50.16
    assert toy.read(state()).action[0] == 0.0


def test_the_gripper_begins_as_the_robot_has_it_and_a_press_turns_it(toys) -> None:
    toy = toys(gripper=True)
    assert toy.read(state(gripper=0.9)).action.tolist() == [0, 0, 0, 0, 0, 0, 1]
    toy.say(Button.GRIPPER)
    order = toy.read(state(gripper=0.9))
    assert (order.action[6], order.active) == (-1, True)
    assert toy.read(state(gripper=0.9)).action[6] == -1  # it stays
    toy.reset()
    assert toy.read(state(gripper=0.9)).action[6] == 1
    toy.say(Button.GRIPPER)
    toy.say(Button.GRIPPER)  # twice between two steps is not at all
    assert toy.read(state()).action[6] == 1


def test_without_a_gripper_in_the_action_its_button_does_nothing(toys) -> None:
    toy = toys()
    toy.say(Button.GRIPPER)
    order = toy.read(state())
    assert (order.active, order.action.shape) == (False, (6,))


@pytest.mark.parametrize(
    ("button", "said"),
    [
        (Button.SUCCESS, (True, False, False)),
        (Button.FAILURE, (False, False, False)),
        (Button.TERMINATE, (None, True, False)),
        (Button.RERECORD, (None, False, True)),
    ],
)
def test_a_verdict_is_given_once_and_is_no_intervention(toys, button, said) -> None:
    toy = toys()
    toy.say(button)
    order = toy.read(state())
    assert (order.success, order.terminate, order.rerecord) == said
    assert order.active is False
    order = toy.read(state())
    assert (order.success, order.terminate, order.rerecord) == (None, False, False)


def test_what_was_pressed_between_two_episodes_does_not_count(toys) -> None:
    toy = toys()
    toy.say(Button.SUCCESS)
    toy.reset()
    assert toy.read(state()).success is None


def test_stop_acts_at_once_without_anybody_reading(toys) -> None:
    calls = []
    toy = toys(on_stop=lambda: calls.append("stop"))
    toy.say(Button.STOP)
    assert calls == ["stop"]


@pytest.mark.parametrize("outcome", [OSError("no socket"), stop.Told((), failed=("left.1: full",))], ids=["broken", "stuck"])
def test_a_stop_that_reached_nobody_is_logged_and_the_device_read_on(toys, caplog, outcome) -> None:
    def told():
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    toy = toys(on_stop=told)
    toy.say(Button.STOP)
    toy.say((0, 1.0))
    assert toy.read(state()).action[0] == 1.0
    assert "could not stop" in caplog.text


def test_an_unplugged_device_pushes_nothing_and_comes_back(toys) -> None:
    toy = toys()
    toy.say((0, 1.0))
    assert toy.read(state()).action[0] == 1.0
    toy.played.waiting.put(LinkLost("unplugged"))
    toy.say((1, 1.0))  # heard after it is back
    assert toy.read(state()).action.tolist() == [0, 1, 0, 0, 0, 0]


def test_a_reader_that_dies_is_told_of(toys, caplog) -> None:
    toy = toys()
    toy.played.waiting.put(KeyError("a bug"))
    toy._reader._thread.join(10)
    with pytest.raises(RobotFault, match=r"played hand.*a bug"):
        toy.read(state())


@pytest.mark.parametrize(
    "options", [{"dead_zone": 1.0}, {"speed": (0.0, 1.0)}, {"speed": (1.0, 1.1)}, {"hold": -1.0}, {"facing": np.nan}]
)
def test_a_feel_that_makes_no_sense_is_refused(options) -> None:
    with pytest.raises(BadOption):
        Feel(**options)
