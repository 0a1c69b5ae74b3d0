"""The control box's three controllers: joint impedance, Cartesian impedance, and the client's own torques."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64
from user_gym.robots.franka import TORQUE_RATE
from user_gym.robots.wire.fci import TICK, Controller
from user_gym.sim.fci.body import Body
from user_gym.sim.fci.reference import TOLERANCE, Reference, difference
from user_gym.sim.fci.tool import Tool

# Defaults that Franka documents for setJointImpedance and setCartesianImpedance.
JOINT_STIFFNESS = np.array([3000.0, 3000, 3000, 2500, 2500, 2000, 2000])  # N m/rad
CARTESIAN_STIFFNESS = np.array([3000.0] * 3 + [300.0] * 3)  # N/m, N m/rad
# Inertias that the damping is critical for; our own choice, as Franka's is not published.
_JOINT_INERTIA = np.array([2.0, 2.0, 1.5, 1.5, 0.3, 0.3, 0.2])  # kg m2
_CARTESIAN_INERTIA = np.array([4.0] * 3 + [0.1] * 3)  # kg, kg m2
POSTURE_STIFFNESS, POSTURE_DAMPING = 10.0, 2.0  # N m/rad, N m s/rad in the null space of Cartesian impedance


class Control:
    """Turns a reference into torques and lets the body's tick pass.

    Args:
        body: the arm.
        tool: whose end effector the Cartesian impedance pulls.
    """

    def __init__(self, body: Body, tool: Tool) -> None:
        self._body, self._tool = body, tool
        self._tau_max = body.spec.tau_max
        self.set_joint_stiffness(JOINT_STIFFNESS)
        self.set_cartesian_stiffness(CARTESIAN_STIFFNESS)
        self.tau = np.zeros(7)  # N m, last ordered, without gravity
        self.strict = False

    def set_joint_stiffness(self, stiffness: F64) -> None:
        """N m/rad (7,)."""
        self.joint_stiffness, self.joint_damping = stiffness.copy(), 2.0 * np.sqrt(stiffness * _JOINT_INERTIA)

    def set_cartesian_stiffness(self, stiffness: F64) -> None:
        """N/m, N m/rad (6,), at the end effector, base axes."""
        self.cartesian_stiffness, self.cartesian_damping = stiffness.copy(), 2.0 * np.sqrt(stiffness * _CARTESIAN_INERTIA)

    def step(self, controller: Controller, reference: Reference, tau: F64 | None) -> str | None:
        """One tick. The name of the error where the torques (7,) of an external controller are refused."""
        if controller is Controller.EXTERNAL:
            return self._external(self.tau if tau is None else tau)
        if controller is Controller.CARTESIAN_IMPEDANCE:
            self.tau = self._cartesian(reference)
            self._body.torque(self.tau)
        else:
            self.tau = self._body.servo(reference.q, reference.dq, self.joint_stiffness, self.joint_damping)
        return None

    def _external(self, tau: F64) -> str | None:
        if self.strict and np.abs(tau - self.tau).max() > TORQUE_RATE * TICK * TOLERANCE:
            return "controller_torque_discontinuity"
        if self.strict and (np.abs(tau) > self._tau_max * TOLERANCE).any():
            return "tau_J_range_violation"
        self.tau = tau
        self._body.torque(tau)
        return None

    def _cartesian(self, reference: Reference) -> F64:
        body = self._body
        now = body.frame(self._tool.ee)
        jacobian = body.jacobian(now[:3, 3])
        error = difference(now, reference.pose)
        damping = self.cartesian_damping * (reference.twist - jacobian @ body.dq)
        tau = jacobian.T @ (self.cartesian_stiffness * error + damping) + body.coriolis()
        posture = POSTURE_STIFFNESS * (reference.q - body.q) + POSTURE_DAMPING * (reference.dq - body.dq)
        into_task = np.linalg.solve(jacobian @ jacobian.T + 1e-6 * np.eye(6), jacobian @ posture)
        return tau + posture - jacobian.T @ into_task
