"""The keyboard on a real pseudo-terminal: what a person types is written to its other end."""

import os
import pty
import termios
import threading

import numpy as np
import pytest
from test_hand import state

from user_gym.errors import MissingSystem
from user_gym.real.hand import Button, Feel
from user_gym.real.keyboard import BUTTONS, HELP, MOVES, Keyboard, keys


class Desk:
    """A terminal, a person who types, and a clock that stands."""

    def __init__(self, **options):
        self.person, self.terminal = pty.openpty()
        self.now = 10.0
        self.stops = []
        self.keyboard = Keyboard(
            os.ttyname(self.terminal), clock=lambda: self.now, on_stop=lambda: self.stops.append(1), **options
        )

    def type(self, text):
        """Returns when all of it was heard."""
        heard, decode = threading.Event(), self.keyboard.decode
        left = len(text)

        def listen(said):
            nonlocal left
            decode(said)
            left -= len(said)
            if left == 0:
                heard.set()

        self.keyboard._reader._take = listen
        os.write(self.person, text)
        assert heard.wait(10)
        self.keyboard._reader._take = decode

    def read(self):
        return self.keyboard.read(state())

    def close(self):
        self.keyboard.close()
        os.close(self.person)
        os.close(self.terminal)


@pytest.fixture
def desk():
    desk = Desk(feel=Feel(dead_zone=0.0))
    desk.keyboard.connect()
    yield desk
    desk.close()


def test_a_key_moves_for_a_moment(desk) -> None:
    desk.type(b"wr")
    order = desk.read()
    assert order.active
    assert order.action.tolist() == [1, 0, 1, 0, 0, 0]
    desk.now += 0.2
    assert desk.read().action.tolist() == [0] * 6


def test_every_key_of_the_help_does_something_and_no_other_does() -> None:
    told = {k for line in HELP.splitlines()[:3] for k in line.split() if len(k) == 1}
    assert set(MOVES) | {"y", "n", "t"} == told
    assert {" ", "y", "n", "t", "b", "\x1b"} == set(BUTTONS)
    assert not set(MOVES) & set(BUTTONS)
    assert sorted(MOVES.values()) == sorted((axis, sign) for axis in range(6) for sign in (-1.0, 1.0))


def test_capital_letters_move_slowly(desk) -> None:
    desk.type(b"D")
    assert desk.read().action.tolist() == [0, -0.25, 0, 0, 0, 0]


def test_verdicts_are_single_keys(desk) -> None:
    desk.type(b"y")
    assert desk.read().success is True
    desk.type(b"nb")
    order = desk.read()
    assert (order.success, order.rerecord) == (False, True)


def test_escape_stops_at_once_and_an_arrow_does_not(desk) -> None:
    desk.type(b"\x1b[A\x1bOP\x1b[15~")
    assert desk.stops == []
    desk.type(b"\x1b")
    assert desk.stops == [1]


@pytest.mark.parametrize(
    ("piece", "found"),
    [(b"ab", "ab"), (b"\x1b", "\x1b"), (b"\x1bw", "\x1bw"), (b"\x1b[A", ""), (b"x\x1b[1;5Cy", "xy"), (b"\x1b\x1b", "\x1b\x1b")],
)
def test_keys_are_told_from_sequences(piece, found) -> None:
    assert "".join(keys(piece)) == found


def test_the_terminal_is_given_back_as_it_was() -> None:
    desk = Desk()
    before = termios.tcgetattr(desk.terminal)
    desk.keyboard.connect()
    during = termios.tcgetattr(desk.terminal)
    assert not during[3] & (termios.ECHO | termios.ICANON)
    assert during[3] & termios.ISIG  # Ctrl-C still interrupts
    desk.keyboard.close()
    assert termios.tcgetattr(desk.terminal) == before
    desk.keyboard.connect()  # and it can be used again
    desk.close()


def test_a_terminal_whose_window_is_closed_is_lost_not_a_crash(caplog) -> None:
    desk = Desk()
    desk.keyboard.connect()
    os.close(desk.person)
    for _ in range(1000):
        if desk.keyboard._reader.losses:
            break
        threading.Event().wait(0.005)
    assert desk.keyboard._reader.losses == 1
    assert not desk.read().active
    desk.keyboard.close()
    os.close(desk.terminal)


def test_without_a_terminal_the_error_names_other_devices(tmp_path) -> None:
    plain = tmp_path / "file"
    plain.write_bytes(b"")
    for path in (plain, tmp_path / "none"):
        with pytest.raises(MissingSystem, match=r"terminal, or use a gamepad or SpaceMouse"):
            Keyboard(str(path)).connect()


def test_the_gripper_key_needs_an_action_with_a_gripper() -> None:
    desk = Desk(gripper=True)
    desk.keyboard.connect()
    desk.type(b" ")
    assert desk.read().action[6] == 1.0  # the robot's was closed
    assert np.abs(desk.read().action[:6]).max() == 0
    assert BUTTONS[" "] is Button.GRIPPER
    desk.close()
