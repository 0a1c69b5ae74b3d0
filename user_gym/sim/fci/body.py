"""The arm behind an FCI twin: physics at 1 kHz, torques in, measurements out. It knows no protocol and no motion.

Gravity is compensated by the plant, as the control box does it. Each tick ends with MuJoCo's first half step, so that frames,
Jacobians and joint angles are of one moment.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from user_gym.core import F64, RobotSpec, Task
from user_gym.errors import BadOption
from user_gym.robots.wire.fci import TICK
from user_gym.sim.plant import compile_plant

MAX_FRICTION = 5.0  # N m: more than any joint of these arms has
FILTER = 0.02  # s; our own choice: an impact of some ms shows as its impulse, not as its peak of several hundred N
IK_STEPS = 40  # a tick takes two; many lost cycles make one long step of several
IK_TOLERANCE = 1e-9  # m, rad
IK_DAMPING = 1e-8  # of J J^T: the reference moves less than a millimetre per tick, so the step is small anyway
_NO_BIAS = np.zeros(7)


class Body:
    """One arm in its scene.

    Args:
        spec: a 7-joint arm.
        task: its bodies stand in the scene; the arm begins at its home.
        friction: N m of Coulomb friction in every joint; None: drawn by `arrange` from the spec's range.

    Raises:
        BadOption: friction out of range.
    """

    def __init__(self, spec: RobotSpec, task: Task, friction: float | None = None) -> None:
        if friction is not None:
            if not (isinstance(friction, int | float) and 0.0 <= friction <= MAX_FRICTION):
                raise BadOption("friction", friction, f"0 .. {MAX_FRICTION} N m, or None")
            spec = replace(spec, friction=(float(friction), float(friction)))
        self.spec = spec
        self.plant = compile_plant(spec, task, "motors", TICK)
        self.model, self.data = self.plant.model, mujoco.MjData(self.plant.model)
        self._scratch = mujoco.MjData(self.model)  # for inverse kinematics
        self._link = self.model.body(f"link{spec.dof}").id
        dof = spec.dof
        self.q: F64 = self.data.qpos[:dof]  # live views
        self.dq: F64 = self.data.qvel[:dof]
        self.tau: F64 = self.data.qfrc_actuator[:dof]  # N m, gravity included
        self._bias: F64 = self.data.qfrc_bias[:dof]
        self._gravity: F64 = self.data.qfrc_gravcomp[:dof]
        self._contact: F64 = self.data.sensordata[self.plant.sensors["contact"]]
        self._jacobian = np.zeros((6, self.model.nv))
        self.wrench = np.zeros(6)  # N, N m at the point asked for last: what the robot does to the world, filtered
        self.tau_ext = np.zeros(dof)  # N m, the same in joint space
        self._share = 1.0 - math.exp(-TICK / FILTER)
        self._servo: tuple[F64, F64] = (_NO_BIAS, _NO_BIAS)
        self.ticks = 0
        self.place(spec.home)
        self.draw_friction(0)

    @property
    def time(self) -> float:
        """s of physics since it began."""
        return self.ticks * TICK

    def place(self, q: F64) -> None:
        """Put the arm there, at rest."""
        self.q[:], self.dq[:] = q, 0.0
        mujoco.mj_step1(self.model, self.data)

    def draw_friction(self, seed: int) -> None:
        """Draw each joint's friction from the spec's range."""
        low, high = self.spec.friction
        self.model.dof_frictionloss[: self.spec.dof] = np.random.default_rng(seed).uniform(low, high, self.spec.dof)

    def refresh(self) -> None:
        """After something was placed: positions and contacts of this moment."""
        mujoco.mj_step1(self.model, self.data)

    def coriolis(self) -> F64:
        """N m that the motion itself asks for; the plant's gravity compensation is left out."""
        return self._bias - self._gravity

    def torque(self, tau: F64) -> None:
        """Integrate one tick under these joint torques (dof,), gravity compensation on top."""
        self._set_servo(_NO_BIAS, _NO_BIAS)
        self._step(tau)

    def servo(self, q: F64, dq: F64, stiffness: F64, damping: F64) -> F64:
        """Integrate one tick under joint impedance about a moving reference; the torques (dof,) it began with.

        The motors' own stiffness and damping are integrated implicitly, so that stiff gains stay stable.
        """
        self._set_servo(stiffness, damping)
        feed = stiffness * q + damping * dq + self.coriolis()
        tau = feed - stiffness * self.q - damping * self.dq
        self._step(feed)
        return tau

    def _set_servo(self, stiffness: F64, damping: F64) -> None:
        if self._servo[0] is not stiffness or self._servo[1] is not damping:
            self._servo = stiffness, damping
            self.model.actuator_biasprm[: self.spec.dof, 1] = -stiffness
            self.model.actuator_biasprm[: self.spec.dof, 2] = -damping

    def _step(self, ctrl: F64) -> None:
        self.data.ctrl[: self.spec.dof] = ctrl
        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step1(self.model, self.data)
        self.ticks += 1

    def frame(self, tool: F64) -> F64:
        """(4, 4) pose of a frame that is `tool` (4, 4) in the last link."""
        return _frame(self.data, self._link) @ tool

    def jacobian(self, point: F64) -> F64:
        """(6, dof) of a point (3,) m of the last link, base axes. Overwritten by the next call."""
        mujoco.mj_jac(self.model, self.data, self._jacobian[:3], self._jacobian[3:], point, self._link)
        return self._jacobian[:, : self.spec.dof]

    def touched(self) -> bool:
        """Whether there is anything for `feel` to do: contact now, or the filter's memory of it."""
        return bool(self._contact.any()) or bool(self.wrench.any()) or bool(self.tau_ext.any())

    def feel(self, point: F64) -> None:
        """Update `wrench` about a point (3,) m of the last link, and `tau_ext`, one tick on."""
        contact = self._contact
        now = np.zeros(6)
        if contact.any():
            force, torque, at = contact[:3], contact[3:6], contact[6:]
            arm = at - point
            now[:3], now[3:] = force, torque
            now[3] += arm[1] * force[2] - arm[2] * force[1]
            now[4] += arm[2] * force[0] - arm[0] * force[2]
            now[5] += arm[0] * force[1] - arm[1] * force[0]
        self.wrench += self._share * (now - self.wrench)
        if np.abs(self.wrench).max() < 1e-9:
            self.wrench[:] = 0.0
        np.matmul(self.jacobian(point).T, self.wrench, out=self.tau_ext)

    def solve(self, q: F64, goal: F64, tool: F64, elbow: float | None) -> F64 | None:
        """Joint angles near q whose tool frame is `goal` (4, 4); None where there are none.

        Args:
            q: (dof,) where to begin.
            goal: (4, 4) pose in the base frame.
            tool: (4, 4) frame in the last link.
            elbow: rad that joint 3 shall have; None: the least motion of all joints.
        """
        data, model, dof = self._scratch, self.model, self.spec.dof
        q, error, jacobian, quat = q.copy(), np.empty(6), np.zeros((6, model.nv)), np.empty(4)
        for _ in range(IK_STEPS):
            data.qpos[:dof] = q
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            now = _frame(data, self._link) @ tool
            error[:3] = goal[:3, 3] - now[:3, 3]
            mujoco.mju_mat2Quat(quat, (goal[:3, :3] @ now[:3, :3].T).ravel())
            mujoco.mju_quat2Vel(error[3:], quat, 1.0)
            twist = 0.0 if elbow is None else elbow - q[2]
            if max(np.abs(error).max(), abs(twist)) < IK_TOLERANCE:
                return q
            mujoco.mj_jac(model, data, jacobian[:3], jacobian[3:], now[:3, 3], self._link)
            rows, wanted = jacobian[:, :dof], error
            if elbow is not None:
                rows, wanted = np.vstack([rows, np.eye(dof)[2]]), np.append(error, twist)
            q += rows.T @ np.linalg.solve(rows @ rows.T + IK_DAMPING * np.eye(len(rows)), wanted)
        return q if np.abs(error).max() < 1e-4 else None  # near the edge of reach it converges slowly


def _frame(data: Any, body: int) -> F64:
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = data.xmat[body].reshape(3, 3), data.xpos[body]
    return frame
