"""What every Camera must do. A real one subclasses this in three lines:

    class TestMyCamera(CameraSuite):
        def make_camera(self):
            return Webcam(spec, device=0)

It knows the protocol of `core.Camera`; without a `make_camera` of its own it takes the camera of a robot's cell.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from user_gym.core import Camera, Cell, Command, Robot
from user_gym.errors import Closed
from user_gym.robots import registry, specs
from user_gym.testing.bench import Bench

PERIODS = 4


class CameraSuite:
    """Subclass it; the name of the subclass begins with Test.

    Attributes:
        robot: whose cell has the camera.
        backend: name in the registry.
        camera: its name.
        moves: whether `advance` moves what the camera sees.
    """

    robot = "franka-fr3"
    backend = "sim"
    camera = "wrist"
    moves = True
    _cell: Cell[Robot] | None = None

    def make_camera(self) -> Camera:
        """The camera under test, not connected, and something to look at. Override it and `advance` for one by itself."""
        spec = specs.spec(self.robot)
        task = Bench(spec)
        self._cell = cell = registry.load(self.robot, self.backend)(spec, task, "tcp")
        cell.robot.connect()
        self._at = cell.robot.reset(task.start(np.random.default_rng(0))).tcp
        return cell.cameras[self.camera]

    def advance(self) -> None:
        """Let some time pass; move what is seen, where that can be. A camera by itself needs nothing here."""
        if self._cell is not None:
            self._at = self._at + [0.01, 0, 0, 0, 0, 0.05]
            self._cell.robot.exchange(Command(0.0, tcp=self._at))

    @pytest.fixture
    def eye(self) -> Iterator[Camera]:
        """Not connected."""
        eye = self.make_camera()
        yield eye
        eye.close()
        if self._cell is not None:
            self._cell.close()

    def test_it_is_a_camera_with_a_spec(self, eye: Camera) -> None:
        """By the protocol; what it is, it says before it is opened."""
        assert isinstance(eye, Camera)
        assert eye.spec.height >= 1
        assert eye.spec.width >= 1
        assert eye.spec.mount in ("tool", "base")
        assert np.linalg.norm(eye.spec.pose[3:]) == pytest.approx(1.0)

    def test_reading_before_connect_and_after_close_is_refused(self, eye: Camera) -> None:
        """Closed; connect and close may come twice, and it opens again."""
        with pytest.raises(Closed):
            eye.read()
        eye.connect()
        eye.connect()
        eye.read()
        eye.close()
        eye.close()
        with pytest.raises(Closed):
            eye.read()
        eye.connect()
        eye.read()

    def test_a_frame_is_as_the_spec_says(self, eye: Camera) -> None:
        """(height, width, 3) uint8, and a picture: not one colour."""
        eye.connect()
        image, time = eye.read()
        assert image.shape == (eye.spec.height, eye.spec.width, 3)
        assert image.dtype == np.uint8
        assert image.std() > 2.0
        assert isinstance(time, float)
        assert np.isfinite(time)

    def test_time_never_decreases(self, eye: Camera) -> None:
        """It advances when the robot's clock does; a frame that was read twice keeps its moment."""
        eye.connect()
        times = [eye.read().time]
        for _ in range(PERIODS):
            times.append(eye.read().time)
            self.advance()
            times.append(eye.read().time)
        assert times == sorted(times)
        if self.moves:
            assert times[-1] > times[0]

    def test_a_frame_is_never_written_again(self, eye: Camera) -> None:
        """Each has an array of its own, which its owner may write to."""
        eye.connect()
        kept = [eye.read().image]
        copies = [kept[0].copy()]
        for _ in range(PERIODS):
            self.advance()
            image = eye.read().image
            assert not any(np.shares_memory(image, old) for old in kept)
            kept.append(image)
            copies.append(image.copy())
        assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))
        kept[-1][:] = 0
        assert eye.read().image.any()

    def test_what_moves_is_seen_to_move(self, eye: Camera) -> None:
        """The newest frame, not the first."""
        if not self.moves:
            pytest.skip("nothing moves before this camera")
        eye.connect()
        first = eye.read().image
        for _ in range(PERIODS):
            self.advance()
        assert not np.array_equal(first, eye.read().image)
