"""Where a task's objects are at an episode's start, written into MuJoCo's arrays. One formula for every twin."""

from __future__ import annotations

from typing import Any, NamedTuple

from user_gym.core import F64, Body
from user_gym.sim.arm import wxyz
from user_gym.sim.bodies import lead_of


class Placing(NamedTuple):
    """Which entries of a model's arrays a `Start` sets."""

    stand: tuple[str, ...]  # "table" and "free" bodies, in the order of Start.objects
    mocap: dict[str, int]  # "table" bodies -> mocap index
    qpos: dict[str, int]  # "free" bodies -> address in qpos
    joints: tuple[tuple[tuple[int, float], ...], ...]  # for each of Start.joints: addresses in qpos, and m or rad there a unit

    def place(self, qpos: F64, mocap_pos: F64, mocap_quat: F64, objects: F64, joints: F64) -> None:
        """Write one row.

        Args:
            qpos: (nq,) of the simulation, overwritten where objects are.
            mocap_pos: (m, 3), overwritten.
            mocap_quat: (m, 4), overwritten.
            objects: (k, 7) as in Start.
            joints: (j,) as in Start.
        """
        for name, at in zip(self.stand, objects, strict=True):
            if name in self.mocap:
                m = self.mocap[name]
                mocap_pos[m], mocap_quat[m] = at[:3], wxyz(at[3:])
            else:
                q = self.qpos[name]
                qpos[q : q + 3], qpos[q + 3 : q + 7] = at[:3], wxyz(at[3:])
        for addresses, value in zip(self.joints, joints, strict=True):
            for address, unit in addresses:
                qpos[address] = value * unit


def placing(model: Any, bodies: tuple[Body, ...]) -> Placing:
    """Find the bodies of a task in its compiled model (an MjModel)."""
    joints = []
    for body in bodies:
        if body.joint is not None:
            entries = [(_address(model, body.name), 1.0)]
            if body.joint.kind == "screw":
                entries.append((_address(model, f"{body.name}_lead"), lead_of(body.joint)))
            joints.append(tuple(entries))
    return Placing(
        stand=tuple(b.name for b in bodies if b.mount in ("table", "free")),
        mocap={b.name: int(model.body(b.name).mocapid[0]) for b in bodies if b.mount == "table"},
        qpos={b.name: _address(model, f"{b.name}_free") for b in bodies if b.mount == "free"},
        joints=tuple(joints),
    )


def _address(model: Any, joint: str) -> int:
    return int(model.joint(joint).qposadr[0])
