"""The real ids of the tasks but peg insertion on an ideal arm, under the suite and both checkers."""

from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from user_gym.testing.env_suite import EnvSuite

TOY = {"address": "toy", "driver": "toy:ToyDriver", "driver_options": {"hurried": True}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine of its own, whose operator approves."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "real"))
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_APPROVE", "1")
    monkeypatch.delenv("USER_GYM_INVENTORY", raising=False)


class TestCharger(EnvSuite):
    id = "User/Charger-real-v0"
    kwargs: ClassVar = TOY
    deterministic = False
    draws = False
    alone = True


class TestCapTighten(TestCharger):
    id = "User/CapTighten-real-v0"


class TestPickPlace(TestCharger):
    id = "User/PickPlace-real-v0"


class TestTableCleanup(TestCharger):
    id = "User/TableCleanup-real-v0"
    extra_info = frozenset({"stage", "done_objects"})


def test_where_a_duck_is_nobody_knows_on_a_real_arm_and_its_observation_is_0() -> None:
    env = gym.make("User/PickPlace-real-v0", **TOY)
    obs, _ = env.reset(seed=0)
    scene = env.unwrapped.scene
    env.close()
    assert dict(zip(scene.names, scene.valid.tolist(), strict=True)) == {"duck": False, "box": True}
    assert not obs["state"][19:25].any()
    assert scene.pose("box")[:2] == pytest.approx(env.unwrapped.task.goal[:2])


def test_where_a_cap_is_nobody_knows_on_a_real_arm_unless_it_is_taught() -> None:
    env = gym.make("User/CapTighten-real-v0", **TOY)
    env.reset(seed=0)
    scene = env.unwrapped.scene
    env.close()
    assert dict(zip(scene.names, scene.valid.tolist(), strict=True)) == {"bottle": True, "cap": False}
    assert np.isnan(scene.pose("cap")).all()
    assert scene.pose("bottle")[:2] == pytest.approx(env.unwrapped.task.goal[:2], abs=1e-3)


def test_where_objects_and_a_lid_are_nobody_knows_on_a_real_arm() -> None:
    env = gym.make("User/TableCleanup-real-v0", **TOY)
    obs, _ = env.reset(seed=0)
    _, _, terminated, _, info = env.step(np.zeros(7, np.float32))
    scene = env.unwrapped.scene
    env.close()
    assert [name for name, valid in zip(scene.names, scene.valid.tolist(), strict=True) if valid] == ["box"]
    assert not obs["state"][19:43].any()
    assert (terminated, info["stage"], info["done_objects"]) == (False, 0, 0)


@pytest.mark.parametrize("task", ["Charger", "CapTighten", "PickPlace", "TableCleanup"])
def test_sim_and_real_have_the_same_spaces(task) -> None:
    sim, real = gym.make(f"User/{task}-sim-v0"), gym.make(f"User/{task}-real-v0", **TOY)
    assert sim.observation_space == real.observation_space
    assert sim.action_space == real.action_space
    sim.close()
    real.close()
