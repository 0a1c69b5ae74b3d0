"""What a batch of arms asks of its scenes: the seam between our controller and whoever integrates."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Moving(NamedTuple):
    """Where everything is and how it moves, rows of scenes (m, ...)."""

    q: Tensor  # (m, joints) rad, m: the arm's joints, then the fingers'
    dq: Tensor  # (m, joints) rad/s, m/s: what the solver has, see `World.joints`
    objects: Tensor  # (m, k, 13) m, wxyz, m/s, rad/s: pose and velocity of what the tool does not hold


class Tip(NamedTuple):
    """The last link with all that it carries rigidly, base axes."""

    pose: Tensor  # (n, 7) m, wxyz, of the link's frame
    velocity: Tensor  # (n, 6) m/s of the centre of mass, rad/s


class Physics(Protocol):
    """n equal scenes that are stepped together. Tensors are of float32 on one device, their rows in the scenes' order."""

    def place(self, rows: Tensor, moving: Moving) -> None:
        """Put everything in the scenes `rows` (m,) somewhere."""
        ...

    def moving(self) -> Moving:
        """All n scenes now, as a copy."""
        ...

    def aim(self, targets: Tensor) -> None:
        """Targets (n, joints) rad, m of the joints' own drives."""
        ...

    def step(self, torque: Tensor) -> None:
        """One substep with torques (n, dof) N m besides those of the drives."""
        ...

    def joints(self) -> Tensor:
        """Positions (n, joints) now."""
        ...

    def carried(self) -> Tensor:
        """(n, 6) N, N m that the last joint did to the last link in the newest substep, in the joint's own axes."""
        ...

    def tip(self) -> Tip:
        """The last links now; valid until the next step."""
        ...

    def close(self) -> None:
        """Free the scenes."""
        ...
