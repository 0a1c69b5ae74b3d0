"""What v0 means does not change. If this fails, either undo the change or register v1 beside v0: see docs/ids.md."""

import hashlib
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import user_gym.interface
from user_gym.ids import IDS
from user_gym.robots import specs
from user_gym.robots.registry import ENV_OPTIONS
from user_gym.tasks import peg_insert
from user_gym.testing.env_suite import RESET_INFO, STEP_INFO

GOLDEN = "49876fdf5cc086139ca7866ac49a853114daad80af14390d4d3a03038fcf284d"
ROBOTS = ("arx-l5", "arx-x5", "franka-fer", "franka-fr3")


def numbers(values) -> list[str]:
    """Numbers as text with nine digits: rounding of the last bits between machines is no change of meaning."""
    return [f"{float(v):.9g}" for v in np.asarray(values, float).ravel()]


def space(box: gym.spaces.Box) -> dict:
    bounds = {"low": numbers(box.low), "high": numbers(box.high)} if box.dtype != np.uint8 else {"low": ["0"], "high": ["255"]}
    return {"shape": list(box.shape), "dtype": str(box.dtype), **bounds}


def meaning(id: str, **options) -> dict:
    """All that a policy trained on an id relies on."""
    env = gym.make(id, **options)
    task, spec = env.unwrapped.task, env.unwrapped.spec_of_robot
    force = spec.compliance.stiffness * spec.compliance.error_clip
    described = {
        "observation": {name: space(box) for name, box in env.observation_space.items()},  # names in their order
        "action": space(env.action_space),
        "action scale": numbers(task.action_scale if options["control"] == "tcp" else [user_gym.interface.JOINT_STEP]),
        "workspace": [numbers(task.workspace.low), numbers(task.workspace.high)],
        "origin": numbers(task.goal),
        "force unit": numbers(force),
        "joint range": [numbers(spec.q_min), numbers(spec.q_max)],
        "cameras": [[c.name, c.mount, numbers(c.pose), numbers([c.fovy]), c.height, c.width] for c in spec.cameras],
        "rate": task.rate,
        "steps": env.spec.max_episode_steps,
        "moves gripper": task.moves_gripper,
        "info": [sorted(STEP_INFO), sorted(RESET_INFO)],
    }
    env.close()
    return described


def everything() -> dict:
    rule = {
        name: getattr(peg_insert, name) for name in ("PEG_WIDTH", "PEG_LENGTH", "CLEARANCE", "HOLE_DEPTH", "RIM", "CHAMFER")
    }
    rule |= {"depth share": peg_insert.DEPTH_SHARE, "inside": peg_insert.INSIDE, "reward": "1 at success, else 0"}
    kinds = {
        f"{id} {robot} {obs} {control}": meaning(id, robot=robot, obs=obs, control=control)
        for id in sorted(IDS)
        for robot in ROBOTS
        for obs in ("state", "pixels")
        for control in ("tcp", "joint")
    }
    return {"rule": rule, "hole offset": 0.001, "kinds": kinds}


def digest(described: dict) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=False, separators=(",", ":")).encode()).hexdigest()


def test_v0_means_what_it_meant() -> None:
    assert digest(everything()) == GOLDEN, "what v0 means has changed: a change is v1 (docs/ids.md)"


def test_the_robots_of_the_hash_are_all_we_have() -> None:
    assert set(specs.SPECS) == set(ROBOTS)


@pytest.mark.parametrize("name", ["JOINT_STEP", "SLACK", "SPEED", "FORCE"])
def test_a_change_of_a_scale_or_bound_changes_the_hash(monkeypatch, name) -> None:
    options = {"robot": "franka-fr3", "obs": "state", "control": "joint"}
    before = digest(meaning("User/PegInsert-sim-v0", **options))
    monkeypatch.setattr(user_gym.interface, name, getattr(user_gym.interface, name) * 1.01)
    assert digest(meaning("User/PegInsert-sim-v0", **options)) != before


def test_the_reward_rule_is_the_documented_one() -> None:
    """The tip 80 % of 25 mm below the rim, and less than 2 mm off the hole's axis; a resting peg is no success."""
    from user_gym.core import RobotState, Scene
    from user_gym.tasks.peg_insert import PegInsert

    spec = specs.spec("franka-fr3")
    task = PegInsert(spec)
    hole = np.array([[spec.work_point[0] + 0.0005, spec.work_point[1], 0.03, 0, 0, 0, 1.0]])
    scene = Scene(("board",), hole, np.ones(1, bool), "sim", 0.0)

    def judged(depth: float, aside: float = 0.0) -> tuple[float, bool]:
        tcp = np.array([hole[0, 0] + aside, hole[0, 1], 0.03 + 0.05 - depth, 0, 0, 0])
        zero = np.zeros(7)
        verdict = task.judge(RobotState(0.0, zero, zero, zero, tcp, np.zeros(6), np.zeros(6), 0.0), scene, np.zeros(0))
        return float(verdict.reward), bool(verdict.success)

    assert judged(0.0201) == (1.0, True)
    assert judged(0.0199) == (0.0, False)
    assert judged(0.0) == (0.0, False)  # on the board
    assert judged(0.0201, aside=0.0021) == (0.0, False)  # beside the hole


def test_the_page_names_every_key_option_and_id() -> None:
    page = (Path(__file__).parents[1] / "docs" / "ids.md").read_text()
    for name in (*STEP_INFO, *RESET_INFO, *IDS, *ROBOTS, *ENV_OPTIONS, "hole_offset", "success", "reset_mask", "final_obs"):
        assert f"`{name}`" in page or f'"{name}"' in page, name
