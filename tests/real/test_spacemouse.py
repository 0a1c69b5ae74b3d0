"""SpaceMouse reports, byte by byte, and through a pipe as the device file. A virtual HID device: test_kernel_devices."""

import os
import threading

import pytest
from test_hand import state

from user_gym.errors import BadOption, LinkLost, MissingSystem
from user_gym.real.hand import Feel
from user_gym.real.spacemouse import SpaceMouse, buttons, find, motion

FULL = 350


def report(kind, *values):
    return bytes([kind]) + b"".join(v.to_bytes(2, "little", signed=True) for v in values)


# What the cap does, as the device says it, and what the person means: forward, left, up and rotations about them.
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (bytes.fromhex("01 5e01 0000 0000"), {0: 0, 1: -1, 2: 0}),  # to the right
        (bytes.fromhex("01 0000 a2fe 0000"), {0: 1, 1: 0, 2: 0}),  # away from the person
        (bytes.fromhex("01 0000 0000 a2fe"), {0: 0, 1: 0, 2: 1}),  # up
        (bytes.fromhex("02 0000 0000 5e01"), {3: 0, 4: 0, 5: -1}),  # clockwise from above
        (bytes.fromhex("02 5e01 0000 0000"), {3: 0, 4: -1, 5: 0}),  # leant towards the person
        (bytes.fromhex("02 af00 a2fe 0000"), {3: 1, 4: -0.5, 5: 0}),
    ],
)
def test_golden_reports_of_a_wired_model(said, meant) -> None:
    assert motion(said) == pytest.approx(meant)
    assert buttons(said) is None


def test_wireless_models_say_all_six_axes_at_once() -> None:
    said = report(1, 35, 70, 105, 140, 175, -210)
    assert motion(said) == pytest.approx({0: -0.2, 1: -0.1, 2: -0.3, 3: -0.5, 4: -0.4, 5: 0.6})


@pytest.mark.parametrize("said", [b"", b"\x01", b"\x01\x00\x00\x00", b"\x17\x5a\x01", b"\xff" * 64])
def test_other_reports_move_nothing(said) -> None:
    assert motion(said) == {}
    assert buttons(said) is None


@pytest.mark.parametrize(("said", "held"), [("0300", 0), ("030100", 1), ("03020000", 2), ("0300000080", 1 << 31)])
def test_buttons_are_bits(said, held) -> None:
    assert buttons(bytes.fromhex(said)) == held


@pytest.fixture
def mouse(tmp_path):
    """A mouse whose device file is a pipe, and what writes into it."""
    path = str(tmp_path / "hidraw0")
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    mouse = SpaceMouse(path, gripper=True, feel=Feel(dead_zone=0.0), clock=lambda: 5.0)
    mouse.connect()
    yield mouse, writer
    mouse.close()
    os.close(writer)


def say(mouse, writer, said):
    heard, decode = threading.Event(), mouse.decode

    def listen(piece):
        decode(piece)
        heard.set()

    mouse._reader._take = listen
    os.write(writer, said)
    assert heard.wait(10)


def test_reports_become_orders(mouse) -> None:
    mouse, writer = mouse
    say(mouse, writer, report(1, 0, -FULL, 0))
    say(mouse, writer, report(2, 0, 0, -FULL // 2))
    order = mouse.read(state())
    assert order.active
    assert order.action.tolist() == pytest.approx([1, 0, 0, 0, 0, 0.5, -1])
    say(mouse, writer, report(1, 0, 0, 0))
    assert mouse.read(state()).action.tolist() == pytest.approx([0, 0, 0, 0, 0, 0.5, -1])


def test_a_button_counts_when_it_goes_down_not_while_it_is_held(mouse) -> None:
    mouse, writer = mouse
    mouse.read(state())
    say(mouse, writer, b"\x03\x01\x00")
    say(mouse, writer, b"\x03\x01\x00")
    assert mouse.read(state()).action[6] == 1
    say(mouse, writer, b"\x03\x00\x00")
    assert mouse.read(state()).action[6] == 1
    say(mouse, writer, b"\x03\x02\x00")
    assert mouse.read(state()).success is True
    say(mouse, writer, b"\x03\x03\x00")
    order = mouse.read(state())
    assert (order.terminate, order.success) == (True, None)


def plug(root, number, identity):
    folder = root / f"hidraw{number}" / "device"
    folder.mkdir(parents=True)
    (folder / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID={identity}\nHID_NAME=x\n")


def test_the_first_spacemouse_is_found_among_other_devices(tmp_path) -> None:
    with pytest.raises(LinkLost, match="no SpaceMouse"):
        find(tmp_path)
    plug(tmp_path, 0, "0003:0000046D:0000C52B")  # a receiver of ordinary mice, by the same vendor
    plug(tmp_path, 10, "0003:0000256F:0000C635")
    plug(tmp_path, 2, "0003:0000046D:0000C626")
    assert find(tmp_path) == "/dev/hidraw2"


def test_what_cannot_be_opened_says_what_to_do(monkeypatch, tmp_path) -> None:
    with pytest.raises(LinkLost, match=r"hidraw97.*plug it in"):
        SpaceMouse("/dev/hidraw97").connect()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("user_gym.real.character.os.open", refuse)
    with pytest.raises(MissingSystem, match=r"/dev/hidraw3 may not be read.*idVendor.*rules\.d"):
        SpaceMouse("/dev/hidraw3").connect()
    with pytest.raises(BadOption, match="hidraw3"):
        SpaceMouse("hidraw3")
