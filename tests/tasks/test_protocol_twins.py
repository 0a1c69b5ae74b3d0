"""The real ids of the tasks over protocol twins: the same expert, vendors' bytes in between, and the same rule."""

import itertools
import os

import gymnasium as gym
import pytest

import user_gym  # noqa: F401
from user_gym.sim.twin_process import TwinProcess
from user_gym.tasks.cap_tighten_expert import CapTightenExpert
from user_gym.tasks.charger_expert import ChargerExpert
from user_gym.tasks.pick_place_expert import PickPlaceExpert
from user_gym.tasks.table_cleanup_expert import TableCleanupExpert

EXPERTS = {
    "Charger": ChargerExpert,
    "CapTighten": CapTightenExpert,
    "PickPlace": PickPlaceExpert,
    "TableCleanup": TableCleanupExpert,
}
FCI, CAN = "user_gym.sim.fci.twin:FciTwin", "user_gym.sim.can.twin:CanTwin"
_places = itertools.count(1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine of its own, whose operator approves."""
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_APPROVE", "1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "robot"),
    [
        ("Charger", "arx-x5"),
        ("CapTighten", "franka-fr3"),
        ("CapTighten", "arx-x5"),
        ("PickPlace", "franka-fr3"),
        ("PickPlace", "arx-x5"),
        ("TableCleanup", "franka-fr3"),
        ("TableCleanup", "arx-x5"),
    ],
)
def test_the_expert_does_the_task_on_a_twin_behind_the_real_driver(tmp_path, task, robot) -> None:
    pytest.importorskip("franky" if robot.startswith("franka") else "can", reason="comes with the extra 'vendors'")
    pid = os.getpid()
    franka = robot.startswith("franka")
    address = f"127.{200 + pid // 250 % 50}.{1 + pid % 250}.{next(_places)}" if franka else f"seqpacket:{tmp_path}/can"
    options = {"address": address} if franka else {"bus": address}
    with TwinProcess(FCI if franka else CAN, robot, {**options, "mode": "gated"}, task=task) as twin:
        env = gym.make(f"User/{task}-real-v0", robot=robot, address=address, twin=twin.side)
        expert = EXPERTS[task](env.unwrapped.task)
        expert.watch(lambda: env.unwrapped.scene)
        env.reset(seed=1)
        expert.reset()
        over, info = False, {}
        while not over:
            *_, terminated, truncated, info = env.step(expert.action(env.unwrapped.state))
            over = terminated or truncated
        env.close()
    assert info["is_success"]
