"""Real cameras: the newest picture, when it was taken, and how old it is. What is inside a camera, its source knows.

A camera is named by one string, `kind:address`: "opencv:/dev/video0", "opencv:http://10.0.0.7/stream", "realsense:SERIAL".
`camera` builds it; kinds of other packages come by entry points of the group "user_gym.cameras".
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import U8, CameraSpec, Frame
from user_gym.errors import BadOption, Closed, MissingExtra, RobotFault, UnknownName
from user_gym.real.reader import Reader, Source
from user_gym.robots import plugins

_LOG = logging.getLogger(__name__)

CAMERAS = {
    "opencv": "user_gym.real.opencv:OpenCv",
    "realsense": "user_gym.real.realsense:RealSense",
}
CAMERA_GROUP = "user_gym.cameras"
STALE = ("raise", "warn")
TAKEN = 2.0  # s: a device's own time of capture is believed where it lies this little in the past


class Picture(NamedTuple):
    """What a source says."""

    image: U8  # (h, w, 3) RGB, of whatever size the device has
    captured: float  # s, this process's monotonic clock
    fovy: float | None = None  # rad, vertical field of the whole picture, where the device knows it


class LiveCamera:
    """A Camera that a thread of its own keeps up to date: a new frame overwrites the old one, and `read` never waits.

    Pictures are cut around their middle to the spec's field of view and shape, and scaled to its size, once, on that thread.

    **Time.** A frame's time is that of capture, on the robot's clock. `synchronise`, which the cell calls when it resets the
    robot, says what that clock shows; before the first call it is this process's monotonic clock. Age is that clock minus
    the frame's time: for the state of a step, `state.time - frame.time`.

    Args:
        spec: name, size and field of view that are wanted.
        source: the device.
        max_age: s; an older frame is stale.
        stale: what `read` does then: "raise" a RobotFault, or "warn" once per outage and give the old frame.
        patience: s that `connect` waits for a fresh frame.
        backoff: as in `Reader`.
        clock: monotonic, s.

    Raises:
        BadOption: `max_age` is not above 0, or `stale` unknown.
    """

    def __init__(
        self,
        spec: CameraSpec,
        source: Source[Picture],
        max_age: float = 0.5,
        stale: str = "raise",
        patience: float = 15.0,
        backoff: tuple[float, float] = (0.1, 2.0),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0.0 < max_age < np.inf:
            raise BadOption("max_age", max_age, "above 0, in s")
        if stale not in STALE:
            raise BadOption("stale", stale, " | ".join(STALE))
        self.spec = spec
        self._max_age, self._raises, self._patience, self._clock = max_age, stale == "raise", patience, clock
        self._reader = Reader(source, self._take, backoff=backoff, patience=patience)
        self._fresh = threading.Condition()
        self._forward: Callable[[float, U8], None] | None = None
        self._newest: Frame | None = None  # its time is monotonic
        self._zero = 0.0  # s, monotonic: when the robot's clock showed 0
        self._warned = False

    def connect(self) -> None:
        """Open the device and wait for a fresh frame.

        Raises:
            MissingExtra, MissingSystem: what the device needs of this machine; the message names the cure.
            LinkLost: it is not there.
            RobotFault: it gives no picture.
        """
        _cv2()
        if not self._reader.running:
            self._newest = None
        self._reader.connect()
        with self._fresh:
            seen = self._fresh.wait_for(lambda: self._newest is not None and self.age <= self._max_age, self._patience)
        if not seen:
            raise RobotFault(f"camera {self.spec.name!r} gave no picture within {self._patience:g} s{self._why()}")

    def forward(self, take: Callable[[float, U8], None]) -> None:
        """Hand every picture over as the device gives it, too: its time (s, robot's clock), and (h, w, 3) of any size.

        Called on the camera's thread; it must not block, nor write the array.
        """
        self._forward = take

    def synchronise(self, robot_time: float) -> None:
        """The robot's clock shows `robot_time` (s) now. Both tick alike, to far less than a frame an episode."""
        self._zero = self._clock() - robot_time

    def read(self) -> Frame:
        """The newest frame, in an array of the caller's own. Raises Closed, or RobotFault where it is stale."""
        newest = self._newest
        if not self._reader.running or newest is None:
            raise Closed(f"camera {self.spec.name!r} is not connected; call connect()")
        self._reader.check()
        age = self._clock() - newest.time
        if age > self._max_age:
            text = f"camera {self.spec.name!r}: its newest frame is {age:.2f} s old; allowed: {self._max_age:g} s{self._why()}"
            if self._raises:
                raise RobotFault(text)
            if not self._warned:
                _LOG.warning(text)
        self._warned = age > self._max_age
        return Frame(newest.image.copy(), newest.time - self._zero)

    @property
    def age(self) -> float:
        """Seconds since the newest frame was taken; infinite before the first."""
        newest = self._newest
        return np.inf if newest is None else self._clock() - newest.time

    @property
    def losses(self) -> int:
        """How often the device was lost since the camera was made."""
        return self._reader.losses

    def close(self) -> None:
        """End the thread and release the device; may be called twice."""
        self._reader.close()

    def _take(self, picture: Picture) -> None:
        fitted = fit(picture.image, self.spec, picture.fovy)
        with self._fresh:
            self._newest = Frame(fitted, picture.captured)
            self._fresh.notify_all()
        if self._forward is not None:
            self._forward(picture.captured - self._zero, picture.image)

    def _why(self) -> str:
        return f"; {self._reader.trouble}" if self._reader.trouble else ""


def camera(spec: CameraSpec, address: str, max_age: float = 0.5, stale: str = "raise", **options: Any) -> LiveCamera:
    """The camera at `kind:address`, not connected; `options` are its source's, such as `size=(640, 480)`.

    Raises:
        UnknownName: no such kind.
        BadOption: the address has no kind, or the source no such option or value.
    """
    kind, colon, place = address.partition(":")
    if not colon:
        raise BadOption(f"address of camera {spec.name!r}", address, f"'kind:address' with kind {' | '.join(kinds())}")
    make = plugins.load_object(CAMERAS[kind]) if kind in CAMERAS else plugins.find(CAMERA_GROUP, kind)
    if make is None:
        raise UnknownName("kind of camera", kind, kinds())
    try:
        source: Source[Picture] = make(place, **options)
    except TypeError as error:
        raise BadOption(f"options of camera {spec.name!r}", options, f"what {kind} takes", str(error)) from None
    return LiveCamera(spec, source, max_age, stale)


def kinds() -> tuple[str, ...]:
    """Kinds of cameras that are known."""
    return tuple(sorted({*CAMERAS, *plugins.names(CAMERA_GROUP)}))


def fit(image: U8, spec: CameraSpec, fovy: float | None = None) -> U8:
    """Cut (h, w, 3) around the middle to the spec's field of view and shape, and average it down to (height, width, 3).

    Args:
        image: the whole picture.
        spec: what is wanted.
        fovy: rad, vertical field of the whole picture; None: unknown, all of its height is taken to be the spec's. A
            camera that sees less than the spec asks for gives all it sees.
    """
    cv2 = _cv2()
    height, width = image.shape[:2]
    tall = float(height)
    if fovy is not None:
        tall *= min(1.0, np.tan(spec.fovy / 2) / np.tan(fovy / 2))
    wide = tall * spec.width / spec.height
    if wide > width:
        tall, wide = tall * width / wide, float(width)
    rows, columns = max(1, round(tall)), max(1, round(wide))
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    return cv2.resize(cut, (spec.width, spec.height), interpolation=cv2.INTER_AREA)


def captured(stamp: float, now: float) -> float:
    """A device's own time of capture (s) where it is on the same clock as `now`, else `now`, the time of arrival."""
    return stamp if 0.0 <= now - stamp <= TAKEN else now


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("cv2", "camera") from error
    return cv2
