"""Human devices and cameras that the kernel itself makes: uhid, uinput, vivid. They need root and these modules:

modprobe uhid uinput vivid

Where a kernel has none, the same drivers are tested on pipes, terminals and streams beside this file.
"""

import fcntl
import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_hand import state

from user_gym.core import CameraSpec
from user_gym.errors import LinkLost
from user_gym.real import gamepad, spacemouse
from user_gym.real.camera import camera
from user_gym.real.gamepad import AXES, BUTTONS, EVENT, Gamepad
from user_gym.real.hand import Feel
from user_gym.real.spacemouse import SpaceMouse
from user_gym.testing.camera_suite import CameraSuite


def needs(path, module):
    there = os.path.exists(path) and os.access(path, os.R_OK | os.W_OK)
    return pytest.mark.skipif(not there, reason=f"{path} is not there or not ours: modprobe {module}, as root")


def until(holds):
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came true")


# Generic desktop, multi-axis controller: report 1 translation, report 2 rotation, report 3 two buttons.
DESCRIPTOR = bytes.fromhex(
    "05010908a101a100 8501 16a2fe 265e01 7510 9503 0930 0931 0932 8106 c0".replace(" ", "")
    + "a100 8502 16a2fe 265e01 7510 9503 0933 0934 0935 8106 c0".replace(" ", "")
    + "a102 8503 0509 1901 2902 1500 2501 7501 9502 8102 9506 8103 c0 c0".replace(" ", "")
)


class VirtualMouse:
    """A SpaceMouse Compact made by uhid."""

    def __init__(self):
        self.file = os.open("/dev/uhid", os.O_RDWR)
        # struct uhid_create2_req: name, phys, uniq, size, bus, vendor, product, version, country, descriptor
        body = struct.pack("=128s64s64sHHIIII", b"SpaceMouse Compact", b"", b"", len(DESCRIPTOR), 3, 0x256F, 0xC635, 0, 0)
        os.write(self.file, struct.pack("=I", 11) + body + DESCRIPTOR)

    def say(self, report):
        os.write(self.file, struct.pack("=IH", 12, len(report)) + report)

    def close(self):
        os.close(self.file)


@needs("/dev/uhid", "uhid")
def test_a_spacemouse_of_the_kernel_is_found_moves_and_may_be_unplugged() -> None:
    device = VirtualMouse()
    until(lambda: os.path.exists("/sys/class/hidraw/hidraw0"))
    until(lambda: os.path.exists(spacemouse.find()))
    hand = SpaceMouse(gripper=True, feel=Feel(dead_zone=0.0), clock=lambda: 1.0)
    hand.connect()
    device.say(bytes.fromhex("01 0000 a2fe 0000"))
    device.say(bytes.fromhex("02 0000 0000 51ff"))
    until(lambda: hand.read(state()).action[5] == pytest.approx(0.5))
    order = hand.read(state())
    assert order.active
    assert order.action.tolist() == pytest.approx([1, 0, 0, 0, 0, 0.5, -1])
    device.say(b"\x03\x01")
    until(lambda: hand.read(state()).action[6] == 1)
    device.close()
    until(lambda: hand._reader.losses == 1)
    assert not hand.read(state()).action[:6].any()
    device = VirtualMouse()
    until(lambda: not hand._reader.trouble)
    device.say(bytes.fromhex("01 5e01 0000 0000"))
    until(lambda: hand.read(state()).action[1] == -1)
    hand.close()
    device.close()


class VirtualPad:
    """A gamepad made by uinput, sticks as an Xbox pad has them."""

    def __init__(self):
        self.file = os.open("/dev/uinput", os.O_WRONLY | os.O_NONBLOCK)
        for bit, codes in ((0x64, (1, 3)), (0x65, BUTTONS), (0x67, AXES)):  # UI_SET_EVBIT, _KEYBIT, _ABSBIT
            for code in codes:
                fcntl.ioctl(self.file, 1 << 30 | 4 << 16 | ord("U") << 8 | bit, code)
        for code in AXES:  # UI_ABS_SETUP
            half = 1 if code >= 0x10 else 32767
            setup = struct.pack("@Hxx6i", code, 0, -half, half, 0, 0, 0)
            fcntl.ioctl(self.file, 1 << 30 | len(setup) << 16 | ord("U") << 8 | 4, setup)
        setup = struct.pack("@4H80sI", 3, 0x045E, 0x028E, 1, b"Xbox pad", 0)
        fcntl.ioctl(self.file, 1 << 30 | len(setup) << 16 | ord("U") << 8 | 3, setup)  # UI_DEV_SETUP
        fcntl.ioctl(self.file, ord("U") << 8 | 1)  # UI_DEV_CREATE

    def say(self, *events):
        os.write(self.file, b"".join(EVENT.pack(0, 0, *event) for event in (*events, (0, 0, 0))))

    def close(self):
        os.close(self.file)


def pad_is_there():
    try:
        return os.path.exists(gamepad.find())
    except LinkLost:
        return False


@needs("/dev/uinput", "uinput")
def test_a_gamepad_of_the_kernel_is_found_moves_and_may_be_unplugged() -> None:
    device = VirtualPad()
    until(pad_is_there)
    device.say((3, 0x00, 32767))  # the stick is pushed before anybody looks
    stops = []
    hand = Gamepad(gripper=True, on_stop=lambda: stops.append(1))
    hand.connect()
    until(lambda: hand.read(state()).action[1] == -1)
    device.say((3, 0x01, -32767), (3, 0x00, 0), (3, 0x10, 1))
    until(lambda: hand.read(state()).action[:4].tolist() == [1, 0, 0, 1])
    device.say((1, 0x130, 1))
    until(lambda: hand.read(state()).action[6] == 1)
    device.say((1, 0x131, 1))
    until(lambda: stops == [1])
    device.close()
    until(lambda: hand._reader.losses == 1)
    assert not hand.read(state()).action[:6].any()
    device = VirtualPad()
    until(lambda: not hand._reader.trouble)
    device.say((3, 0x04, -32767))
    until(lambda: hand.read(state()).action[2] == 1)
    hand.close()
    device.close()


def vivid():
    """The device of vivid's test pattern, or a path that is not there."""
    for name in sorted(Path("/sys/class/video4linux").glob("video*/name")):
        if "vivid" in (words := name.read_text()) and "vid-cap" in words:
            return f"/dev/{name.parent.name}"
    return "/dev/video-of-vivid"


SPEC = CameraSpec("side", "base", np.array([0, 0, 0, 0, 0, 0, 1.0]), fovy=0.8, height=64, width=64)


@needs(vivid(), "vivid")
class TestVivid(CameraSuite):
    def make_camera(self):
        pytest.importorskip("cv2", reason="opencv comes with the extra 'camera'")
        self.eye_of_test = camera(SPEC, f"opencv:{vivid()}", max_age=20.0, size=(640, 360))
        return self.eye_of_test

    def advance(self):
        before = self.eye_of_test.read().time
        until(lambda: self.eye_of_test.read().time > before)

    def test_the_drivers_stamp_of_a_frame_is_on_our_clock(self, eye):
        source = eye._reader._source
        source.open()
        picture = source.read()
        now = time.monotonic()
        stamp = source._capture.get(source._cv2.CAP_PROP_POS_MSEC) / 1000.0
        source.close()
        assert abs(now - stamp) < 1.0  # on our clock; vivid's is of the ideal frame, which may lie a little ahead
        assert picture.captured == pytest.approx(min(stamp, now), abs=0.5)
