"""Franka FR3 and FER (Panda) with the Franka hand, as data. Numbers with their sources; no behaviour."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64, Compliance, Damping, ForceEstimate, Gripper, RobotSpec
from user_gym.robots import cameras

_HALF = np.pi / 2
_WORK_POINT = np.array([0.5, 0.0, 0.0])

# Chain, flange and hand: franka_description robots/{fer,fr3}/kinematics.yaml and franka_hand.xacro; the same for both arms.
_JOINT_XYZ = np.array(
    [[0, 0, 0.333], [0, 0, 0], [0, -0.316, 0], [0.0825, 0, 0], [-0.0825, 0.384, 0], [0, 0, 0], [0.088, 0, 0]], dtype=float
)
_JOINT_RPY = np.array([[0, 0, 0], [-_HALF, 0, 0], *[[_HALF, 0, 0]] * 2, [-_HALF, 0, 0], *[[_HALF, 0, 0]] * 2], dtype=float)
_FLANGE = np.array([0, 0, 0.107, 0, 0, -np.sin(np.pi / 8), np.cos(np.pi / 8)])
_TCP = np.array([0, 0, 0.1034, 0, 0, 0, 1.0])

# Rows: mass kg; centre of mass m; Ixx Iyy Izz Ixy Ixz Iyz kg m2.
_FER_LINKS = np.array(
    [
        [0.629769, -0.041018, -0.00014, 0.049974, 0.00315, 0.00388, 0.004285, 8.2904e-7, 0.00015, 8.2299e-6],
        [4.970684, 0.003875, 0.002081, -0.04762, 0.70337, 0.70661, 0.009117, -0.000139, 0.006772, 0.019169],
        [0.646926, -0.003141, -0.02872, 0.003495, 0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704],
        [3.228604, 0.027518, 0.039252, -0.066502, 0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805],
        [3.587895, -0.05317, 0.104419, 0.027454, 0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641],
        [1.225946, -0.011953, 0.041065, -0.038437, 0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229],
        [1.666555, 0.060149, -0.014117, -0.010517, 0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341],
        [0.735522, 0.010517, -0.004252, 0.061597, 0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741],
    ]
)
_FR3_MASS_COM = np.array(
    [
        [2.3966, -0.0172, 0.0004, 0.0745],
        [2.9274653454, 4.128e-7, -0.0181251324, -0.038603597],
        [2.9355370338, 0.0031828864, -0.0743221644, 0.0088146084],
        [2.2449013699, 0.0407015686, -0.0048200565, -0.0289730823],
        [2.6155955791, -0.0459100965, 0.063049296, -0.0085187868],
        [2.3271207594, -0.0016039605, 0.0292536262, -0.097296599],
        [1.8170376524, 0.0597131221, -0.0410294666, -0.0101692726],
        [0.6271432862, 0.0045225817, 0.0086261921, -0.0161633251],
    ]
)
_FR3_INERTIA = np.array(
    [
        [0.0090, 0.0115, 0.0085, 0.0, 0.0020, 0.0],
        [0.0239273165, 0.0224821613, 0.0063500983, 1.33179e-5, -1.140477e-4, -0.0019950321],
        [0.0419389463, 0.0251451489, 0.0617021447, 2.025733e-4, 0.0040777842, -0.0042252158],
        [0.0241014255, 0.0197405327, 0.0190444945, 0.0024046946, -0.0028562693, -0.0021042127],
        [0.0345299832, 0.0288816219, 0.0412547117, 0.0132255227, 0.01015143, -0.0009762834],
        [0.0516102785, 0.0478772971, 0.0164236256, -0.0057151734, -0.0035673168, 0.0106739851],
        [0.0054123336, 0.0140583295, 0.0160808179, 0.0061934564, 0.0014219289, -0.0013140754],
        [0.0002109239, 0.0001771857, 0.0000599319, -2.4333e-5, 4.5645e-5, 8.7441e-5],
    ]
)
_FR3_LINKS = np.hstack([_FR3_MASS_COM, _FR3_INERTIA])

# Columns k, o, upper, lower, cap: joint i turns at most min(cap, sqrt(k (upper - q)) - o) rad/s towards its upper limit, and
# min(cap, sqrt(k (q + lower)) - o) towards its lower one. libfranka's rate_limiting.h.
VELOCITY = {
    "franka-fr3": np.array(
        [
            [12.0, 0.30, 2.75010, 2.750100, 2.62],
            [5.17, 0.20, 1.79180, 1.791800, 2.62],
            [7.00, 0.20, 2.90650, 2.906500, 2.62],
            [8.00, 0.30, -0.1458, 3.048100, 2.62],
            [34.0, 0.35, 2.81010, 2.810100, 5.26],
            [11.0, 0.35, 4.52050, -0.54092, 4.18],
            [34.0, 0.35, 3.01960, 3.019600, 5.26],
        ]
    )
}
# What a motion may ask for at most, rad/s2 and rad/s3; libfranka's rate_limiting.h, and its older copies for the FER.
ACCELERATION = {"franka-fr3": np.full(7, 10.0), "franka-fer": np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0])}
JERK = {"franka-fr3": np.full(7, 5000.0), "franka-fer": np.array([7500.0, 3750, 5000, 6250, 7500, 10000, 10000])}
TORQUE_RATE = 1000.0  # N m/s, both arms
# Translation m/s, m/s2, m/s3; rotation rad/s, rad/s2, rad/s3.
CARTESIAN = {
    "franka-fr3": np.array([[3.0, 9.0, 4500.0], [2.5, 17.0, 8500.0]]),
    "franka-fer": np.array([[1.7, 13.0, 6500.0], [2.5, 25.0, 12500.0]]),
}


def _arm(name: str, inertia_set: str, links: F64, q_min: list[float], q_max: list[float], dq_max: list[float]) -> RobotSpec:
    """What the two arms share, with what they do not."""
    return RobotSpec(
        name=name,
        family="franka",
        inertia_set=inertia_set,
        joint_xyz=_JOINT_XYZ,
        joint_rpy=_JOINT_RPY,
        joint_axis=np.tile([0.0, 0.0, 1.0], (7, 1)),
        q_min=np.array(q_min),
        q_max=np.array(q_max),
        dq_max=np.array(dq_max),
        tau_max=np.array([87.0, 87, 87, 87, 12, 12, 12]),
        armature=np.full(7, 0.1),  # as in gym-hil's panda.xml
        # Joint impedance of libfranka's and franka_ros' published examples.
        joint_stiffness=np.array([600.0, 600, 600, 600, 250, 150, 50]),
        joint_damping=np.array([50.0, 50, 50, 20, 20, 20, 10]),
        friction=(0.0, 0.0),  # compensated by the arm's own torque loop
        link_mass=links[:, 0],
        link_com=links[:, 1:4],
        link_inertia=links[:, 4:],
        flange=_FLANGE,
        hand_mass=0.6544,  # fingers (2 x 0.0291 kg) come on top
        hand_com=np.array([-3.76e-5, 0.0119128, 0.0207260]),
        hand_inertia=np.array([0.00186, 0.00030, 0.00174, 0.0, 0.0, -2e-5]),
        tcp=_TCP,
        gripper=Gripper(width=0.08, speed=0.1, force=70.0),  # data sheet: 50 mm/s per finger, 70 N continuous
        gravity=9.81,
        home=np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4]),  # Franka's ready pose
        work_point=_WORK_POINT,
        # SERL's and RLinf's gains for peg insertion.
        compliance=Compliance(
            stiffness=np.array([2000.0, 2000, 2000, 150, 150, 150]),
            damping=np.array([89.0, 89, 89, 7, 7, 7]),
            error_clip=np.array([0.003, 0.003, 0.010, 0.02, 0.02, 0.02]),
        ),
        damping=Damping.CARTESIAN,
        force_estimate=ForceEstimate.WRIST,
        tcp_speed=(0.25, 1.25),  # our own limit, far below the arm's 1.7 (FER) or 3.0 (FR3) m/s and 2.5 rad/s
        joint_margin=0.02,
        control_rate=1000.0,
        cameras=cameras.standard(_WORK_POINT),
    )


FR3 = _arm(
    "franka-fr3",
    "franka_description fr3",
    _FR3_LINKS,
    q_min=[-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159],
    q_max=[2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159],
    dq_max=[2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26],  # caps; the arm allows less near its joint limits
)
FER = _arm(
    "franka-fer",
    "Gaz et al. 2019, as shipped by menagerie",
    _FER_LINKS,
    q_min=[-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973],
    q_max=[2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973],
    dq_max=[2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61],
)
