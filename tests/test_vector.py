"""The vector environment gives what single environments give, bit for bit, as Gymnasium's own vectoriser batches them."""

import hashlib
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401
from user_gym.core import RobotState
from user_gym.errors import BadOption, Closed, NotReset
from user_gym.tasks.expert import PegInsertExpert
from user_gym.testing.compare import assert_same

ID = "User/PegInsert-sim-v0"
N = 3
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


def ours(mode=NEXT, n=N, **options):
    return gym.make_vec(ID, n, autoreset_mode=mode, **options)


def theirs(mode=NEXT, n=N, **options):
    return gym.make_vec(ID, n, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options)


@pytest.fixture
def env():
    env = ours()
    yield env
    env.close()


def row(state, i):
    return RobotState(*(getattr(state, name)[i] for name in RobotState.__dataclass_fields__))


def pair(mode, **options):
    """Both vectorisers, and actions under which arm 0 succeeds and the others run into the time limit."""
    a, b = ours(mode, **options), theirs(mode, **{k: v for k, v in options.items() if k != "threads"})
    rng = np.random.default_rng(1)
    expert = PegInsertExpert(a.task) if options.get("control") != "joint" else None

    def act():
        actions = rng.uniform(-1, 1, a.action_space.shape).astype(np.float32)
        if expert is not None:
            actions[0] = expert.action(row(a.state, 0))
        return actions

    return a, b, act, (expert.reset if expert is not None else lambda: None)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda m: m.value)
def test_every_autoreset_mode_equals_gymnasiums_own_vectoriser(mode, threads) -> None:
    a, b, act, forget = pair(mode, threads=threads, max_episode_steps=40)
    assert_same(a.reset(seed=3), b.reset(seed=3))
    successes = cuts = 0
    for k in range(85):
        actions = act()
        x, y = a.step(actions), b.step(actions)
        assert_same(x, y, f"step {k}")
        done = x[2] | x[3]
        successes, cuts = successes + x[2].sum(), cuts + x[3].sum()
        if done[0]:
            forget()
        if mode is DISABLED and done.any():
            x, y = (v.reset(options={"reset_mask": done.copy()}) for v in (a, b))
            assert_same(x, y, f"reset after step {k}")
    assert successes >= 1
    assert cuts >= 2
    a.close()
    b.close()


def digest_of_an_episode(robot: str, obs: str) -> str:
    """Every bit of an episode and of the reset after it."""
    env = gym.make(ID, robot=robot, obs=obs)
    rng = np.random.default_rng(0)
    record = [env.reset(seed=123)]
    for _ in range(12):
        record.append(env.step(rng.uniform(-1, 1, 6).astype(np.float32)))
    record.append(env.reset())
    env.close()
    return hashlib.sha256(pickle.dumps(record)).hexdigest()


@pytest.mark.parametrize(("robot", "obs"), [("franka-fr3", "state"), ("arx-x5", "pixels")])
def test_equal_seeds_give_equal_bits_in_another_process(robot, obs) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(__file__.rpartition('/')[0])!r})\n"
        f"from test_vector import digest_of_an_episode\nprint(digest_of_an_episode({robot!r}, {obs!r}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True).stdout
    assert out.strip() == digest_of_an_episode(robot, obs)


@pytest.mark.slow
def test_gymnasiums_async_vectoriser_works_with_spawned_processes() -> None:
    a = gym.make_vec(
        ID, 2, vectorization_mode="async", vector_kwargs={"context": "spawn", "autoreset_mode": SAME}, max_episode_steps=3
    )
    b = ours(SAME, 2, max_episode_steps=3)
    assert_same(a.reset(seed=0)[0], b.reset(seed=0)[0])
    for k in range(4):
        actions = np.full((2, 6), 0.1 * k, np.float32)
        x, y = a.step(actions), b.step(actions)
        assert_same(x[:4], y[:4], f"step {k}")
    a.close()
    b.close()


def test_make_vec_prefers_our_own_class_and_its_spec_comes_back() -> None:
    v = gym.make_vec(ID, 2, robot="arx-x5", autoreset_mode="SameStep", max_episode_steps=5, threads=2)
    assert type(v.unwrapped).__name__ == "RobotVectorEnv"
    for spec in (v.spec, gym.envs.registration.EnvSpec.from_json(v.spec.to_json())):
        again = gym.make_vec(spec)
        assert again.spec == v.spec
        assert again.num_envs == 2
        assert again.metadata["autoreset_mode"] is SAME
        assert again.single_observation_space == v.single_observation_space
        assert_same(again.reset(seed=1), v.reset(seed=1))
        ends = [again.step(np.zeros((2, 6), np.float32))[3].tolist() for _ in range(5)]
        assert ends == [[False, False]] * 4 + [[True, True]]
        again.close()
    v.close()


