"""What stands where cameras would: on the CPU this backend draws no pictures, and says so when one is asked for."""

from __future__ import annotations

from user_gym.core import Camera, CameraSpec, Frame, RobotSpec, Task
from user_gym.errors import MissingSystem
from user_gym.sim.plant import view


class Unseen:
    """A Camera, or a Window, that cannot be connected.

    Args:
        spec: of the camera it stands for.
        instead: id of the twin that draws.
    """

    def __init__(self, spec: CameraSpec, instead: str) -> None:
        self.spec, self._instead = spec, instead

    def connect(self) -> None:
        """Raise MissingSystem."""
        raise self._error()

    def read(self) -> Frame:
        """As `connect`."""
        raise self._error()

    def refresh(self) -> None:
        """As `connect`."""
        raise self._error()

    def close(self) -> None:
        """Nothing was opened."""

    def _error(self) -> MissingSystem:
        return MissingSystem(
            f"cannot render here: the maniskill backend steps physics on the CPU and has no renderer for {self.spec.name!r}; "
            f"use obs='state' without a render_mode, or {self._instead}, which draws the same scene"
        )


def cameras(spec: RobotSpec, task: Task) -> dict[str, Camera]:
    """What stands for an arm's cameras."""
    return {camera.name: Unseen(camera, _instead(task)) for camera in spec.cameras}


def large(spec: RobotSpec, task: Task) -> Unseen:
    """What stands for the view for people."""
    return Unseen(view(spec), _instead(task))


def _instead(task: Task) -> str:
    return f"User/{task.name}-sim-v0"
