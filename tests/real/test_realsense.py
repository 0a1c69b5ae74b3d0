"""The vendor's SDK itself, fed by its own software device: no camera is needed, and no seam of the SDK is replaced."""

import itertools
import threading
import time

import numpy as np
import pytest

from user_gym.core import CameraSpec
from user_gym.errors import BadOption, LinkLost
from user_gym.real.camera import LiveCamera, camera
from user_gym.real.realsense import RealSense
from user_gym.testing.camera_suite import CameraSuite

pytest.importorskip("cv2", reason="opencv comes with the extra 'camera'")
rs = pytest.importorskip(
    "pyrealsense2", reason="pyrealsense2 comes with the extra 'camera' and needs libusb-1.0-0", exc_type=ImportError
)
SPEC = CameraSpec("wrist", "tool", np.array([0, 0, 0, 0, 0, 0, 1.0]), fovy=0.8, height=32, width=32)
SERIAL = "936322070029"
FY = 600.0  # pixels


class Plugged:
    """A software device with a colour sensor of 640 x 480, which gives a frame every 20 ms until it is unplugged."""

    def __init__(self, domain=None):
        self.domain = rs.timestamp_domain.system_time if domain is None else domain
        self.device = rs.software_device()
        self.device.register_info(rs.camera_info.serial_number, SERIAL)
        self.sensor = self.device.add_sensor("RGB Camera")
        stream = rs.video_stream()
        stream.type, stream.fmt, stream.uid, stream.fps, stream.bpp = rs.stream.color, rs.format.rgb8, 1, 30, 3
        stream.width, stream.height = 640, 480
        lens = rs.intrinsics()
        lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = 640, 480, FY, FY, 320, 240
        stream.intrinsics = lens
        self.profile = self.sensor.add_video_stream(stream, True).as_video_stream_profile()
        self.there, self.delay = True, 0.0
        self.stop, self.mute = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._feed, name="software device")
        self.thread.start()

    def list(self):
        return [self.device] if self.there else []

    def close(self):
        self.stop.set()
        self.thread.join(10)

    def _feed(self):
        for n in itertools.count():
            if self.stop.wait(0.02):
                return
            if self.mute.is_set():
                continue
            frame = rs.software_video_frame()
            image = np.zeros((480, 640, 3), np.uint8)
            image[..., 0], image[:240, :, 1], image[..., 2] = 10, 200, n % 256
            frame.pixels, frame.stride, frame.bpp = image, 640 * 3, 3
            frame.timestamp, frame.domain = (time.time() - self.delay) * 1000.0, self.domain
            frame.frame_number, frame.profile = n, self.profile
            self.sensor.on_video_frame(frame)


@pytest.fixture
def plugged():
    plugged = Plugged()
    yield plugged
    plugged.close()


class TestSoftwareDevice(CameraSuite):
    @pytest.fixture(autouse=True)
    def _plugged(self, plugged):
        self.plugged = plugged

    def make_camera(self):
        self.eye_of_test = camera(SPEC, f"realsense:{SERIAL}", max_age=5.0, devices=self.plugged.list)
        return self.eye_of_test

    def advance(self):
        before = self.eye_of_test.read().time
        for _ in range(2000):
            if self.eye_of_test.read().time > before:
                return
            threading.Event().wait(0.005)
        raise AssertionError("no new frame")


def test_a_frame_is_rgb_and_was_taken_when_the_sdk_says(plugged) -> None:
    plugged.delay = 0.3
    source = RealSense(devices=plugged.list)
    source.open()
    picture = source.read()
    now = time.monotonic()
    source.close()
    source.close()
    assert picture.image.shape == (480, 640, 3)
    assert picture.image[0, 0, :2].tolist() == [10, 200]
    assert picture.image[479, 0, :2].tolist() == [10, 0]
    assert 0.3 <= now - picture.captured < 1.0
    assert picture.fovy == pytest.approx(2 * np.arctan(240 / FY))


def test_a_clock_that_cannot_be_mapped_gives_the_time_of_arrival() -> None:
    plugged = Plugged(rs.timestamp_domain.hardware_clock)
    plugged.delay = 0.3
    source = RealSense(SERIAL, devices=plugged.list)
    source.open()
    before = time.monotonic()
    assert source.read().captured >= before
    source.close()
    plugged.close()


def test_a_camera_that_falls_silent_and_is_unplugged_comes_back(plugged) -> None:
    eye = LiveCamera(SPEC, RealSense(SERIAL, devices=plugged.list), max_age=0.4, backoff=(0.02, 0.05))
    eye.connect()
    plugged.there = False
    plugged.mute.set()
    for _ in range(2000):
        if eye.losses:
            break
        threading.Event().wait(0.005)
    plugged.there = True
    plugged.mute.clear()
    eye.connect()
    eye.read()
    assert eye.losses >= 1
    eye.close()


def test_another_serial_number_names_those_that_are_there(plugged) -> None:
    with pytest.raises(LinkLost, match=rf"000 is not there; plugged in: {SERIAL}"):
        RealSense("000", devices=plugged.list).open()


def test_a_size_that_it_does_not_have_names_those_it_has(plugged) -> None:
    with pytest.raises(BadOption, match=r"640x480 at 30 Hz"):
        RealSense(size=(641, 480), devices=plugged.list).open()


def test_on_a_machine_without_one_the_sdk_finds_none() -> None:
    if len(rs.context().query_devices()):
        pytest.skip("a RealSense is plugged in")
    with pytest.raises(LinkLost, match="plugged in: none"):
        RealSense(SERIAL).open()


@pytest.mark.parametrize("options", [{"size": (0, 480)}, {"rate": 0}])
def test_bad_options_are_refused(options) -> None:
    with pytest.raises(BadOption):
        RealSense(**options)
