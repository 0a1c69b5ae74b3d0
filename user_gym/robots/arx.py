"""ARX X5 and L5 with their own gripper, as data. Numbers with their sources; no behaviour, no CAN frame."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Compliance, Damping, ForceEstimate, Gripper, RobotSpec
from user_gym.robots import cameras

_PI4 = 3.1416  # the vendor's URDFs write pi with four decimals, and its solver computes with that
_HALF_SQRT = np.sqrt(0.5)
_WORK_POINT = np.array([0.30, 0.0, 0.0])

_AXES = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=float)

# The vendor's tool frame points along +x, its fingers move along y. Our hand frame: z = its x, y = -its y, x = its z,
# so that the tool pitched down by 90 degrees is tool-down: a half turn about (1, 0, 1).
_POINT_Z = [_HALF_SQRT, 0.0, _HALF_SQRT, 0.0]

# Rows: mass kg; centre of mass m; Ixx Iyy Izz Ixy Ixz Iyz kg m2. The SDK's URDFs; static gravity is right, some inertias
# look as if taken about the link's frame. The gripper is part of the last link.
_BASE = [0.00060728, 0.00060832, 0.00019170, 3.437e-7, 9.79e-7, -1.696e-6]
_LINK2 = [0.00057063, 0.03669927, 0.03683489, 0.00011251, 1.979e-5, 1.203e-8]
_LINK3 = [0.00178249, 0.02486615, 0.02329476, -3.986e-5, 0.00571, 1.346e-5]
_LINK4 = [0.00017832, 0.00021182, 0.00011328, 1.697e-5, 7.76e-5, -1.779e-5]
_LINK5 = [0.00254972, 0.00255018, 0.00026961, 2.6e-7, -2.1534e-4, -5.98e-7]
_LINK6 = [0.00029, 0.00028, 0.00045, 0.0, 0.0, -1e-5]
_X5_LINKS = np.array(
    [
        [0.428, -3.764e-5, 6.519e-5, 0.03037877, *_BASE],
        [0.064, 0.00571213, 0.0002547, 0.01750661, 8e-5, 3e-5, 7e-5, 0.0, 1e-5, 0.0],
        [1.165, -0.13225701, 0.00072373, 4.274e-5, *_LINK2],
        [0.546, 0.19096098, 0.00069065, -0.05342172, *_LINK3],
        [0.080971, 0.03092317, 0.0066107, -0.03138504, *_LINK4],
        [0.655, 0.0040681, 8.85e-6, 0.05120675, *_LINK5],
        [0.581, 0.05435277, 0.0, 0.0, *_LINK6],
    ]
)
_L5_LINKS = np.array(
    [
        [0.42272, -0.00013359, 6.672e-5, 0.031672, *_BASE],
        [0.09728, 0.005056, -0.0078534, 0.020887, 1.1e-4, 5e-5, 1e-4, -1e-5, 1e-5, -1e-5],
        [1.1477, -0.12983, -0.00073729, -1.2236e-5, *_LINK2],
        [0.66, 0.15404, 5.5e-7, -0.054689, *_LINK3],
        [0.11714, 0.040231, 0.0039307, -0.035335, *_LINK4],
        [0.6353, 0.0036004, -1.5445e-5, 0.055255, *_LINK5],
        [0.581, 0.050676, -4.9e-5, 5.1e-5, *_LINK6],
    ]
)


def _arm(
    name: str, links: F64, joint_xyz: list[list[float]], roll: float, tool_x: float, armature: list[float], home: list[float]
) -> RobotSpec:
    """What the two arms share, with what they do not."""
    rpy = np.zeros((6, 3))
    rpy[[2, 5], 0] = roll
    return RobotSpec(
        name=name,
        family="arx",
        inertia_set="arx5-sdk URDF",
        joint_xyz=np.array(joint_xyz),
        joint_rpy=rpy,
        joint_axis=_AXES,
        q_min=np.array([-3.14, -0.05, -0.10, -1.60, -1.57, -2.0]),
        q_max=np.array([2.618, 3.50, 3.20, 1.55, 1.57, 2.0]),
        dq_max=np.array([5.0, 5.0, 5.5, 5.5, 5.0, 5.0]),
        tau_max=np.array([30.0, 40, 30, 15, 10, 10]),
        armature=np.array(armature),
        joint_stiffness=np.array([80.0, 70, 70, 30, 30, 20]),  # the SDK's joint controller
        joint_damping=np.full(6, 5.0),  # the most that fits in a motor frame
        friction=(0.0, 0.3),
        link_mass=links[:, 0],
        link_com=links[:, 1:4],
        link_inertia=links[:, 4:],
        flange=np.array([tool_x, 0.0, 0.0, *_POINT_Z]),
        hand_mass=0.0,
        hand_com=np.zeros(3),
        hand_inertia=np.zeros(6),
        tcp=np.array([0, 0, 0, 0, 0, 0, 1.0]),
        gripper=Gripper(width=0.088, speed=0.3, force=30.0),  # force is a guess, to be measured on an arm
        gravity=9.807,
        home=np.array(home),  # tool-down at (0.30, 0, 0.155), found by Newton steps on robots.kinematics
        work_point=_WORK_POINT,
        # The Franka's stiffness and clip. Its Cartesian damping diverges over CAN: here the motors damp, see joint_damping.
        compliance=Compliance(
            stiffness=np.array([2000.0, 2000, 2000, 150, 150, 150]),
            damping=np.zeros(6),
            error_clip=np.array([0.003, 0.003, 0.010, 0.02, 0.02, 0.02]),
        ),
        damping=Damping.JOINT,
        force_estimate=ForceEstimate.JOINT_TORQUES,
        tcp_speed=(0.25, 1.25),  # our own limit; the SDK names 0.6 m/s and 1.8 rad/s
        joint_margin=0.02,
        control_rate=200.0,
        cameras=cameras.standard(_WORK_POINT),
    )


# Reflected rotor inertia = rotor * ratio^2: DM4310 1.8e-3, DM4340 3.2e-2 (data sheets); EC-A4310 about 0.025 is a guess.
X5 = _arm(
    "arx-x5",
    _X5_LINKS,
    [[0, 0, 0.0603], [0.02, 0, 0.0402], [-0.264, 0, 0], [0.245, 0, -0.056], [0.06575, -0.001, -0.0825], [0.02845, 0, 0.0825]],
    roll=-_PI4,
    tool_x=0.145,
    armature=[0.025, 0.025, 0.025, 1.8e-3, 1.8e-3, 1.8e-3],
    home=[-0.00333950, 1.68719535, 1.58809916, -1.47170014, 0.00000085, -0.00332486],
)
L5 = _arm(
    "arx-l5",
    _L5_LINKS,
    [[0, 0, 0.0565], [0.02, 0, 0.047], [-0.264, 0, 0], [0.245, 0, -0.06], [0.06775, -0.00005, -0.0865], [0.02895, 0, 0.0865]],
    roll=_PI4,
    tool_x=0.155,
    armature=[0.032, 0.032, 0.032, 1.8e-3, 1.8e-3, 1.8e-3],
    home=[-0.00016054, 1.68895440, 1.61221515, -1.49405708, -0.00000087, -0.00017518],
)