def test_the_ids_own_limit_holds() -> None:
    env = ours(n=1)
    env.reset(seed=0)
    ends = [env.step(np.zeros((1, 6), np.float32))[2:4] for _ in range(100)]
    assert [bool(truncated[0]) for _, truncated in ends] == [False] * 99 + [True]
    assert not any(terminated[0] for terminated, _ in ends)
    env.close()


def test_types_and_shapes_are_gymnasiums(env) -> None:
    assert isinstance(env.metadata["autoreset_mode"], AutoresetMode)
    assert "autoreset_mode" not in type(env.unwrapped).metadata
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(obs)
    assert (reward.dtype, reward.shape) == (np.float64, (N,))
    for flag in (terminated, truncated):
        assert (flag.dtype, flag.shape) == (np.bool_, (N,))
    for key, value in info.items():
        assert len(value) == N
        if not key.startswith("_"):
            assert info[f"_{key}"].dtype == np.bool_


def test_next_step_ignores_the_action_of_the_step_that_resets() -> None:
    a, b = ours(NEXT, max_episode_steps=2), ours(NEXT, max_episode_steps=2)
    for env in (a, b):
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros((N, 6), np.float32))
    x, y = a.step(np.full((N, 6), np.nan, np.float32)), b.step(np.ones((N, 6), np.float32))
    assert_same(x, y)
    assert x[1].tolist() == [0.0] * N
    assert x[4]["time"].tolist() == [0.0] * N
    assert "executed_action" not in x[4]
    a.close()
    b.close()


def test_same_step_gives_the_last_observation_and_info_apart() -> None:
    env = ours(SAME, max_episode_steps=2)
    env.reset(seed=0)
    env.step(np.zeros((N, 6), np.float32))
    obs, _, _, truncated, info = env.step(np.ones((N, 6), np.float32))
    assert truncated.all()
    assert info["_final_obs"].all()
    assert info["final_obs"].dtype == object
    assert env.single_observation_space.contains(info["final_obs"][1])
    assert not np.array_equal(info["final_obs"][1]["state"], obs["state"][1])
    assert info["final_info"]["is_success"].tolist() == [False] * N  # where LeRobot's evaluator looks
    assert info["final_info"]["_is_success"].all()
    assert info["final_info"]["time"] == pytest.approx(0.2)
    env.close()


def test_disabled_waits_for_the_caller_and_resets_only_whom_it_names() -> None:
    env = ours(DISABLED, max_episode_steps=2)
    env.reset(seed=0)
    for _ in range(2):
        env.step(np.zeros((N, 6), np.float32))
    with pytest.raises(NotReset, match=r"\[0, 1, 2\].*reset_mask"):
        env.step(np.zeros((N, 6), np.float32))
    before = env.state
    mask = np.array([True, False, True])
    env.reset(seed=5, options={"reset_mask": mask})
    after = env.state
    assert np.array_equal(after.tcp[1], before.tcp[1])
    assert after.time.tolist() == pytest.approx([0.0, 0.2, 0.0])
    with pytest.raises(NotReset, match=r"\[1\]"):
        env.step(np.zeros((N, 6), np.float32))
    env.reset(options={"reset_mask": ~mask})
    env.step(np.zeros((N, 6), np.float32))
    env.close()


def test_a_mask_restarts_some_arms_in_the_middle_of_the_others_episodes(env) -> None:
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.full((N, 6), 0.2, np.float32))
    env.reset(seed=[None, 8, None], options={"reset_mask": np.array([False, True, False])})
    assert env.state.time.tolist() == pytest.approx([0.3, 0.0, 0.3])
    single = gym.make(ID)
    single.reset(seed=8)
    still = np.zeros(6, np.float32)
    assert np.array_equal(single.step(still)[0]["state"], env.step(np.stack([still] * N))[0]["state"][1])
    single.close()


