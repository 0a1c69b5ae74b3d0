"""OpenCV's own client against a real stream on a socket, and a real file. V4L2 devices: test_kernel_devices."""

import threading

import numpy as np
import pytest
from mjpeg import Stream, scene

from user_gym.core import CameraSpec
from user_gym.errors import BadOption, LinkLost, RobotFault
from user_gym.real.camera import LiveCamera, camera
from user_gym.real.opencv import OpenCv
from user_gym.testing.camera_suite import CameraSuite

cv2 = pytest.importorskip("cv2", reason="opencv comes with the extra 'camera'")
SPEC = CameraSpec("side", "base", np.array([0, 0, 0, 0, 0, 0, 1.0]), fovy=0.8, height=32, width=48)


@pytest.fixture
def stream():
    stream = Stream()
    yield stream
    stream.unplug()


class TestStream(CameraSuite):
    @pytest.fixture(autouse=True)
    def _stream(self, stream):
        self.stream = stream

    def make_camera(self):
        self.camera = camera(SPEC, f"opencv:{self.stream.url}", max_age=5.0)
        return self.camera

    def advance(self):
        before = self.camera.read().time
        for _ in range(2000):
            if self.camera.read().time > before:
                return
            threading.Event().wait(0.005)
        raise AssertionError("no new frame")


def test_colours_and_places_are_as_they_were_sent(stream) -> None:
    eye = camera(SPEC, f"opencv:{stream.url}", max_age=5.0)
    eye.connect()
    image = eye.read().image.astype(float)
    eye.close()
    expected = cv2.resize(scene(0), (48, 32), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(image[..., 0] - expected[..., 0]).mean() < 12  # red grows downward
    assert np.abs(image[..., 2] - 40).mean() < 16
    assert image[..., 1].max() > 120


def read_on(eye):
    for _ in range(2000):
        eye.read()
        threading.Event().wait(0.005)


def test_a_stream_that_is_cut_goes_stale_and_comes_back(stream) -> None:
    eye = LiveCamera(SPEC, OpenCv(stream.url), max_age=1.0, backoff=(0.02, 0.1))
    eye.connect()
    eye.read()
    stream.unplug()
    with pytest.raises(RobotFault, match=r"side.*allowed: 1(\.0)? s"):
        read_on(eye)
    stream.plug()
    eye.connect()  # as the next reset does: returns with a fresh frame
    eye.read()
    assert eye.losses >= 1
    eye.close()


def test_a_file_is_played_and_begins_anew(tmp_path) -> None:
    path = str(tmp_path / "film.avi")
    film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 30, (96, 64))
    for n in range(5):
        film.write(scene(n)[..., ::-1])
    film.release()
    eye = LiveCamera(SPEC, OpenCv(path), backoff=(0.01, 0.01))
    eye.connect()
    for _ in range(1000):
        if eye.losses >= 2:
            break
        threading.Event().wait(0.005)
    assert eye.losses >= 2
    assert eye.read().image.shape == (32, 48, 3)
    eye.close()


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(LinkLost, match="camera 97 is not there"):
        OpenCv("97").open()
    with pytest.raises(LinkLost, match=r"127\.0\.0\.1:9.*does it answer"):
        OpenCv("http://127.0.0.1:9/none").open()


@pytest.mark.parametrize("options", [{"address": ""}, {"address": "0", "size": (0, 1)}, {"address": "0", "rate": 0.0}])
def test_bad_options_are_refused(options) -> None:
    with pytest.raises(BadOption):
        OpenCv(**options)
