"""An ARX arm's physics behind its motors: shafts that can be read, laws that can be set, and gravity that pulls.

Other than the simulators of the environments, nothing here compensates gravity: that is the driver's work. The gripper's motor
moves the task's fingers where the task moves them; else it is a motor of its own between the width of what the tool holds and
fully open.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from user_gym.core import F64, RobotSpec, Task
from user_gym.errors import BadOption, RobotFault
from user_gym.robots.motors import Arm, Jaw
from user_gym.robots.wire.mit import Mit
from user_gym.sim.bodies import held_width
from user_gym.sim.can.motor import LIMP, Shaft
from user_gym.sim.plant import compile_plant

GRIPPER_INERTIA = 1.8e-3  # kg m2: the rotor of a DM-J4310, 1.8e-5, behind a gear of 10


class CanArm:
    """The shafts of an arm's motors, the gripper's last.

    Args:
        spec: the arm.
        task: its objects stand in the scene.
        motors: the arm's table.
        dt: s, of a tick.
        posture: (dof,) rad, how the arm stands at first.
        friction: N m of each joint, or (dof,); None: drawn from the spec's range by `draw_friction`.

    Raises:
        BadOption: `dt`, `posture` or `friction` is not allowed.
    """

    def __init__(
        self, spec: RobotSpec, task: Task, motors: Arm, dt: float, posture: F64 | None, friction: float | F64 | None
    ) -> None:
        self.plant = compile_plant(spec, task, "motors", dt)
        self.model, self.dt, self._dof = self.plant.model, self.plant.dt, spec.dof
        self._posture = _vector("posture", spec.home if posture is None else posture, spec.q_min, spec.q_max)
        self._fixed = None if friction is None else _vector("friction", friction, np.zeros(spec.dof), spec.tau_max)
        model = self.model
        model.body_gravcomp[:] = 0.0
        for i, motor in enumerate(motors.joints):
            a = model.actuator(f"motor{i}").id
            model.actuator_forcelimited[a], model.actuator_forcerange[a] = 1, (-motor.kind.peak, motor.kind.peak)
        self.data = mujoco.MjData(model)
        self._actuators = [model.actuator(f"motor{i}").id for i in range(spec.dof)]
        self._bias, self._ctrl = model.actuator_biasprm, self.data.ctrl
        self._q, self._dq, self._tau = self.data.qpos, self.data.qvel, self.data.qfrc_actuator
        peak = motors.gripper.kind.peak
        self.gripper = (
            _Fingers(model, self.data, motors.jaw, spec.dof, self.plant.fingers, peak)
            if self.plant.fingers
            else _LoneMotor(motors.jaw, held_width(task), peak)
        )
        self._drawn = 0
        self.lift()

    def lift(self) -> None:
        """Put the arm into its first posture, supported: it stays there until `release`. Objects stay where they are."""
        self.supported = True
        self.data.time = 1.0  # MuJoCo's own clock; only its running backwards is looked at, see `step`
        self._q[: self._dof], self._dq[:] = self._posture, 0.0
        self._tau[:] = 0.0
        self.draw_friction(self._drawn)
        mujoco.mj_kinematics(self.model, self.data)

    def release(self) -> None:
        """Take the support away."""
        self.supported = False

    def draw_friction(self, seed: int) -> None:
        """Draw each joint's Coulomb friction, as the simulator of the environments does at a reset with this seed."""
        self._drawn, spec = seed, self.plant.spec
        drawn = np.random.default_rng(seed).uniform(*spec.friction, self._dof) if self._fixed is None else self._fixed
        self.model.dof_frictionloss[: self._dof] = drawn

    def shaft(self, i: int) -> Shaft:
        """What motor i's sensors say."""
        if i == self._dof:
            return self.gripper.shaft()
        return Shaft(self._q.item(i), self._dq.item(i), self._tau.item(i))

    def posture(self) -> tuple[F64, F64]:
        """The joints' true angles rad and speeds rad/s, (dof,) each."""
        return self._q[: self._dof].copy(), self._dq[: self._dof].copy()

    def follow(self, i: int, law: Mit) -> None:
        """Give motor i a law in N m."""
        if i == self._dof:
            self.gripper.law(law)
            return
        a = self._actuators[i]
        self._ctrl[a] = law.kp * law.position + law.kd * law.velocity + law.torque
        self._bias[a, 1], self._bias[a, 2] = -law.kp, -law.kd

    def step(self, ticks: int) -> None:
        """Let time pass. Raises RobotFault where the simulation diverges: arm and objects then stand as at first."""
        if not self.supported:
            data = self.data
            expected = data.time + (ticks - 0.5) * self.dt
            mujoco.mj_step(self.model, data, ticks)
            if data.time < expected:  # MuJoCo has started anew, as it does when numbers diverge
                self.lift()
                raise RobotFault(f"the simulation of {self.plant.spec.name} diverged and was started anew; lower the gains")
        self.gripper.step(ticks, self.dt)


