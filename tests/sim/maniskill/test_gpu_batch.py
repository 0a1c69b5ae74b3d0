"""Arms stepped together by tensors do what arms alone do in numpy: a GPU's batch, over scenes on the CPU."""

from dataclasses import fields, replace

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import cpu_scenes
import fake_gpu

from user_gym.core import Cell, Command, RobotState, Start
from user_gym.errors import RobotFault
from user_gym.robots import dynamics, kinematics, registry, specs
from user_gym.sim.maniskill.gpu import physx_gpu
from user_gym.sim.maniskill.gpu.chain import Chain, tensor
from user_gym.sim.maniskill.gpu.physics import Moving
from user_gym.sim.maniskill.twins import SapienTwins
from user_gym.tasks.peg_insert import PegInsert
from user_gym.tasks.pick_place import PickPlace
from user_gym.tasks.pick_place_expert import PickPlaceExpert
from user_gym.testing.batch_suite import BatchSuite

N = 3
EVERYONE, SOME = np.ones(N, bool), np.array([True, False, True])
# The same forces in another order of sums; what is stiff and touches makes more of that.
NEAR = {"q": 1e-4, "dq": 0.02, "tau": 0.2, "tcp": 1e-4, "velocity": 0.02, "wrench": 0.2, "gripper": 1e-4, "time": 1e-9}


class Together(BatchSuite):
    backend, tolerance = "maniskill", 1e-3

    def make_batch(self, task, count, control="tcp") -> Cell:
        arms = cpu_scenes.twins(specs.spec(self.robot), task, control, count)
        return Cell(robot=arms, scene=arms, cameras={})


class TestFrankasTogether(Together):
    robot = "franka-fr3"


class TestX5sTogether(Together):
    robot = "arx-x5"


@pytest.fixture(autouse=True)
def no_cuda(monkeypatch) -> None:
    monkeypatch.setattr(physx_gpu.sapien, "CudaArray", fake_gpu.Array)


def starts(task, seed=0) -> Start:
    rows = [task.start(np.random.default_rng(seed + i)) for i in range(N)]
    columns = {key: np.stack([getattr(row, key) for row in rows]) for key in ("tcp", "objects", "progress")}
    return Start(gripper=np.array([row.gripper for row in rows], float), seed=np.arange(N) + seed, **columns)


@pytest.mark.parametrize("make", [cpu_scenes.twins, fake_gpu.twins], ids=["scenes", "fake GPU"])
@pytest.mark.parametrize(
    ("robot", "control", "task"),
    [
        ("franka-fr3", "tcp", PickPlace),
        ("arx-x5", "tcp", PickPlace),
        ("arx-l5", "joint", PickPlace),
        ("franka-fer", "tcp", PegInsert),
    ],
)
def test_fingers_objects_and_resets_of_some_are_those_of_arms_alone(make, robot, control, task) -> None:
    """Random orders to all or some, and a new start for some amid them."""
    spec = specs.spec(robot)
    task = task(spec)
    arms = [make(spec, task, control, N), SapienTwins(spec, task, control, N, 0.004)]
    for one in arms:
        one.connect()
    a, b = (one.reset(EVERYONE, starts(task)) for one in arms)
    rng = np.random.default_rng(1)
    for period in range(12):
        if period == 7:
            a, b = (one.reset(SOME, starts(task, 50)) for one in arms)
        order = b.tcp + rng.uniform(-0.02, 0.02, (N, 6)) if control == "tcp" else b.q + rng.uniform(-0.02, 0.02, b.q.shape)
        command = Command(rng.uniform(size=N), **{"tcp" if control == "tcp" else "joints": order})
        a, b = (one.exchange(command, SOME if period % 4 == 2 else None) for one in arms)
        for name, most in NEAR.items():
            assert np.abs(getattr(a, name) - getattr(b, name)).max() < most, (period, name)
        seen, truth = (one.observe() for one in arms)
        assert np.abs(seen.poses - truth.poses).max() < 1e-4
        assert np.array_equal(seen.time, truth.time)
    for one in arms:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_an_expert_puts_the_duck_into_the_box(robot, monkeypatch) -> None:
    """With the coarser ellipsoids that a GPU takes, as an environment."""
    monkeypatch.setitem(registry.BATCH_BACKENDS, ("*", "scenes"), "cpu_scenes:build_batch")  # pyright: ignore[reportArgumentType]
    env = gym.make_vec("User/PickPlace-maniskill-v0", N, robot=robot, backend="scenes")
    arms, hands = env.unwrapped, [PickPlaceExpert(env.unwrapped.task, 0.0, i) for i in range(N)]
    env.reset(seed=3)
    for i, hand in enumerate(hands):
        hand.watch(lambda i=i: replace(arms.scene, poses=arms.scene.poses[i]))
    won = np.zeros(N, bool)
    for _ in range(90):
        rows = [RobotState(**{f.name: getattr(arms.state, f.name)[i] for f in fields(RobotState)}) for i in range(N)]
        _, _, _, _, info = env.step(np.stack([hand.action(row) for hand, row in zip(hands, rows, strict=True)]))
        won |= info["is_success"]
    assert won.all()
    env.close()


def test_a_chain_is_the_arms_kinematics_and_weight() -> None:
    for robot in ("franka-fr3", "arx-x5"):
        spec = specs.spec(robot)
        carried = dynamics.Payload(0.3, 0.01, -0.02, 0.03)
        q = np.random.default_rng(0).uniform(spec.q_min, spec.q_max, (5, spec.dof))
        chain = Chain(spec, carried, cpu_scenes.CPU)
        frames = chain.frames(tensor(q, cpu_scenes.CPU))
        jacobian, weight = chain.jacobian(frames).numpy(), chain.weight(frames).numpy()
        for i, row in enumerate(q):
            alone = kinematics.linearise(spec, row)
            assert frames.points[i, -1].numpy() == pytest.approx(alone.point, abs=1e-12)
            assert frames.turns[i, -1].numpy() == pytest.approx(alone.turn, abs=1e-12)
            assert jacobian[i] == pytest.approx(alone.jacobian, abs=1e-12)
            assert weight[i] == pytest.approx(dynamics.gravity(spec, row, carried), abs=1e-12)


def test_an_arm_that_diverges_is_named_and_the_others_go_on() -> None:
    spec = specs.spec("arx-x5")
    task = PegInsert(spec)
    arms = cpu_scenes.twins(spec, task, "tcp", N)
    arms.connect()
    first = arms.reset(EVERYONE, starts(task))
    still = Command(np.zeros(N), tcp=first.tcp)
    now = Moving(*(x[1:2] for x in arms._physics.moving()))
    arms._physics.place(torch.tensor([1]), now._replace(dq=now.dq * torch.nan))
    with pytest.raises(RobotFault, match=r"arms \[1\]"):
        arms.exchange(still)
    assert np.isfinite(arms.exchange(still, SOME).q[SOME]).all()
    assert np.isfinite(arms.reset(EVERYONE, starts(task)).q).all()
    assert np.isfinite(arms.exchange(still).q).all()
