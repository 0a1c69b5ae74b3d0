"""One simulated arm as a Robot: orders in, controller and PhysX through the substeps of a period, state out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from user_gym.core import F64, Bool, Command, Compliance, ForceEstimate, RobotSpec, RobotState, Scene, Start, Task
from user_gym.errors import BadAction, BadOption, Closed, NotReset, RobotFault
from user_gym.robots import dynamics, kinematics, pose, reach
from user_gym.robots.compliance import check as check_compliance
from user_gym.sim.maniskill import bodies
from user_gym.sim.maniskill.law import DryFriction, Impedance, drives
from user_gym.sim.maniskill.world import World
from user_gym.sim.maniskill.wrench import WristContact
from user_gym.sim.plant import substeps_of


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A command that means something."""

    target: F64  # (6,) of the pose chart, or (dof,) rad
    gripper: float  # 0..1


class SapienTwin:
    """A Robot in PhysX, and where its objects are.

    Args:
        spec: the arm.
        task: whose bodies are around it.
        control: "tcp" or "joint".
        dt: s of a substep.

    Raises:
        BadOption: `control` or `dt` is not allowed, or the task has bodies that this backend cannot build.
    """

    def __init__(self, spec: RobotSpec, task: Task, control: str, dt: float) -> None:
        bodies.check(task)
        self.spec, self._task, self._dt = spec, task, dt
        self._substeps = substeps_of(task, control, dt)
        self.names = tuple(b.name for b in task.bodies if b.mount != "tool")
        self._hung = sum(body.joint is not None for body in task.bodies)
        self._tcp_control = control == "tcp"
        self._drives, self._payload = drives(spec, control), dynamics.held(task)
        self._law = Impedance(spec, spec.compliance)
        self._contact = WristContact() if spec.force_estimate is ForceEstimate.WRIST else None
        self._q_low, self._q_high = spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin
        self._valid: Bool = np.ones(len(self.names), bool)
        self._stroke = spec.gripper.width / 2  # m of each finger
        self._finger_step = spec.gripper.speed / 2 * self._substeps * dt  # m a period
        self._shape = (6 if self._tcp_control else spec.dof,)
        self._connected = False
        self._world: World | None = None

    def connect(self) -> None:
        """Nothing to open: a scene is built at each reset."""
        self._connected = True

    def set_compliance(self, compliance: Compliance) -> None:
        """Change how it yields, from the next period on."""
        if not self._tcp_control:
            raise BadOption(
                "control", "joint", "'tcp' to set a Cartesian compliance", "make the environment with control='tcp'"
            )
        check_compliance(compliance)
        self._law.set_compliance(compliance)

    def reset(self, start: Start) -> RobotState:
        """Build the scene with the arm at its start, at rest."""
        self.check_connected()
        return self.begin(start, reach.solve(self.spec, start.tcp))

    def begin(self, start: Start, q: F64) -> RobotState:
        """As `reset`, where the joint positions (dof,) rad of the start are known. Raises BadOption."""
        gripper = float(start.gripper)
        if start.joints.shape != (self._hung,) or not np.isfinite(start.joints).all():
            raise BadOption("joints", start.joints.tolist(), f"{self._hung} finite numbers")
        self._world = World(self.spec, self._task, self._dt, self._drives, q, gripper, start.objects, start.joints)
        self._law.order(start.tcp)
        self._target, self._reach, self._period = q, gripper * self._stroke, 0
        most = np.random.default_rng(int(start.seed)).uniform(*self.spec.friction, self.spec.dof)
        self._friction = DryFriction(most, q, self._dt) if self.spec.friction[1] > 0 else None
        return self._measure(self._world, np.zeros(self.spec.dof), np.zeros(6))

    def exchange(self, command: Command) -> RobotState:
        """Order and integrate one control period."""
        return self.advance(self.accept(command))

    def accept(self, command: Command) -> Order:
        """The order, if it means something and the arm is ready; nothing moves."""
        self.check_connected()
        target, other = (command.tcp, command.joints) if self._tcp_control else (command.joints, command.tcp)
        if target is None or other is not None or target.shape != self._shape:
            kind, field = ("tcp", "tcp") if self._tcp_control else ("joint", "joints")
            raise BadAction(f"an order for {self.spec.name} under {kind} control is {field} alone, of shape {self._shape}")
        self._built()
        gripper = float(command.gripper) if self._task.moves_gripper else 0.0
        if not (np.isfinite(target).all() and np.isfinite(gripper)):
            raise BadAction(f"order {target}, gripper {gripper} for {self.spec.name}; allowed: finite numbers")
        return Order(target, gripper)

    def advance(self, order: Order) -> RobotState:
        """Integrate one control period under an order."""
        world = self._built()
        self._aim(world, order)
        spec, dof, period = self.spec, self.spec.dof, self._substeps * self._dt
        most = spec.tau_max - np.abs(self._weight)
        torque, total = np.zeros(dof), np.zeros(dof)
        if self._contact is not None:
            self._contact.begin(world)
        for _ in range(self._substeps):
            q, dq = (x[:dof] for x in world.joints())
            frames = kinematics.links(spec, q)
            if self._tcp_control:
                torque = self._law.torque(kinematics.linearise(spec, q, frames), dq)
                torque = np.minimum(np.maximum(torque, -most), most)
            world.step(torque if self._friction is None else torque + self._friction.torque(q))
            if self._contact is not None:
                self._contact.add(world, frames)
            else:
                total += self._motors(world, torque)
        q, dq = world.joints()
        if not (np.isfinite(q).all() and np.isfinite(dq).all()):
            self._world = None
            raise RobotFault(f"simulation of {spec.name} diverged; reset it, or use a smaller dt")
        self._period += 1
        linear = kinematics.linearise(spec, q[:dof])
        wrench: F64
        if self._contact is not None:
            wrench = self._contact.mean(world, linear.point, period)
        else:  # what the motors give beyond the arm's weight holds the contact
            wrench = np.asarray(np.linalg.solve(linear.jacobian.T, -total / self._substeps), float)
        return self._measure(world, self._motors(world, torque), wrench)

    def observe(self) -> Scene:
        """Truth about the objects, of the same moment as the newest state."""
        self.check_connected()
        return Scene(self.names, self._built().objects(), self._valid, "sim", self._time)

    def close(self) -> None:
        """Free the scene."""
        self._world, self._connected = None, False

    def check_connected(self) -> None:
        """Raise Closed unless it is."""
        if not self._connected:
            raise Closed(f"twin of {self.spec.name} is not connected; call connect()")

    def _built(self) -> World:
        if self._world is None:
            raise NotReset("exchange or observe before reset; call reset first")
        return self._world

    @property
    def _time(self) -> F64:
        return np.asarray(self._period * self._substeps * self._dt)[()]

    def _aim(self, world: World, order: Order) -> None:
        if self._tcp_control:
            self._law.order(order.target)
        else:
            self._target = np.minimum(np.maximum(order.target, self._q_low), self._q_high)  # the arm's own limit
            world.aim(self._target)
        if world.fingers:  # their targets run ahead no faster than the gripper can
            ahead = order.gripper * self._stroke - self._reach
            self._reach += float(np.clip(ahead, -self._finger_step, self._finger_step))
            world.open(self._reach)

    def _motors(self, world: World, torque: F64) -> F64:
        """Torques (dof,) N m of the motors now, without gravity's share; a null-space spring is none of theirs."""
        q, dq = (x[: self.spec.dof] for x in world.joints())
        if not self._tcp_control:
            return self._drives.stiffness * (self._target - q) - self._drives.damping * dq
        return torque if self._contact is not None else torque - self._drives.damping * dq

    def _measure(self, world: World, motors: F64, wrench: F64) -> RobotState:
        spec, dof = self.spec, self.spec.dof
        joints, speeds = world.joints()
        q, dq = joints[:dof], speeds[:dof]
        linear = kinematics.linearise(spec, q)
        self._weight = dynamics.gravity(spec, q, self._payload)
        at = np.concatenate([linear.point, pose.from_matrix(linear.turn)])
        return RobotState(
            time=self._time,
            q=q,
            dq=dq,
            tau=motors + self._weight,
            tcp=pose.to_chart(at),
            velocity=linear.jacobian @ dq,
            wrench=wrench,
            gripper=(joints[dof:].sum() / spec.gripper.width)[()],
        )
