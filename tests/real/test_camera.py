"""The newest picture with its time, on a source that a test plays."""

import logging
import queue
import threading

import numpy as np
import pytest

from user_gym.core import CameraSpec
from user_gym.errors import BadOption, Closed, LinkLost, MissingSystem, RobotFault, UnknownName
from user_gym.real.camera import LiveCamera, Picture, camera, captured, fit, kinds

pytest.importorskip("cv2", reason="opencv comes with the extra 'camera'")
SPEC = CameraSpec("wrist", "tool", np.array([0, 0, 0, 0, 0, 0, 1.0]), fovy=1.0, height=8, width=8)


class Played:
    """Says what is put into it: a Picture, or an exception that is raised."""

    name = "played camera"

    def __init__(self, *refusals):
        self.waiting = queue.Queue()
        self.refusals = list(refusals)  # one for each attempt to open, None: it opens
        self.opened = self.closed = 0
        self.log = threading.Condition()

    def open(self):
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        assert self.closed >= self.opened, "opened twice without being closed between"
        with self.log:
            self.opened += 1
            self.log.notify_all()

    def read(self):
        try:
            said = self.waiting.get(timeout=0.02)
        except queue.Empty:
            return None
        if isinstance(said, BaseException):
            raise said
        return said

    def close(self):
        self.closed += 1

    def until_opened(self, times):
        with self.log:
            assert self.log.wait_for(lambda: self.opened >= times, 10)


class Hands:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def picture(value, at=100.0):
    return Picture(np.full((8, 8, 3), value, np.uint8), at)


@pytest.fixture
def rig():
    made = []

    def build(*refusals, **options):
        source, clock = Played(*refusals), Hands()
        eye = LiveCamera(SPEC, source, clock=clock, backoff=(0.01, 0.02), patience=5.0, **options)
        made.append(eye)
        return eye, source, clock

    yield build
    for eye in made:
        eye.close()
    assert not [t for t in threading.enumerate() if t.name == "reader of played camera"]


def until(eye, value):
    """Read until the frame shows value. Between two looks the reader's thread runs."""
    deadline = threading.Event()
    for _ in range(1000):
        if eye.read().image[0, 0, 0] == value:
            return
        deadline.wait(0.005)
    raise AssertionError(f"no frame with {value}")


def test_a_new_frame_overwrites_the_old_one_and_none_is_queued(rig) -> None:
    eye, source, _ = rig()
    for value in (1, 2, 3):
        source.waiting.put(picture(value))
    eye.connect()
    until(eye, 3)
    assert eye.read().image[0, 0, 0] == 3


def test_the_constructor_opens_nothing(rig) -> None:
    eye, source, _ = rig()
    assert source.opened == 0
    with pytest.raises(Closed, match=r"wrist.*connect"):
        eye.read()


def test_a_frame_has_the_time_of_its_capture_on_the_robots_clock(rig) -> None:
    eye, source, clock = rig()
    source.waiting.put(picture(1, at=99.9))
    eye.connect()
    assert eye.read().time == pytest.approx(99.9)
    eye.synchronise(robot_time=2.0)  # it is 100 now
    assert eye.read().time == pytest.approx(1.9)
    clock.now = 100.2
    assert eye.age == pytest.approx(0.3)


def test_who_records_gets_every_picture_as_the_device_gives_it_on_the_robots_clock(rig) -> None:
    eye, source, _ = rig()
    took = []
    eye.forward(lambda time, image: took.append((time, image.shape)))
    source.waiting.put(picture(1))
    eye.connect()
    eye.synchronise(robot_time=2.0)  # it is 100 now
    for value in (2, 3):
        source.waiting.put(Picture(np.full((24, 32, 3), value, np.uint8), 100.5))
    until(eye, 3)
    assert took[0] == (100.0, (8, 8, 3))
    assert took[1:] == [(pytest.approx(2.5), (24, 32, 3))] * 2
    assert eye.read().image.shape == (8, 8, 3)


def test_a_stale_frame_is_a_fault_that_says_how_old_it_is(rig) -> None:
    eye, source, clock = rig(max_age=0.5)
    source.waiting.put(picture(1))
    eye.connect()
    clock.now = 100.5
    eye.read()
    clock.now = 101.25
    with pytest.raises(RobotFault, match=r"wrist.*1\.25 s old; allowed: 0\.5 s"):
        eye.read()


def test_where_only_a_warning_is_wanted_the_old_frame_comes_and_each_outage_warns_once(rig, caplog) -> None:
    eye, source, clock = rig(max_age=0.5, stale="warn")
    source.waiting.put(picture(1))
    eye.connect()
    clock.now = 102.0
    with caplog.at_level(logging.WARNING):
        assert eye.read().time == 100.0
        eye.read()
        source.waiting.put(picture(2, at=102.0))
        until(eye, 2)
        clock.now = 104.0
        eye.read()
    assert len([r for r in caplog.records if "old" in r.message]) == 2