def test_a_neighbours_reset_does_not_move_the_origin_of_relative_poses() -> None:
    env = ours(DISABLED, 2, obs="pixels")
    env.reset(seed=0)
    before = env.step(np.full((2, 6), 0.5, np.float32))[0]["state"]
    after = env.reset(options={"reset_mask": np.array([True, False])})[0]["state"]
    assert np.array_equal(after[0, :6], np.zeros(6, np.float32))
    assert np.array_equal(after[1], before[1])
    env.close()


def test_seeds_may_be_one_number_or_one_each(env) -> None:
    a = env.reset(seed=4)[0]["state"]
    b = env.reset(seed=[6, 5, 4])[0]["state"]
    assert np.array_equal(a, b[::-1])
    c = env.reset(seed=np.int64(4))[0]["state"]
    assert np.array_equal(a, c)
    assert not np.array_equal(env.reset()[0]["state"], a)


def test_starts_may_be_one_for_all_or_one_each(env) -> None:
    goal = env.task.goal
    one = goal + np.array([0.01, 0.0, 0.05, 0, 0, 0.2])
    each = np.stack([one, goal + np.array([0, 0.02, 0.04, 0, 0, 0]), one])
    for options in (one, each):
        env.reset(seed=0, options={"tcp": options})
        assert np.allclose(env.state.tcp, options, atol=1e-5)


@pytest.mark.parametrize(
    ("seed", "options", "message"),
    [
        ([1, 2], {}, "list of 3"),
        (0, {"reset_mask": [True, False, True]}, "bool array"),
        (0, {"reset_mask": np.array([1, 0, 1])}, "bool array"),
        (0, {"reset_mask": np.zeros(3, bool)}, "at least one True"),
        (0, {"reset_mask": np.ones(2, bool)}, r"shape \(3,\)"),
        (0, {"speed": 3}, "'speed'"),
        (0, {"tcp": np.zeros(6)}, "between"),
        (0, {"tcp": np.zeros((3, 5))}, "'tcp'"),
        (0, {"tcp": np.full((3, 6), np.nan)}, "'tcp'"),
    ],
    ids=str,
)
def test_bad_resets_are_refused_and_change_nothing(env, seed, options, message) -> None:
    env.reset(seed=0)
    before = env.state
    with pytest.raises(BadOption, match=message):
        env.reset(seed=seed, options=options)
    assert env.state is before
    fresh = ours()
    fresh.reset(seed=0)
    actions = np.full((N, 6), 0.1, np.float32)
    assert_same(env.step(actions), fresh.step(actions))
    assert_same(env.reset(), fresh.reset())  # no generator was touched either
    fresh.close()


def test_the_first_reset_is_for_all(env) -> None:
    with pytest.raises(NotReset, match="reset all"):
        env.reset(options={"reset_mask": np.array([True, False, False])})


def test_use_before_reset_and_after_close_is_refused() -> None:
    env = ours()
    with pytest.raises(NotReset, match=r"reset\(\)"):
        env.step(np.zeros((N, 6)))
    env.reset()
    env.close()
    env.close()
    for use in (env.reset, lambda: env.step(np.zeros((N, 6))), env.render):
        with pytest.raises(Closed, match="make a new one"):
            use()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"autoreset_mode": "Sometimes"}, "NextStep | SameStep | Disabled"),
        ({"threads": 0}, "threads"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"max_episode_steps": 2.5}, "max_episode_steps"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message) -> None:
    from user_gym.vector import RobotVectorEnv

    with pytest.raises(BadOption, match=message.replace("|", r"\|")):
        RobotVectorEnv(**options)


def test_each_arm_answers_calls_and_attributes(env) -> None:
    assert env.call("task_description") == ("insert the red peg into the hole of the board",) * N
    assert env.get_attr("_max_episode_steps") == (100,) * N
    env.set_attr("note", 3)
    assert env.get_attr("note") == (3,) * N
    env.set_attr("note", [4, 4, 4])
    assert env.get_attr("note") == (4,) * N
    with pytest.raises(BadOption, match="share"):
        env.set_attr("note", [1, 2, 3])
    env.reset()
    assert env.call("render") == (None,) * N


def test_each_arm_has_its_own_picture() -> None:
    env = ours(n=2, render_mode="rgb_array")
    env.reset(seed=0)
    pictures = env.render()
    assert [p.shape for p in pictures] == [(480, 480, 3)] * 2
    assert not np.array_equal(*pictures)
    assert all(np.array_equal(a, b) for a, b in zip(env.call("render"), pictures, strict=True))
    env.close()
