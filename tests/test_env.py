"""The single environment where it goes beyond what the suite in user_gym.testing asks of every id."""

import hashlib
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import BadOption
from user_gym.tasks.expert import PegInsertExpert

ID = "User/PegInsert-sim-v0"


@pytest.fixture
def env():
    env = gym.make(ID)
    yield env
    env.close()


def fresh(code: str) -> str:
    """What a new interpreter prints; warnings are errors there."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_id_works_without_an_import_by_its_module() -> None:
    assert "franka-fr3" in fresh(f"import gymnasium as gym\nprint(gym.make('user_gym:{ID}').unwrapped.spec_of_robot.name)")


def test_registering_twice_says_nothing() -> None:
    code = "import importlib, user_gym, user_gym.ids\nuser_gym.ids.register()\nimportlib.reload(user_gym)\nprint('quiet')"
    assert fresh(code).strip() == "quiet"


def test_constructing_loads_no_graphics_and_opens_nothing() -> None:
    code = f"import sys, gymnasium as gym, user_gym\ngym.make('{ID}', obs='pixels')\nprint('OpenGL' in sys.modules)"
    assert fresh(code).strip() == "False"


def test_the_spec_says_what_v0_is() -> None:
    spec = gym.spec(ID)
    assert (spec.namespace, spec.name, spec.version) == ("User", "PegInsert-sim", 0)
    assert spec.max_episode_steps == 100
    assert spec.nondeterministic is False
    assert spec.vector_entry_point is not None


@pytest.mark.parametrize("robot", ["franka-fr3", "arx-x5"])
def test_the_expert_succeeds_and_the_episode_terminates(robot) -> None:
    env = gym.make(ID, robot=robot)
    expert = PegInsertExpert(env.unwrapped.task)
    env.reset(seed=2)
    for _ in range(100):
        _, reward, terminated, truncated, info = env.step(expert.action(env.unwrapped.state))
        if terminated or truncated:
            break
    assert (reward, terminated, truncated, info["is_success"]) == (1.0, True, False, True)
    env.close()


def test_a_start_can_be_chosen_and_draws_the_same_numbers(env) -> None:
    goal = env.unwrapped.task.goal
    tcp = goal + np.array([0.01, -0.02, 0.05, 0.0, 0.0, 0.1])
    env.reset(seed=0, options={"tcp": tcp})
    chosen = env.unwrapped.scene
    assert np.allclose(env.unwrapped.state.tcp, tcp, atol=1e-5)
    env.reset(seed=0)
    assert not np.allclose(env.unwrapped.state.tcp, tcp, atol=1e-3)
    assert np.array_equal(env.unwrapped.scene.poses, chosen.poses)


@pytest.mark.parametrize(
    "options",
    [{"tcp": np.zeros(6)}, {"tcp": [0.5, 0.0]}, {"tcp": ["a"] * 6}, {"tcp": np.full(6, np.nan)}, {"start": 1}],
    ids=["outside", "short", "words", "nan", "unknown"],
)
def test_a_refused_reset_changes_nothing(env, options) -> None:
    env.reset(seed=0)
    before = env.unwrapped.state
    with pytest.raises(BadOption, match="tcp"):
        env.reset(seed=99, options=options)
    assert env.unwrapped.state is before
    other = gym.make(ID)
    other.reset(seed=0)
    assert np.array_equal(env.reset()[0]["state"], other.reset()[0]["state"])


def test_the_hole_is_where_the_difficulty_says_and_the_observation_does_not_tell() -> None:
    offsets, first = [], []
    for size in (0.0, 0.001, 0.003):
        env = gym.make(ID, hole_offset=size)
        first.append(env.reset(seed=0)[0]["state"])
        hole = env.unwrapped.scene.pose("board")
        offsets.append(np.hypot(*(hole[:2] - env.unwrapped.task.goal[:2])))
        env.close()
    assert offsets == pytest.approx([0.0, 0.001, 0.003], abs=1e-9)
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first[0], first[2])


def test_the_state_is_the_documented_vector(env) -> None:
    obs, _ = env.reset(seed=0)
    task, spec = env.unwrapped.task, env.unwrapped.spec_of_robot
    state = env.unwrapped.state
    for _ in range(12):  # down onto the board, so that there is a wrench to see
        obs, *_ = env.step(np.array([0.1, 0, -1, 0, 0, 0], np.float32))
    state = env.unwrapped.state
    force = spec.compliance.stiffness * spec.compliance.error_clip
    expected = np.concatenate(
        [(state.tcp - task.goal) / task.action_scale, state.velocity / (task.action_scale * 10), state.wrench / force, [-1.0]]
    )
    assert np.allclose(obs["state"], expected, atol=1e-5)
    assert np.abs(obs["state"][12:15]).max() > 0.1


def test_joints_are_appended_where_joints_are_controlled() -> None:
    env = gym.make(ID, control="joint")
    obs, _ = env.reset(seed=0)
    spec, q = env.unwrapped.spec_of_robot, env.unwrapped.state.q
    assert np.allclose(obs["state"][19:], (2 * q - spec.q_min - spec.q_max) / (spec.q_max - spec.q_min), atol=1e-5)
    env.close()


def test_pixels_do_not_tell_where_the_goal_is() -> None:
    env = gym.make(ID, obs="pixels")
    obs, _ = env.reset(seed=0)
    assert set(obs) == {"state", "wrist", "side"}
    assert np.array_equal(obs["state"][:6], np.zeros(6, np.float32))  # relative to the episode's own start
    env.close()


@pytest.mark.parametrize(("control", "step"), [("tcp", 0.02), ("joint", 0.05)])
def test_an_action_of_one_is_one_step_from_what_is_measured(control, step) -> None:
    env = gym.make(ID, control=control)
    env.reset(seed=0, options={"tcp": env.unwrapped.task.goal + np.array([0, 0, 0.05, 0, 0, 0])})
    action = np.zeros(env.action_space.shape, np.float32)
    action[0 if control == "tcp" else -1] = 0.5
    before = env.unwrapped.state
    info = env.step(action)[4]
    after = env.unwrapped.state
    field = "tcp" if control == "tcp" else "q"
    axis = 0 if control == "tcp" else -1
    moved = getattr(after, field)[axis] - getattr(before, field)[axis]
    assert 0.1 * step * 0.5 < moved < 1.1 * step * 0.5
    assert np.allclose(info["executed_action"], action, atol=1e-5)
    assert info["safety_clipped"] is False
    env.close()


def test_what_leaves_the_box_is_clipped_and_said_so(env) -> None:
    env.reset(seed=0)
    asked = np.array([0, 0, 1, 1, 0, 0], np.float32)  # the episode begins at the top of the box
    info = env.step(asked)[4]
    assert info["safety_clipped"] is True
    assert info["executed_action"][2] < 0.1
    assert info["executed_action"][3] == pytest.approx(0.1, abs=0.01)


def test_actions_beyond_one_move_no_farther_than_one() -> None:
    results = []
    for size in (1.0, 50.0):
        env = gym.make(ID)
        env.reset(seed=0)
        results.append(env.unwrapped.step(np.array([0, 0, -size, 0, 0, 0], np.float32)))
        env.close()
    assert np.array_equal(results[0][0]["state"], results[1][0]["state"])
    assert results[1][4]["executed_action"][2] == pytest.approx(-1.0)
    assert results[1][4]["safety_clipped"] is True


@pytest.mark.parametrize("dt", [0.001, 0.002, 0.004, 0.005])
def test_the_clock_does_not_depend_on_the_substep(dt) -> None:
    env = gym.make(ID, dt=dt)
    env.reset(seed=0)
    times = [env.step(np.zeros(6, np.float32))[4]["time"] for _ in range(3)]
    assert times == pytest.approx([0.1, 0.2, 0.3])
    env.close()


def test_a_picture_costs_the_physics_nothing() -> None:
    digests = []
    for mode in (None, "rgb_array"):
        env = gym.make(ID, render_mode=mode)
        env.reset(seed=3)
        states = []
        for _ in range(4):
            states.append(env.step(np.full(6, 0.2, np.float32))[0]["state"])
            if mode:
                env.render()
        digests.append(hashlib.sha256(np.stack(states).tobytes()).hexdigest())
        env.close()
    assert digests[0] == digests[1]


def test_gymnasiums_own_wrappers_go_around_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.wrappers.FlattenObservation(gym.wrappers.RecordEpisodeStatistics(gym.make(ID, max_episode_steps=3)))
        env.reset(seed=0)
        for _ in range(3):
            obs, _, _, _, info = env.step(env.action_space.sample())
    assert obs.shape == (19,)
    assert info["episode"]["l"] == 3
    env.close()
