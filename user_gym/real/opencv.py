"""Any camera that OpenCV opens: a V4L2 device of Linux, a stream from the network, a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from user_gym.errors import BadOption, LinkLost, MissingExtra, MissingSystem
from user_gym.real.camera import Picture, captured

SILENT = 2000  # ms that a network stream may be silent


class OpenCv:
    """A source of pictures by `cv2.VideoCapture`.

    A V4L2 device stamps each frame when it is taken, on the monotonic clock (UVC driver); elsewhere the time of arrival counts.

    Args:
        address: "/dev/video0" or "0", an URL, or the path of a file, which is lost at its end and begins anew.
        size: (width, height) pixels asked of a V4L2 device; it takes the nearest that it has.
        rate: Hz, likewise.
        fovy: rad, vertical field of view of the whole picture, where it is known.

    Raises:
        BadOption: `address` is empty, or a number is not above 0.
    """

    def __init__(self, address: str, size: tuple[int, int] = (640, 480), rate: float = 30.0, fovy: float | None = None) -> None:
        if not address:
            raise BadOption("address", address, "a device such as /dev/video0, an URL or a file")
        if not (len(size) == 2 and min(size) >= 1):
            raise BadOption("size", size, "(width, height) in pixels")
        if not rate > 0.0:
            raise BadOption("rate", rate, "above 0, in Hz")
        self.name = f"camera {address}"
        self._address = f"/dev/video{address}" if address.isdecimal() else address
        self._size, self._rate, self._fovy = size, rate, fovy
        self._device = self._address.startswith("/dev/")
        self._capture: Any = None

    def open(self) -> None:
        """Open the device or stream and ask for size and rate. Raises LinkLost, MissingExtra, MissingSystem."""
        try:
            import cv2
        except ImportError as error:
            raise MissingExtra("cv2", "camera") from error
        self._cv2 = cv2
        if self._device:
            self._permitted()
            width, height = self._size
            wishes = [
                cv2.CAP_PROP_FRAME_WIDTH, width, cv2.CAP_PROP_FRAME_HEIGHT, height, cv2.CAP_PROP_FPS, round(self._rate),
            ]  # fmt: skip
            capture = cv2.VideoCapture(self._address, cv2.CAP_V4L2, wishes)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # newest frame: nothing waits in the driver
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, SILENT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, SILENT]
            capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            capture.release()
            cure = "is it plugged in, and used by no other program?" if self._device else "does it answer, and is it a video?"
            raise LinkLost(f"{self.name} does not open; {cure}")
        self._capture = capture

    def read(self) -> Picture:
        """Wait for the next frame. Raises LinkLost where none comes: V4L2 waits 10 s, a stream SILENT."""
        good, bgr = self._capture.read()
        now = time.monotonic()
        if not good:
            raise LinkLost(f"{self.name} gives no more frames")
        # OpenCV tells the driver's stamp of the frame as its "position"; a stream's is the time since its own beginning.
        stamp = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000.0 if self._device else now
        return Picture(self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB), captured(stamp, now), self._fovy)

    def close(self) -> None:
        """Release the device."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _permitted(self) -> None:
        if not Path(self._address).exists():
            raise LinkLost(f"{self.name} is not there; {self._others()}")
        if not os.access(self._address, os.R_OK | os.W_OK):
            raise MissingSystem(f"{self._address} may not be opened by you; sudo usermod -aG video $USER, then log in anew")

    @staticmethod
    def _others() -> str:
        there = sorted(str(path) for path in Path("/dev").glob("video*"))
        return f"there are: {', '.join(there)}" if there else "no V4L2 camera is plugged in"
