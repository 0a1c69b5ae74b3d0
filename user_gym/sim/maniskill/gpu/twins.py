"""n equal simulated arms as a RobotBatch, stepped together: orders to tensors, a period's substeps, tensors to states.

The scenes are built once and reset by writing where everything is: an episode begins as it does on the CPU, but PhysX keeps
what its solver found last, so equal seeds do not give equal bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from user_gym.core import F64, Bool, Command, Compliance, ForceEstimate, RobotSpec, RobotState, Scene, Start, Task
from user_gym.core.numbers import whole
from user_gym.errors import BadAction, BadOption, Closed, NotReset, RobotFault
from user_gym.robots import dynamics, pose, reach
from user_gym.robots.compliance import check as check_compliance
from user_gym.sim.maniskill import bodies, inertia, links, scene
from user_gym.sim.maniskill.gpu.chain import Chain, tensor
from user_gym.sim.maniskill.gpu.physics import Moving, Physics
from user_gym.sim.maniskill.gpu.torques import DryFriction, Impedance, WristContact
from user_gym.sim.maniskill.law import drives
from user_gym.sim.plant import substeps_of

_WXYZ, _XYZW = [0, 1, 2, 6, 3, 4, 5], [0, 1, 2, 4, 5, 6, 3]  # columns of a pose, ours to SAPIEN's and back


class GpuTwins:
    """A RobotBatch over one `Physics`.

    Args:
        spec, task, control, count, dt: as SapienTwins.
        device: of all tensors, the physics' own.
        build: makes the scenes at the first reset, with objects at (n, k, 7) m, xyzw, and everything at rest.

    Raises:
        BadOption: as SapienTwins.
    """

    def __init__(
        self,
        spec: RobotSpec,
        task: Task,
        control: str,
        count: int,
        dt: float,
        device: torch.device,
        build: Callable[[F64], Physics],
    ) -> None:
        bodies.check(task)
        self.spec, self.count, self._device, self._build = spec, whole("count", count, 1), device, build
        self.names = tuple(b.name for b in task.bodies if b.mount != "tool")
        self._substeps, self._dt = substeps_of(task, control, dt), dt
        self._tcp_control, self._drives = control == "tcp", drives(spec, control)
        self._gains = [tensor(x, device) for x in self._drives]
        self._fingers = 2 if task.moves_gripper else 0
        self._chain = Chain(spec, dynamics.held(task), device)
        self._law = Impedance(spec, spec.compliance, count, device)
        self._friction = DryFriction(spec, dt, count, device) if spec.friction[1] > 0 else None
        last, axes = inertia.principal(scene.last_link(spec, task)), pose.matrix(links.from_x(spec.joint_axis[-1])[3:])
        wrist = spec.force_estimate is ForceEstimate.WRIST
        self._contact = WristContact(last, axes, device) if wrist else None
        self._most, self._weight = tensor(spec.tau_max, device), torch.zeros(count, spec.dof, device=device).double()
        self._dq = torch.zeros_like(self._weight)  # rad/s of the arms' joints in the newest substep
        self._targets = np.zeros((count, spec.dof + self._fingers))  # rad, m of the joints' drives
        self._q_low, self._q_high = spec.q_min + spec.joint_margin, spec.q_max - spec.joint_margin
        self._stroke = spec.gripper.width / 2  # m of each finger
        self._finger_step = spec.gripper.speed / 2 * self._substeps * dt  # m a period
        self._physics: Physics | None = None
        self._connected = False

    def connect(self) -> None:
        """Nothing to open: the scenes are built at the first reset, which knows what stands in them."""
        self._connected = True

    def set_compliance(self, compliance: Compliance) -> None:
        """As `Robot.set_compliance`, for all arms."""
        if not self._tcp_control:
            cure = "make the environment with control='tcp'"
            raise BadOption("control", "joint", "'tcp' to set a Cartesian compliance", cure)
        check_compliance(compliance)
        self._law.set_compliance(compliance)

    def reset(self, mask: Bool, starts: Start) -> RobotState:
        """Put the arms of `mask` and their objects at their starts, at rest; their clocks start at 0."""
        self._check_connected()
        rows = np.flatnonzero(mask)
        found = [reach.solve(self.spec, starts.tcp[i]) for i in rows.tolist()]  # all of them, before any arm is touched
        if not found:
            return self._states()
        joints, objects, seeds = np.stack(found), starts.objects[rows], np.broadcast_to(starts.seed, (self.count,))[rows]
        opened = np.broadcast_to(starts.gripper, (self.count,))[rows, None] * np.full(self._fingers, self._stroke)
        if self._physics is None:
            self._furnish(joints[0], objects[0])
        self._place(rows, np.concatenate([joints, opened], axis=-1), objects)
        self._law.order(self._index(rows), starts.tcp[rows])
        if self._friction is not None:
            most = [np.random.default_rng(int(seed)).uniform(*self.spec.friction, self.spec.dof) for seed in seeds]
            self._friction.begin(self._index(rows), np.stack(most), joints)
        self._periods[rows], self._ready[rows], self._dq[self._index(rows)] = 0, True, 0.0
        still = torch.zeros(self.count, self.spec.dof + 6, device=self._device).double()
        self._measure(still[:, :-6], still[:, -6:], mask)
        return self._states()

    def exchange(self, commands: Command, mask: Bool | None = None) -> RobotState:
        """Order all arms, or those of mask, and integrate one control period; the others are put back where they were."""
        acting = np.ones(self.count, bool) if mask is None else mask
        physics = self._accept(commands, acting)
        others = self._index(np.flatnonzero(~acting))
        before, anchor = physics.moving() if len(others) else None, None if self._friction is None else self._friction.anchor
        speeds = self._dq
        motors, wrench = self._advance(physics)
        if before is not None:
            physics.place(others, Moving(*(x[others] for x in before)))
            self._dq[others] = speeds[others]
            if self._friction is not None and anchor is not None:
                self._friction.anchor[others] = anchor[others]
        self._periods[acting] += 1
        self._measure(motors, wrench, acting)
        lost = np.flatnonzero(acting & ~np.isfinite(self._numbers).all(-1))
        if len(lost):
            self._ready[lost] = False
            raise RobotFault(f"simulation of {self.spec.name} diverged in arms {lost.tolist()}; reset, or use a smaller dt")
        return self._states()

    def observe(self) -> Scene:
        """Truth about the objects of all arms, of the same moment as the newest states."""
        self._check_connected()
        self._built()
        valid = np.ones((self.count, len(self.names)), bool)
        poses = self._numbers[:, self._objects_at :].reshape(self.count, -1, 7)[..., _XYZW]
        return Scene(self.names, poses, valid, "sim", self._time())

    def close(self) -> None:
        """Free the scenes."""
        if self._physics is not None:
            self._physics.close()
        self._physics, self._connected = None, False

    def _check_connected(self) -> None:
        if not self._connected:
            raise Closed(f"twins of {self.spec.name} are not connected; call connect()")

    def _built(self) -> Physics:
        if self._physics is None:
            raise NotReset("no arm was reset; call reset with a mask that has one")
        return self._physics

    def _index(self, rows: np.ndarray) -> Tensor:
        return torch.as_tensor(rows, device=self._device)

    def _furnish(self, q: F64, objects: F64) -> None:
        """Build the scenes, all with the arm at q (dof,) rad and the objects at (k, 7) m, until a reset says otherwise."""
        everywhere = np.broadcast_to(objects, (self.count, *objects.shape))
        self._physics = self._build(everywhere)
        self._objects_at = 3 * self.spec.dof + 3 + 9 + 6 + 6 + 1
        self._numbers = np.zeros((self.count, self._objects_at + 7 * len(self.names)))  # as `_measure` has them
        self._periods, self._ready = np.zeros(self.count, int), np.zeros(self.count, bool)
        closed = np.concatenate([q, np.zeros(self._fingers)])
        self._place(np.arange(self.count), np.tile(closed, (self.count, 1)), everywhere)

    def _place(self, rows: np.ndarray, q: F64, objects: F64) -> None:
        """Arms `rows` (m,) at q (m, joints) rad, m, where their drives hold them, and objects at (m, k, 7) m; at rest."""
        still = np.concatenate([objects[..., _WXYZ], np.zeros((*objects.shape[:-1], 6))], axis=-1)
        moving = (tensor(x, self._device).float() for x in (q, np.zeros_like(q), still))
        physics = self._built()
        physics.place(self._index(rows), Moving(*moving))
        self._targets[rows] = q
        self._aim(physics)

    def _accept(self, commands: Command, acting: Bool) -> Physics:
        """Take orders that mean something to arms that are ready; nothing has moved."""
        self._check_connected()
        target, other = (commands.tcp, commands.joints) if self._tcp_control else (commands.joints, commands.tcp)
        shape = (self.count, 6 if self._tcp_control else self.spec.dof)
        if target is None or other is not None or target.shape != shape:
            kind, field = ("tcp", "tcp") if self._tcp_control else ("joint", "joints")
            raise BadAction(f"orders for {self.spec.name} under {kind} control are {field} alone, of shape {shape}")
        physics = self._built()
        if not self._ready[acting].all():
            raise NotReset(f"arms {np.flatnonzero(acting & ~self._ready).tolist()} before their reset; call reset first")
        gripper = np.broadcast_to(commands.gripper, (self.count,))[acting] * (self._fingers > 0)
        target = target[acting]
        if not (np.isfinite(target).all() and np.isfinite(gripper).all()):
            raise BadAction(f"orders with numbers that are not finite for {self.spec.name}; allowed: finite numbers")
        if self._tcp_control:
            self._law.order(self._index(np.flatnonzero(acting)), target)
        else:
            self._targets[acting, : self.spec.dof] = np.clip(target, self._q_low, self._q_high)  # the arm's own limit
        if self._fingers:  # their targets run ahead no faster than the gripper can
            reached = self._targets[acting, -1]
            ahead = np.clip(gripper * self._stroke - reached, -self._finger_step, self._finger_step)
            self._targets[acting, -self._fingers :] = (reached + ahead)[:, None]
        self._aim(physics)
        return physics

    def _aim(self, physics: Physics) -> None:
        self._aimed = tensor(self._targets, self._device)
        physics.aim(self._aimed.float())

    def _advance(self, physics: Physics) -> tuple[Tensor, Tensor]:
        """Integrate one control period. Torques (n, dof) N m of the motors at its end, contact wrench (n, 6) N, N m."""
        most = self._most - self._weight.abs()
        torque = total = torch.zeros_like(self._weight)
        if self._contact is not None:
            self._contact.begin(physics.tip())
        q, dq = self._joints(physics), self._dq
        for _ in range(self._substeps):
            frames = self._chain.frames(q)
            if self._tcp_control:
                torque = torch.clamp(self._law.torque(frames, self._chain.jacobian(frames), dq), -most, most)
            physics.step(torque if self._friction is None else torque + self._friction.torque(q))
            before, q = q, self._joints(physics)
            dq = (q - before) / self._dt
            if self._contact is not None:
                self._contact.add(physics.carried(), frames)
            else:
                total = total + self._motors(q, dq, torque)
        self._dq = dq
        frames = self._chain.frames(q)
        if self._contact is not None:
            wrench = self._contact.mean(physics.tip(), frames.points[:, -1], self._substeps * self._dt)
        else:  # what the motors give beyond the arm's weight holds the contact
            wrench = torch.linalg.solve(self._chain.jacobian(frames).mT, -total / self._substeps)
        return self._motors(q, dq, torque), wrench

    def _joints(self, physics: Physics) -> Tensor:
        """Positions (n, dof) rad of the arms' joints now. Their speeds are those of the way made, as on the CPU."""
        return physics.joints()[:, : self.spec.dof].double()

    def _motors(self, q: Tensor, dq: Tensor, torque: Tensor) -> Tensor:
        """Torques (n, dof) N m of the motors, without gravity's share; a null-space spring is none of theirs."""
        stiffness, damping = self._gains
        if not self._tcp_control:
            return stiffness * (self._aimed[:, : self.spec.dof] - q) - damping * dq
        return torque if self._contact is not None else torque - damping * dq

    def _measure(self, motors: Tensor, wrench: Tensor, fresh: Bool) -> None:
        """Bring what is known of the arms `fresh` (n,) to the host, in one copy."""
        dof, moving = self.spec.dof, self._built().moving()
        q, dq = moving.q.double(), self._dq
        frames = self._chain.frames(q[:, :dof])
        self._weight = self._chain.weight(frames)
        velocity = (self._chain.jacobian(frames) @ dq[:, :, None])[..., 0]
        gripper = q[:, dof:].sum(-1, keepdim=True) / self.spec.gripper.width
        tool = frames.points[:, -1], frames.turns[:, -1].flatten(1)
        poses = moving.objects[..., :7].double().flatten(1)
        rows = torch.cat([q[:, :dof], dq, motors + self._weight, *tool, velocity, wrench, gripper, poses], dim=-1)
        self._numbers = np.where(fresh[:, None], rows.cpu().numpy(), self._numbers)

    def _time(self) -> F64:
        return self._periods * self._substeps * self._dt

    def _states(self) -> RobotState:
        """All states (n, ...); of arms that were never reset, zeros."""
        self._built()
        dof, sizes = self.spec.dof, (3, 9, 6, 6, 1)
        ends = np.cumsum([dof, dof, dof, *sizes])
        q, dq, tau, point, turn, velocity, wrench, gripper, _ = (x.copy() for x in np.split(self._numbers, ends, axis=-1))
        at = np.concatenate([point, pose.from_matrix(turn.reshape(-1, 3, 3))], axis=-1)
        tcp = np.where(self._ready[:, None], pose.to_chart(at), 0.0)
        return RobotState(self._time(), q, dq, tau, tcp, velocity, wrench, gripper[:, 0])