class _LoneMotor:
    """The gripper's motor where the task's fingers do not move: a rotor between two stops, one of them what the tool holds."""

    def __init__(self, jaw: Jaw, held: float, peak: float) -> None:
        ratio = jaw.open_angle / jaw.open_width
        ends = ratio * held, jaw.open_angle
        self._low, self._high, self._peak = min(ends), max(ends), peak
        self._angle, self._speed, self._torque = ends[0], 0.0, 0.0
        self._law = LIMP

    def shaft(self) -> Shaft:
        return Shaft(self._angle, self._speed, self._torque)

    def law(self, law: Mit) -> None:
        self._law = law

    def step(self, ticks: int, dt: float) -> None:
        position, velocity, kp, kd, torque = self._law
        if not kp and not torque and not self._speed:
            self._torque = kd * velocity
            if not self._torque:
                return
        low, high, peak = self._low, self._high, self._peak
        angle, speed, applied = self._angle, self._speed, 0.0
        for _ in range(ticks):  # damping implicitly: it is stiff
            applied = min(max(kp * (position - angle) + kd * (velocity - speed) + torque, -peak), peak)
            damped = 1.0 + dt * kd / GRIPPER_INERTIA if abs(applied) < peak else 1.0
            speed += dt / GRIPPER_INERTIA * applied / damped
            angle += dt * speed
            if not low < angle < high:
                angle, speed = min(max(angle, low), high), 0.0
        self._angle, self._speed, self._torque = angle, speed, applied


class _Fingers:
    """The gripper's motor where it moves the task's fingers: each finger goes half the width."""

    def __init__(self, model: Any, data: Any, jaw: Jaw, first: int, count: int, peak: float) -> None:
        self._ratio = jaw.open_angle / jaw.open_width  # rad per m of width
        self._data, self._joints = data, slice(first, first + count)
        # One m of a finger turns the motor by count times the ratio, and each finger bears its share of the torque.
        self._gear = count * self._ratio
        self._model, self._actuators = model, range(model.nu - count, model.nu)
        model.dof_armature[self._joints] = GRIPPER_INERTIA * self._gear**2 / count
        for a in self._actuators:
            model.actuator_gainprm[a, 0] = 1.0
            model.actuator_forcerange[a] = (-abs(peak * self._ratio), abs(peak * self._ratio))
        self.law(LIMP)

    def shaft(self) -> Shaft:
        data, ratio = self._data, self._ratio
        torque = float(data.qfrc_actuator[self._joints].sum()) / self._gear
        return Shaft(ratio * float(data.qpos[self._joints].sum()), ratio * float(data.qvel[self._joints].sum()), torque)

    def law(self, law: Mit) -> None:
        ratio = self._ratio
        for a in self._actuators:
            self._data.ctrl[a] = ratio * (law.kp * law.position + law.kd * law.velocity + law.torque)
            self._model.actuator_biasprm[a, 1:3] = -ratio * self._gear * law.kp, -ratio * self._gear * law.kd

    def step(self, ticks: int, dt: float) -> None:
        """Nothing: they are part of the arm's simulation."""


def _vector(name: str, value: float | F64, low: F64, high: F64) -> F64:
    """A number for each joint, within limits."""
    given = np.asarray(value, float)
    if given.shape not in ((), low.shape) or not ((given >= low) & (given <= high)).all():
        raise BadOption(name, given.tolist(), f"{len(low)} numbers between {low.tolist()} and {high.tolist()}")
    return np.broadcast_to(given, low.shape).copy()
