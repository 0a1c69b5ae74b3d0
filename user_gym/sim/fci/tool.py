"""What hangs on the flange, as a control box is told: frames, end effector and load. It moves nothing."""

from __future__ import annotations

import mujoco
import numpy as np

from user_gym.core import F64, RobotSpec
from user_gym.robots import pose
from user_gym.sim.arm import add_arm


class Tool:
    """Frames (4, 4) F_T_NE, NE_T_EE, EE_T_K, the end effector's inertia and the load's.

    What the hand holds is no part of the end effector: a client tells the box by SetLoad, as it does with a real one.

    Args:
        spec: the arm.
        held: m between the fingers.
    """

    def __init__(self, spec: RobotSpec, held: float) -> None:
        self.flange = np.eye(4)
        self.flange[:3, 3] = spec.flange[:3]  # FCI's flange has the last link's axes; the hand on it is turned
        hand = pose.compose(spec.flange, spec.tcp)
        link_to_tool = np.eye(4)
        link_to_tool[:3, :3], link_to_tool[:3, 3] = pose.matrix(hand[3:]), hand[:3]
        self.f_t_ne = np.linalg.inv(self.flange) @ link_to_tool
        self.ne_t_ee, self.ee_t_k = np.eye(4), np.eye(4)
        self.mass, self.com, self.inertia = _hand(spec, held)
        self.load_mass, self.load_com, self.load_inertia = 0.0, np.zeros(3), np.zeros((3, 3))
        self.update()

    def update(self) -> None:
        """Compute the products, after a frame was set."""
        self.f_t_ee = self.f_t_ne @ self.ne_t_ee
        self.ee = self.flange @ self.f_t_ee  # in the last link
        self.k = self.ee @ self.ee_t_k


def is_frame(frame: F64) -> bool:
    """Whether (4, 4) is a rigid transform."""
    turn = frame[:3, :3]
    orthogonal = np.abs(turn @ turn.T - np.eye(3)).max() < 1e-3 and np.linalg.det(turn) > 0  # NaN is neither
    return bool(np.isfinite(frame).all() and orthogonal and np.abs(frame[3] - [0, 0, 0, 1]).max() < 1e-6)


def _hand(spec: RobotSpec, held: float) -> tuple[float, F64, F64]:
    """Mass kg, centre (3,) m and inertia (3, 3) kg m2 about it of hand and fingers, in the flange's axes.

    Compiled with and without the hand: the difference is what the twin's physics has.
    """
    world = mujoco.MjSpec()
    world.compiler.fusestatic, world.compiler.balanceinertia, world.compiler.degree = True, True, False
    add_arm(world.worldbody, spec, gripper_moves=False, held_width=held, dressed=False)
    model = world.compile()
    last = model.body(f"link{spec.dof}").id
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[last])
    turn = turn.reshape(3, 3)
    whole, centre = float(model.body_mass[last]), np.array(model.body_ipos[last])
    about_centre = turn @ np.diag(model.body_inertia[last]) @ turn.T
    xx, yy, zz, xy, xz, yz = spec.link_inertia[spec.dof]
    link_inertia = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    link, link_com = float(spec.link_mass[spec.dof]), spec.link_com[spec.dof]
    mass = whole - link
    com = (whole * centre - link * link_com) / mass
    inertia = about_centre + _offset(whole, centre - com) - link_inertia - _offset(link, link_com - com)
    return mass, com - spec.flange[:3], inertia


def _offset(mass: float, arm: F64) -> F64:
    """What a mass off the centre adds to an inertia (3, 3)."""
    return mass * (float(arm @ arm) * np.eye(3) - np.outer(arm, arm))
