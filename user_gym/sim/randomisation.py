"""What a twin draws anew for each episode beside what its task draws: pose, friction, light, colours, cameras, latency.

The same for every task. All of it follows from the episode's seed, so equal seeds give equal episodes. It draws and keeps
numbers; `appearance` shows those that only eyes notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from user_gym.core import F64, Bool
from user_gym.core.numbers import real
from user_gym.errors import BadOption
from user_gym.robots import pose
from user_gym.sim.plant import Plant

ALL = "all"
_STREAM = 1  # beside the stream of the joints' friction, which begins with the seed alone


@dataclass(frozen=True, slots=True)
class Randomisation:
    """How much of each is drawn. The defaults draw nothing."""

    pose: float = 0.0  # m: each standing object is moved by up to this, and turned by up to TURN of it
    friction: float = 0.0  # share: every sliding friction times 1 - this .. 1 + this, one factor an episode
    light: float = 0.0  # share: brightness times 1 - this .. 1 + this, and its direction by up to this, rad
    colours: float = 0.0  # each channel of the colours of the table and of what is not held by up to this, of 0 .. 1
    camera: float = 0.0  # m: each camera is moved by up to this along each axis, and turned by up to TURN of it
    latency: float = 0.0  # s: orders take effect up to this late


TURN = 4.0  # rad for a m: 2 mm and half a degree go together
LIMITS = Randomisation(pose=0.02, friction=0.9, light=0.9, colours=0.5, camera=0.03, latency=0.05)
USUAL = Randomisation(pose=0.0005, friction=0.3, light=0.4, colours=0.15, camera=0.005, latency=0.02)
NAMES = tuple(field.name for field in fields(Randomisation))


def parse(wanted: str | Mapping[str, float] | None) -> Randomisation | None:
    """What `randomise=` means: None, "all" (as much as is usual), or how much by name. Raises BadOption."""
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted == ALL:
        return USUAL
    if not isinstance(wanted, Mapping):
        raise BadOption("randomise", wanted, f"None | {ALL!r} | how much of each of {', '.join(NAMES)}, as a dict")
    found: dict[str, Any] = {}
    for name, amount in wanted.items():
        if name not in NAMES:
            raise BadOption("randomise", name, ", ".join(NAMES))
        most = getattr(LIMITS, name)
        found[name] = real(f"randomise[{name!r}]", amount, 0.0, most, f"0 .. {most}")
    return Randomisation(**found)


class Look(NamedTuple):
    """What only eyes notice."""

    brightness: float  # factor
    slant: F64  # (2,) rad, of the light
    colours: F64  # (bodies, 3) added
    cameras: F64  # (cameras, 6) m, rad: added in the camera's own frame


class Randomiser:
    """Draws for the arms of a batch.

    Args:
        wanted: how much.
        plant: the compiled model.
        count: number of arms.
    """

    def __init__(self, wanted: Randomisation, plant: Plant, count: int) -> None:
        self._wanted, self._plant = wanted, plant
        self._base = np.array(plant.model.geom_friction[:, 0])
        self._drawn = {name: np.zeros(count) for name in NAMES if getattr(wanted, name) > 0}
        self._looks: list[Look | None] = [None] * count
        self.late = np.zeros(count, int)  # substeps that the orders of each arm come late

    def begin(self, row: int, seed: int, objects: F64, friction: F64) -> F64:
        """Draw an episode of one arm.

        Args:
            row: of the arm.
            seed: of the episode.
            objects: (k, 7) where the task puts them.
            friction: (ngeom, 3) of the arm's simulation, overwritten.

        Returns:
            Poses (k, 7) where they really are.
        """
        wanted, rng = self._wanted, np.random.default_rng([seed, _STREAM])
        bodies, cameras = len(self._plant.objects) + 1, len(self._plant.spec.cameras)
        # All is drawn, whatever is wanted: to switch one off changes no other.
        moved = rng.uniform(-1, 1, (len(objects), 3)) * wanted.pose
        factor = 1 + wanted.friction * rng.uniform(-1, 1)
        brightness, slant = 1 + wanted.light * rng.uniform(-1, 1), wanted.light * rng.uniform(-1, 1, 2)
        colours = wanted.colours * rng.uniform(-1, 1, (bodies, 3))
        shift = wanted.camera * rng.uniform(-1, 1, (cameras, 6)) * [1, 1, 1, TURN, TURN, TURN]
        self.late[row] = round(wanted.latency * rng.uniform(0, 1) / self._plant.dt)
        friction[:, 0] = self._base * factor
        self._looks[row] = Look(brightness, slant, colours, shift)
        largest = {"pose": moved, "friction": factor, "light": brightness, "colours": colours, "camera": shift[:, :3]}
        for name, value in (largest | {"latency": self.late[row] * self._plant.dt}).items():
            if name in self._drawn:
                self._drawn[name][row] = np.max(np.abs(value), initial=0.0)
        return _moved(objects, moved)

    def look(self, row: int) -> Look | None:
        """How one arm's episode looks; None before the first."""
        return self._looks[row]

    def drawn(self) -> dict[str, F64]:
        """What was drawn, (n,) each: factors of friction and light, s of latency, of the others the largest change."""
        return {f"randomised_{name}": values.copy() for name, values in self._drawn.items()}

    def steps(self, rows: list[int], substeps: int) -> list[tuple[Bool, int, int]]:
        """How a period is stepped: masks (n,) of arms that are equally late, and their substeps before and after the order."""
        acting = np.zeros(len(self.late), bool)
        acting[rows] = True
        return [(acting & (self.late == late), int(late), substeps - int(late)) for late in np.unique(self.late[rows])]


def _moved(objects: F64, by: F64) -> F64:
    """Poses (k, 7) moved by (k, 3): x and y m; and the third, times TURN, as yaw in rad."""
    out = objects.copy()
    out[:, :2] += by[:, :2]
    yaw = np.zeros((len(by), 3))
    yaw[:, 2] = TURN * by[:, 2]
    out[:, 3:] = pose.multiply(pose.exp(yaw), objects[:, 3:])
    return out