def test_a_lost_camera_is_opened_again_and_counted(rig) -> None:
    eye, source, _ = rig(None, LinkLost("not there yet"), MissingSystem("no permission yet"))
    source.waiting.put(picture(1))
    eye.connect()
    source.waiting.put(LinkLost("unplugged"))
    source.until_opened(2)
    source.waiting.put(picture(2))
    until(eye, 2)
    assert eye.losses == 1


def test_while_it_is_lost_the_fault_says_why(rig) -> None:
    eye, source, clock = rig(None, *[LinkLost("it is not plugged in")] * 5000)
    source.waiting.put(picture(1))
    eye.connect()
    source.waiting.put(LinkLost("unplugged"))
    for _ in range(1000):
        if source.closed >= 2:
            break
        threading.Event().wait(0.005)
    clock.now = 105.0
    with pytest.raises(RobotFault, match="not plugged in"):
        eye.read()


@pytest.mark.parametrize("error", [LinkLost("not there"), MissingSystem("install libusb")])
def test_a_camera_that_does_not_open_says_so_at_once_and_leaves_no_thread(rig, error) -> None:
    eye, source, _ = rig(error)
    with pytest.raises(type(error), match=str(error)):
        eye.connect()
    assert source.closed >= 1
    source.waiting.put(picture(7))
    eye.connect()  # the second attempt finds it
    until(eye, 7)


def test_a_camera_without_pictures_does_not_pass_for_connected() -> None:
    eye = LiveCamera(SPEC, Played(), patience=0.1)
    with pytest.raises(RobotFault, match=r"wrist.*no picture within 0\.1 s"):
        eye.connect()
    eye.close()


def test_a_thread_that_dies_is_told_of_and_can_be_started_anew(rig, caplog) -> None:
    eye, source, _ = rig()
    source.waiting.put(picture(1))
    eye.connect()
    source.waiting.put(ZeroDivisionError("a bug"))
    with pytest.raises(RobotFault, match="a bug"):
        until(eye, 2)
    assert "a bug" in caplog.text
    source.waiting.put(picture(2))
    eye.connect()
    until(eye, 2)


@pytest.mark.parametrize(("options", "words"), [({"max_age": 0.0}, "max_age"), ({"stale": "ignore"}, "raise | warn")])
def test_a_bad_option_is_refused(options, words) -> None:
    with pytest.raises(BadOption) as caught:
        LiveCamera(SPEC, Played(), **options)
    assert words in str(caught.value)


def test_an_address_names_its_kind() -> None:
    assert kinds() == ("opencv", "realsense")
    assert isinstance(camera(SPEC, "opencv:/dev/video7", size=(320, 240)), LiveCamera)
    with pytest.raises(BadOption, match=r"/dev/video0.*opencv \| realsense"):
        camera(SPEC, "/dev/video0")
    with pytest.raises(UnknownName, match="opencv"):
        camera(SPEC, "opencw:/dev/video0")
    with pytest.raises(BadOption, match="zoom"):
        camera(SPEC, "opencv:/dev/video0", zoom=2)


def spec(height, width, fovy=1.0):
    return CameraSpec("c", "base", SPEC.pose, fovy, height, width)


def test_a_wide_picture_is_cut_at_both_sides_and_a_tall_one_above_and_below() -> None:
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = 255
    assert fit(wide, spec(10, 10)).min() == 255
    assert fit(wide.transpose(1, 0, 2), spec(10, 10)).min() == 255


def test_pixels_are_averaged_not_picked() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 200
    grey = fit(np.repeat(board[..., None], 3, 2).astype(np.uint8), spec(16, 16))
    assert grey.shape == (16, 16, 3)
    assert (grey == 100).all()


def test_a_camera_that_sees_more_than_the_spec_is_cut_to_its_field_of_view() -> None:
    full, wanted = 1.2, 0.6
    share = np.tan(wanted / 2) / np.tan(full / 2)
    image = np.zeros((200, 200, 3), np.uint8)
    edge = round(100 * (1 - share))
    image[edge + 2 : -edge - 2, edge + 2 : -edge - 2] = 255
    cut = fit(image, spec(50, 50, wanted), fovy=full)
    assert cut[3:-3, 3:-3].min() == 255
    assert fit(image, spec(50, 50, wanted))[0].max() == 0  # nobody said what it sees: all of it
    assert fit(image, spec(50, 50, 2.0), fovy=full)[0].max() == 0  # it sees less than is wanted


@pytest.mark.parametrize(("stamp", "taken"), [(99.9, 99.9), (100.0, 100.0), (3.0, 100.0), (100.5, 100.0), (1.7e9, 100.0)])
def test_a_devices_stamp_counts_where_it_is_on_our_clock(stamp, taken) -> None:
    assert captured(stamp, now=100.0) == taken
