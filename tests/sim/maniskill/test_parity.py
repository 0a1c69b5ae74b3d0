"""What runs in MuJoCo runs in PhysX unchanged, and meets about the same forces there."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from user_gym.core import Command
from user_gym.ids import IDS
from user_gym.robots import reach, registry, specs
from user_gym.tasks.peg_insert import FRICTION, PegInsert

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

from user_gym.sim.maniskill.law import drives
from user_gym.sim.maniskill.world import World

TASKS = [task for task, backend, *_ in IDS.values() if backend == "maniskill"]


def both(task, **options):
    return [gym.make(f"User/{task}-{backend}-v0", **options) for backend in ("maniskill", "sim")]


def arms(robot):
    """A peg above the board's rim, beside the hole, in either simulator; and where it starts."""
    spec = specs.spec(robot)
    task = PegInsert(spec)
    start = replace(task.start(np.random.default_rng(0)), tcp=task.goal + [0.03, 0, 0.04, 0, 0, 0.2], seed=3)
    made = [registry.load(robot, backend)(spec, task, "tcp").robot for backend in ("maniskill", "sim")]
    for arm in made:
        arm.connect()
        arm.reset(start)
    return made, start.tcp


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
@pytest.mark.parametrize("task", TASKS)
def test_spaces_and_infos_are_the_mujoco_twins(task, robot, control) -> None:
    one, other = both(task, robot=robot, control=control)
    assert one.observation_space == other.observation_space
    assert one.action_space == other.action_space
    assert one.spec.max_episode_steps == other.spec.max_episode_steps
    (a, said), (b, says) = (env.reset(seed=4) for env in (one, other))
    assert np.abs(a["state"] - b["state"]).max() < 1e-3  # the same start, of the same seed
    assert said.keys() == says.keys()
    assert {key: type(value) for key, value in said.items()} == {key: type(value) for key, value in says.items()}
    action = np.full(one.action_space.shape, 0.1, np.float32)
    said, says = (env.step(action)[4] for env in (one, other))
    assert said.keys() == says.keys()
    assert {key: type(value) for key, value in said.items()} == {key: type(value) for key, value in says.items()}


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_a_batch_has_the_mujoco_batchs_infos(robot) -> None:
    one, other = (gym.make_vec(f"User/PegInsert-{backend}-v0", 2, robot=robot) for backend in ("maniskill", "sim"))
    assert one.observation_space == other.observation_space
    assert one.reset(seed=0)[1].keys() == other.reset(seed=0)[1].keys()
    assert one.step(one.action_space.sample())[4].keys() == other.step(other.action_space.sample())[4].keys()
    for env in (one, other):
        env.close()


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_an_order_moves_both_simulators_arms_alike(robot) -> None:
    (physx, mujoco), tcp = arms(robot)
    target = tcp + [-0.015, 0.01, 0.01, 0, 0, 0.05]
    for _ in range(8):
        a, b = (arm.exchange(Command(0.0, tcp=target)) for arm in (physx, mujoco))
        assert np.abs(a.tcp - b.tcp)[:3].max() < 0.0025
        assert np.abs(a.tcp - b.tcp)[3:].max() < 0.02
        assert np.abs(a.velocity - b.velocity)[:3].max() < 0.03
        assert np.abs(a.velocity - b.velocity)[3:].max() < 0.1


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_joint_speeds_are_those_of_the_way_made(robot, control) -> None:
    """PhysX's default solver tells others where a joint's drive damps."""
    spec = specs.spec(robot)
    task = PegInsert(spec)
    start = task.start(np.random.default_rng(0))
    q = reach.solve(spec, start.tcp)
    world = World(spec, task, 0.004, drives(spec, control), q, 0.0, start.objects, start.joints)
    world.aim(q - 0.1)
    before = after = speeds = np.zeros(spec.dof)
    for _ in range(10):
        before = world.joints()[0]
        world.step(np.full(spec.dof, -1.0))
        after, speeds = world.joints()
    assert np.abs(speeds).max() > 0.05
    assert (after - before) / 0.004 == pytest.approx(speeds, abs=1e-3)


def test_a_dragged_peg_feels_weight_and_friction_as_in_mujoco() -> None:
    """PhysX does not tell friction; it has to be found in what the last joint carries."""
    (physx, mujoco), tcp = arms("franka-fr3")
    down = tcp - [0, 0, 0.022, 0, 0, 0]
    for k in range(12):
        down[0] += 0.004 * (k == 6)
        a, b = (arm.exchange(Command(0.0, tcp=down)).wrench for arm in (physx, mujoco))
    assert a[2] == pytest.approx(b[2], rel=0.1)
    assert a[0] / a[2] == pytest.approx(-FRICTION, abs=0.03)  # it slides forwards
    assert a[0] == pytest.approx(b[0], rel=0.15)
    assert np.abs(a[3:] - b[3:]).max() < 0.15


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_there_is_no_contact_in_a_free_start_and_stop(robot) -> None:
    """What accelerates the tool is none; an arm that measures its motors' torques feels its own inertia and dry friction."""
    (physx, _), tcp = arms(robot)
    felt = [physx.exchange(Command(0.0, tcp=tcp + [0, 0, 0.02, 0, 0, 0])).wrench for _ in range(10)]
    assert np.abs(felt)[:, :3].max() < (0.1 if robot == "franka-fr3" else 6.5)


def test_equal_seeds_give_equal_dry_friction() -> None:
    env = gym.make("User/PegInsert-maniskill-v0", robot="arx-x5")
    ends = []
    for seed in (1, 1, 2):
        env.reset(seed=seed, options={"tcp": env.unwrapped.task.goal + [0, 0, 0.05, 0, 0, 0]})
        for _ in range(3):
            end = env.step(np.full(6, 0.5, np.float32))[0]["state"]
        ends.append(end)
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
