"""What the arms look like: primitive shapes on the kinematic frames, so that a person recognises them. Nothing collides."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from user_gym.core import RobotSpec

WHITE, GREY, DARK, BLACK = (0.94, 0.94, 0.95, 1), (0.62, 0.63, 0.66, 1), (0.26, 0.27, 0.30, 1), (0.12, 0.12, 0.14, 1)

# (from, to, radius, colour) of capsules in the link's frame, m. Franka: links are thick round tubes that meet at
# right angles in short cylinders along each joint's axis.
_FRANKA: dict[int, tuple[tuple[tuple[float, ...], tuple[float, ...], float, tuple[float, ...]], ...]] = {
    0: (((-0.09, 0, 0.055), (-0.02, 0, 0.055), 0.055, WHITE), ((0, 0, 0.05), (0, 0, 0.13), 0.066, WHITE)),
    1: (((0, 0, -0.19), (0, 0, -0.05), 0.062, WHITE), ((0, -0.045, 0), (0, 0.045, 0), 0.062, WHITE)),
    2: (((0, 0, -0.055), (0, 0, 0.055), 0.061, GREY), ((0, -0.13, 0), (0, -0.05, 0), 0.061, WHITE)),
    3: (
        ((0, 0, -0.13), (0, 0, -0.07), 0.062, WHITE),
        ((0.082, -0.04, 0), (0.082, 0.04, 0), 0.058, WHITE),
        ((0, 0, -0.07), (0.07, 0, -0.01), 0.052, WHITE),
    ),
    4: (
        ((0, 0, -0.05), (0, 0, 0.05), 0.057, GREY),
        ((-0.082, 0.05, 0), (-0.082, 0.10, 0), 0.058, WHITE),
        ((0, 0.01, 0), (-0.075, 0.06, 0), 0.050, WHITE),
    ),
    5: (
        ((0, 0, -0.26), (0, 0, -0.20), 0.058, WHITE),
        ((0, 0.06, -0.19), (0, 0.075, -0.05), 0.034, WHITE),
        ((0, 0.04, -0.01), (0, 0.075, -0.01), 0.045, WHITE),
    ),
    6: (
        ((0, 0, -0.06), (0, 0, 0.02), 0.050, GREY),
        ((0.088, 0.0, 0.0), (0.088, 0.04, 0.0), 0.046, WHITE),
        ((0.02, 0, 0), (0.07, 0, 0), 0.044, WHITE),
    ),
    7: (((0, 0, 0.01), (0, 0, 0.075), 0.042, WHITE), ((0, 0, 0.085), (0, 0, 0.100), 0.036, DARK)),
}
_ARX_MOTOR = (0.034, 0.034, 0.034, 0.028, 0.026, 0.026)  # m, radius of the motor on each joint
_ARX_HALF = (0.024, 0.036, 0.036, 0.028, 0.024, 0.024)  # m, half its length


def dress(body: Any, spec: RobotSpec, link: int) -> None:
    """Add the shapes of one link (0 is the base) to its body."""
    if spec.family == "franka":
        for start, end, radius, rgba in _FRANKA[link]:
            _capsule(body, start, end, radius, rgba)
        return
    if link == 0:
        _solid(body, mujoco.mjtGeom.mjGEOM_BOX, (0.055, 0.055, 0.008), (0, 0, 0.008), DARK)
        _solid(body, mujoco.mjtGeom.mjGEOM_CYLINDER, (0.042, 0.022, 0), (0, 0, 0.036), BLACK)
        return
    axis = spec.joint_axis[link - 1]
    radius, half = _ARX_MOTOR[link - 1], _ARX_HALF[link - 1]
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(radius, 0, 0),
        fromto=np.concatenate([-axis * half, axis * half]),
        rgba=BLACK,
        mass=0,
        contype=0,
        conaffinity=0,
    )
    reach = spec.joint_xyz[link] if link < spec.dof else spec.flange[:3] * 0.35
    thickness = (0.024, 0.026, 0.024, 0.020, 0.020, 0.022)[link - 1]
    colour = GREY if link in (2, 3) else DARK
    if link == 3:  # the forearm is cranked
        knee = np.array([reach[0] * 0.85, 0, -0.01])
        _capsule(body, (0, 0, 0), knee, thickness, colour)
        _capsule(body, knee, reach, thickness, colour)
    else:
        _capsule(body, (0, 0, 0), reach, thickness, colour)


def dress_palm(tool: Any, spec: RobotSpec) -> None:
    """The hand's housing, in the TCP frame: behind the fingers, wide along y."""
    box = mujoco.mjtGeom.mjGEOM_BOX
    if spec.family == "franka":
        _solid(tool, box, (0.026, 0.102, 0.033), (0, 0, -0.078), WHITE)
        _solid(tool, box, (0.020, 0.055, 0.008), (0, 0, -0.040), DARK)
    else:
        _solid(tool, box, (0.030, 0.060, 0.026), (0, 0, -0.085), BLACK)
        _solid(tool, box, (0.018, 0.058, 0.006), (0, 0, -0.054), GREY)


def dress_finger(finger: Any, side: int) -> None:
    """The finger between its tip and the hand."""
    _solid(finger, mujoco.mjtGeom.mjGEOM_BOX, (0.009, 0.007, 0.014), (0, side * 0.009, -0.024), GREY)


def _solid(body: Any, kind: Any, size: tuple[float, ...], pos: tuple[float, ...], rgba: tuple[float, ...]) -> None:
    body.add_geom(type=kind, size=size, pos=pos, rgba=rgba, mass=0, contype=0, conaffinity=0)


def _capsule(body: Any, start: Any, end: Any, radius: float, rgba: tuple[float, ...]) -> None:
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=(radius, 0, 0),
        fromto=np.concatenate([start, end]),
        rgba=rgba,
        mass=0,
        contype=0,
        conaffinity=0,
    )
