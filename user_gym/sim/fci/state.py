"""Writes the state datagram of an FCI twin. The bytes stay in place; only what changes is written."""

from __future__ import annotations

import numpy as np

from user_gym.core import F64
from user_gym.robots.wire.fci import Controller, Generator, Version
from user_gym.sim.fci.motion import Motions
from user_gym.sim.fci.reference import elbow


class State:
    """A datagram of one version, and live views of its fields."""

    def __init__(self, version: Version) -> None:
        self.bytes = bytearray(version.state.itemsize)
        record = np.frombuffer(self.bytes, version.state).reshape(())
        self._fields = {name: record[name] for name in version.state.names or ()}
        self._tau = np.zeros(7)

    def configure(self, motions: Motions) -> None:
        """Write what only setters change."""
        tool, f = motions.tool, self._fields
        f["F_T_EE"][...], f["EE_T_K"][...] = _columns(tool.f_t_ee), _columns(tool.ee_t_k)
        f["F_T_NE"][...], f["NE_T_EE"][...] = _columns(tool.f_t_ne), _columns(tool.ne_t_ee)
        f["m_ee"][...], f["F_x_Cee"][...], f["I_ee"][...] = tool.mass, tool.com, _columns(tool.inertia)
        f["m_load"][...], f["F_x_Cload"][...], f["I_load"][...] = tool.load_mass, tool.load_com, _columns(tool.load_inertia)

    def write(self, message_id: int, motions: Motions) -> bytearray:
        """The state of this moment; the same bytearray each time."""
        f, body = self._fields, motions.body
        f["message_id"][...] = message_id
        f["O_T_EE"][...] = _columns(body.frame(motions.tool.ee))
        f["q"][...] = f["theta"][...] = body.q
        f["dq"][...] = f["dtheta"][...] = body.dq
        tau = body.tau
        f["dtau_J"][...] = (tau - self._tau) * 1000.0
        f["tau_J"][...] = tau
        self._tau[:] = tau
        f["tau_J_d"][...] = motions.control.tau
        f["elbow"][...] = elbow(body.q)
        self._write_reference(motions)
        f["tau_ext_hat_filtered"][...] = body.tau_ext
        f["O_F_ext_hat_K"][...] = body.wrench
        if body.wrench.any():
            turn = body.frame(motions.tool.k)[:3, :3].T
            f["K_F_ext_hat_K"][:3], f["K_F_ext_hat_K"][3:] = turn @ body.wrench[:3], turn @ body.wrench[3:]
        else:
            f["K_F_ext_hat_K"][...] = 0.0
        contact = motions.contact
        f["joint_contact"][...], f["joint_collision"][...] = contact.joint_contact, contact.joint_collision
        f["cartesian_contact"][...], f["cartesian_collision"][...] = contact.axis_contact, contact.axis_collision
        motion = motions.motion
        f["motion_generator_mode"][...] = Generator.IDLE if motion is None else motion.generator
        f["controller_mode"][...] = Controller.NONE if motion is None else motion.controller
        f["robot_mode"][...] = motions.mode
        f["errors"][...], f["reflex_reason"][...] = motions.errors, motions.reason
        f["control_command_success_rate"][...] = motions.success_rate
        return self.bytes

    def _write_reference(self, motions: Motions) -> None:
        f, reference = self._fields, motions.reference
        f["q_d"][...], f["dq_d"][...], f["ddq_d"][...] = reference.q, reference.dq, reference.ddq
        f["O_T_EE_d"][...] = f["O_T_EE_c"][...] = _columns(reference.pose)
        f["O_dP_EE_d"][...] = f["O_dP_EE_c"][...] = reference.twist
        f["O_ddP_EE_c"][...] = reference.acceleration
        f["elbow_d"][...] = f["elbow_c"][...] = reference.elbow
        f["O_ddP_O"][2] = -motions.body.spec.gravity


def _columns(matrix: F64) -> F64:
    """A matrix as a vector, column after column."""
    return matrix.ravel(order="F")
