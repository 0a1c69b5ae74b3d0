"""Masses joined to links are those that MuJoCo's compiler finds for the same arm, task and bodies."""

import mujoco
import numpy as np
import pytest

from user_gym.core import Body, Shape
from user_gym.robots import pose, specs
from user_gym.sim.plant import compile_plant
from user_gym.tasks.peg_insert import PegInsert
from user_gym.tasks.pick_place import PickPlace

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

from user_gym.sim.bodies import held_width
from user_gym.sim.maniskill import bodies, inertia


def tensor(mass_pose_moments) -> np.ndarray:
    turn = pose.matrix(mass_pose_moments.pose[3:])
    return turn @ np.diag(mass_pose_moments.moments) @ turn.T


@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"])
@pytest.mark.parametrize("make", [PegInsert, PickPlace])
def test_the_last_link_weighs_what_it_weighs_in_mujoco(robot, make) -> None:
    spec = specs.spec(robot)
    task = make(spec)
    model = compile_plant(spec, task, "tcp", 0.004).model
    body = model.body(f"link{spec.dof}")
    parts = bodies.tool_parts(spec, task, held_width(task))
    tcp = pose.compose(spec.flange, spec.tcp)
    ours = inertia.principal(inertia.joined([inertia.link(spec, spec.dof), *(inertia.moved(p, tcp) for p in parts)]))
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, body.iquat)
    theirs = turn.reshape(3, 3) @ np.diag(body.inertia) @ turn.reshape(3, 3).T
    assert ours.mass == pytest.approx(float(body.mass[0]), rel=1e-9)
    assert ours.pose[:3] == pytest.approx(body.ipos, abs=1e-9)
    assert tensor(ours) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("kind", ["box", "sphere", "ellipsoid", "cylinder"])
def test_a_solid_turns_as_mujocos_does(kind) -> None:
    size = {"box": (0.01, 0.02, 0.03), "sphere": (0.02,), "ellipsoid": (0.01, 0.02, 0.03), "cylinder": (0.01, 0.03)}[kind]
    spec = mujoco.MjSpec()
    solid = spec.worldbody.add_body(name="solid")
    solid.add_freejoint()
    solid.add_geom(type=getattr(mujoco.mjtGeom, f"mjGEOM_{kind.upper()}"), size=(*size, 0, 0)[:3], mass=0.3)
    body = spec.compile().body("solid")
    part = inertia.body(Body("solid", "free", (Shape(kind, size, np.array([0, 0, 0, 0, 0, 0, 1.0])),), mass=0.3))
    assert sorted(np.diag(part.inertia)) == pytest.approx(sorted(body.inertia), rel=1e-6)


def test_moments_that_no_body_has_become_their_mean() -> None:
    part = inertia.part(1.0, np.zeros(3), np.array([1.0, 1.0, 3.0, 0, 0, 0]))
    assert inertia.principal(part).moments == pytest.approx([5 / 3] * 3)
