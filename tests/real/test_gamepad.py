"""Gamepad events, byte by byte, and through a pipe as the device file. A virtual input device: test_kernel_devices."""

import os
import threading

import pytest
from test_hand import state

from user_gym.errors import BadOption, LinkLost
from user_gym.real import gamepad
from user_gym.real.gamepad import ABSOLUTE, EVENT, KEY, Gamepad, events, events_of, find


def event(kind, code, value):
    return EVENT.pack(1700000000, 123456, kind, code, value)


def test_an_event_is_24_bytes_and_a_torn_one_waits_for_nothing() -> None:
    golden = bytes.fromhex("00f1536500000000 40e2010000000000 0300 0100 00800000")
    assert list(events(golden + golden[:7])) == [(3, 1, 32768)]
    assert event(3, 1, 32768) == golden


class Pad:
    """A gamepad whose device file is a pipe; the ranges that a kernel would tell of are those of an Xbox pad."""

    def __init__(self, tmp_path, monkeypatch, **options):
        path = str(tmp_path / "event0")
        os.mkfifo(path)
        self.writer = os.open(path, os.O_RDWR)
        sticks = {0: (0, -32768, 32767), 1: (0, -32768, 32767), 3: (0, -32768, 32767), 4: (0, -32768, 32767)}
        monkeypatch.setattr(gamepad._Evdev, "_absolute", lambda _, code: sticks.get(code, (0, -1, 1)))
        self.stops = []
        self.pad = Gamepad(path, on_stop=lambda: self.stops.append(1), **options)
        self.pad.connect()

    def say(self, *said):
        heard, decode = threading.Event(), self.pad.decode
        last = said[-1][:2]

        def listen(piece):
            decode(piece)
            if any((kind, code) == last for kind, code, _ in piece):
                heard.set()

        self.pad._reader._take = listen
        os.write(self.writer, b"".join(event(*one) for one in said) + event(0, 0, 0))
        assert heard.wait(10)
        return self.pad.read(state())


@pytest.fixture
def pad(tmp_path, monkeypatch):
    pad = Pad(tmp_path, monkeypatch, gripper=True)
    yield pad
    pad.pad.close()
    os.close(pad.writer)


@pytest.mark.parametrize(
    ("code", "value", "axis", "action"),
    [
        (0x01, -32768, 0, 1),  # left stick away: forward
        (0x00, -32768, 1, 1),  # left stick to the left: left
        (0x04, -32768, 2, 1),  # right stick away: up
        (0x03, 32767, 5, -1),  # right stick to the right: clockwise
        (0x10, 1, 3, 1),
        (0x11, -1, 4, 1),  # forward: nose down, a positive turn about left
    ],
)
def test_sticks_move_as_the_person_pushes(pad, code, value, axis, action) -> None:
    order = pad.say((ABSOLUTE, code, value))
    assert order.active
    assert order.action[axis] == pytest.approx(action, abs=1e-4)
    assert sum(abs(order.action[:6])) == pytest.approx(1, abs=1e-4)


def test_buttons_count_when_they_go_down(pad) -> None:
    pad.pad.read(state())
    assert pad.say((KEY, 0x130, 1), (KEY, 0x130, 2), (KEY, 0x130, 0)).action[6] == 1
    assert pad.say((KEY, 0x133, 1)).success is True
    assert pad.say((KEY, 0x13A, 1)).success is False
    assert pad.say((KEY, 0x13B, 1)).terminate
    assert pad.say((KEY, 0x134, 1)).rerecord
    pad.say((KEY, 0x131, 1))
    assert pad.stops == [1]


def test_where_events_were_dropped_the_sticks_are_asked_anew(pad) -> None:
    pad.say((ABSOLUTE, 0x01, -32768))
    os.write(pad.writer, event(0, 3, 0))
    for _ in range(1000):
        if pad.pad._reader.losses:
            break
        threading.Event().wait(0.005)
    order = pad.say((KEY, 0x133, 1))
    assert pad.pad._reader.losses == 1
    assert order.action[0] == pytest.approx(0, abs=1e-4)


def plug(root, name, words):
    folder = root / name / "device" / "capabilities"
    folder.mkdir(parents=True)
    (folder / "key").write_text(words + "\n")


def test_the_first_gamepad_is_found_among_keyboards(tmp_path) -> None:
    plug(tmp_path, "event0", "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe")  # a keyboard
    with pytest.raises(LinkLost, match="no gamepad"):
        find(tmp_path)
    plug(tmp_path, "event10", "7cdb000000000000 0 0 0 0")
    plug(tmp_path, "event9", "7cdb000000000000 0 0 0 0")  # an Xbox pad
    assert find(tmp_path) == "/dev/input/event9"


def test_the_joystick_that_discovery_lists_leads_to_its_events(tmp_path) -> None:
    (tmp_path / "js0" / "device" / "event7").mkdir(parents=True)
    assert events_of("/dev/input/js0", tmp_path) == "/dev/input/event7"
    assert events_of("/dev/input/event3", tmp_path) == "/dev/input/event3"
    with pytest.raises(LinkLost, match="js1"):
        events_of("/dev/input/js1", tmp_path)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(LinkLost, match=r"event97.*plug it in"):
        Gamepad("/dev/input/event97").connect()
    with pytest.raises(BadOption, match="event5"):
        Gamepad("event5")
