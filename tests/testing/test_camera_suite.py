"""The simulated cameras pass the camera suite, and the suite catches cameras that show the past."""

import numpy as np
import pytest
from faults import is_caught

from user_gym.core import Frame
from user_gym.errors import Closed
from user_gym.testing.camera_suite import CameraSuite


class TestFrankaWrist(CameraSuite):
    robot, camera = "franka-fr3", "wrist"


class TestArxSide(CameraSuite):
    robot, camera = "arx-x5", "side"


class Faulty:
    """A sound camera behind one fault."""

    def __init__(self, eye):
        self.eye, self.spec = eye, eye.spec
        self.first = None

    def connect(self):
        self.eye.connect()

    def read(self):
        return self.eye.read()

    def close(self):
        self.eye.close()


class StaysOpen(Faulty):
    def read(self):
        try:
            self.first = self.eye.read()
        except Closed:
            if self.first is None:
                raise
        return self.first


class GivesFloats(Faulty):
    def read(self):
        image, time = self.eye.read()
        return Frame(image / np.float32(255), time)


class RunsBackwards(Faulty):
    def read(self):
        image, time = self.eye.read()
        return Frame(image, -time)


class ShowsItsFirst(Faulty):
    def read(self):
        frame = self.eye.read()
        self.first = frame.image.copy() if self.first is None else self.first
        return Frame(self.first.copy(), frame.time)


class ReusesItsArray(Faulty):
    def read(self):
        frame = self.eye.read()
        self.first = frame.image if self.first is None else self.first
        self.first[:] = frame.image
        return Frame(self.first, frame.time)


class IsBlack(Faulty):
    def read(self):
        image, time = self.eye.read()
        return Frame(image * 0, time)


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (StaysOpen, "test_reading_before_connect_and_after_close_is_refused"),
        (GivesFloats, "test_a_frame_is_as_the_spec_says"),
        (IsBlack, "test_a_frame_is_as_the_spec_says"),
        (RunsBackwards, "test_time_never_decreases"),
        (ShowsItsFirst, "test_what_moves_is_seen_to_move"),
        (ReusesItsArray, "test_a_frame_is_never_written_again"),
    ],
)
def test_the_suite_catches_a_camera_that(fault, name) -> None:
    suite = CameraSuite()
    eye = fault(suite.make_camera())
    is_caught(lambda: getattr(suite, name)(eye))
    eye.close()
    suite._cell.close()
