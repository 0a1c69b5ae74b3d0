"""Intel RealSense cameras by the vendor's SDK: the colour picture, with its field of view. Depth is not used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from user_gym.errors import BadOption, LinkLost, MissingExtra, MissingSystem
from user_gym.real.camera import Picture, captured

SILENT = 1000  # ms; at 30 Hz that is 30 frames missed


class RealSense:
    """A source of pictures by pyrealsense2: one colour sensor into a queue of one, so that only the newest frame waits.

    The SDK stamps frames on the system's clock, or on the device's mapped to it; from a device whose clock it cannot map the
    time of arrival counts.

    Args:
        address: serial number; empty: the only one that is plugged in.
        size: (width, height) pixels, one that the device has.
        rate: Hz, likewise.
        devices: lists the SDK's devices; None: those that are plugged in.

    Raises:
        BadOption: a number is not above 0.
    """

    def __init__(
        self,
        address: str = "",
        size: tuple[int, int] = (640, 480),
        rate: int = 30,
        devices: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        if not (len(size) == 2 and min(size) >= 1):
            raise BadOption("size", size, "(width, height) in pixels")
        if not rate > 0:
            raise BadOption("rate", rate, "above 0, in Hz")
        self.name = f"RealSense {address}".strip()
        self._serial, self._size, self._rate = address, tuple(size), rate
        self._devices = devices
        self._sensor: Any = None

    def open(self) -> None:
        """Find the device and start its colour sensor.

        Raises:
            MissingExtra, MissingSystem: pyrealsense2 or a library that it needs is not installed.
            LinkLost: the device is not there or does not start.
            BadOption: it has no such size and rate; names those it has.
        """
        self._rs = rs = _sdk()
        device = self._find()
        sensor, profile = self._profile(device)
        video = profile.as_video_stream_profile()
        intrinsics = video.get_intrinsics()
        self._fovy = float(2 * np.arctan2(intrinsics.height / 2, intrinsics.fy)) if intrinsics.fy > 0 else None
        self._queue = rs.frame_queue(1)
        try:
            sensor.open(profile)
            self._sensor = sensor
            sensor.start(self._queue)
        except RuntimeError as error:
            raise LinkLost(f"{self.name} does not start: {error}; is it used by another program?") from error

    def read(self) -> Picture:
        """Wait for the next frame. Raises LinkLost where none comes."""
        try:
            frame = self._queue.wait_for_frame(SILENT)
        except RuntimeError as error:
            raise LinkLost(f"{self.name} gave no frame for {SILENT} ms: {error}") from error
        now = time.monotonic()
        if frame.get_frame_timestamp_domain() == self._rs.timestamp_domain.hardware_clock:
            taken = now
        else:
            taken = captured(now - (time.time() - frame.get_timestamp() / 1000.0), now)
        # A copy: the SDK uses the frame's memory again.
        return Picture(np.array(frame.get_data(), np.uint8), taken, self._fovy)

    def close(self) -> None:
        """Stop the sensor."""
        sensor, self._sensor = self._sensor, None
        if sensor is not None:
            for end in (sensor.stop, sensor.close):
                try:
                    end()
                except RuntimeError:  # it was unplugged, or never started: there is nothing left to stop
                    continue

    def _find(self) -> Any:
        rs = self._rs
        found = {d.get_info(rs.camera_info.serial_number): d for d in (self._devices or rs.context().query_devices)()}
        wanted = self._serial or (next(iter(found)) if len(found) == 1 else "")
        if wanted not in found:
            there = ", ".join(sorted(found)) or "none"
            raise LinkLost(f"{self.name} is not there; plugged in: {there}; name one by its serial number")
        return found[wanted]

    def _profile(self, device: Any) -> tuple[Any, Any]:
        rs, has = self._rs, []
        for sensor in device.query_sensors():
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() != rs.stream.color or profile.format() != rs.format.rgb8:
                    continue
                video = profile.as_video_stream_profile()
                kind = (video.width(), video.height()), profile.fps()
                if kind == (self._size, self._rate):
                    return sensor, profile
                has.append(f"{kind[0][0]}x{kind[0][1]} at {kind[1]} Hz")
        raise BadOption(f"size and rate of {self.name}", (self._size, self._rate), ", ".join(dict.fromkeys(has)) or "none")


def _sdk() -> Any:
    try:
        import pyrealsense2
    except ModuleNotFoundError as error:
        raise MissingExtra("pyrealsense2", "camera") from error
    except ImportError as error:
        raise MissingSystem(f"pyrealsense2: {error}; Debian: apt-get install libusb-1.0-0") from error
    return pyrealsense2
