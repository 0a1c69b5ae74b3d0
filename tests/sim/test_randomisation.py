"""What a twin draws for an episode beside its task: seeded, reported, the same for one arm and a batch, and off by default."""

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import BadOption
from user_gym.sim.randomisation import LIMITS, NAMES, TURN, USUAL
from user_gym.testing.compare import assert_same

TASKS = ("PegInsert", "Charger", "CapTighten", "PickPlace", "TableCleanup")
IDS = tuple(f"User/{task}-sim-v0" for task in TASKS)


def episode(id=IDS[0], seed=3, steps=12, **options) -> list:
    env = gym.make(id, **options)
    record = [env.reset(seed=seed)]
    task = env.unwrapped.task
    over = task.goal + np.array([0.004, 0, 0.03, 0, 0, task.start(np.random.default_rng(0)).tcp[5]])
    for _ in range(steps):
        action = np.clip((over - env.unwrapped.state.tcp - [0, 0, 0.01, 0, 0, 0]) / task.action_scale, -1, 1)
        shut = [-1.0] * task.moves_gripper
        record.append(env.step(np.append(action, shut).astype(np.float32)))
    record.append(env.unwrapped.scene.poses)
    env.close()
    return record


@pytest.mark.parametrize("id", IDS)
def test_nothing_is_drawn_unless_it_is_asked_for_and_equal_seeds_draw_alike(id) -> None:
    plain, none = episode(id), episode(id, randomise=None)
    assert_same(plain, none)
    assert not [key for key in plain[0][1] if key.startswith("randomised")]
    one, two, other = episode(id, randomise="all"), episode(id, randomise="all"), episode(id, seed=4, randomise="all")
    assert_same(one, two)
    assert set(one[0][1]) - set(plain[0][1]) == {f"randomised_{name}" for name in NAMES}
    assert one[0][1] != other[0][1]


def test_what_is_drawn_is_within_what_was_asked_for_and_reported() -> None:
    env = gym.make(IDS[0], randomise={"friction": 0.4, "latency": 0.03})
    infos = [env.reset(seed=seed)[1] for seed in range(40)]
    env.close()
    assert {key for key in infos[0] if key.startswith("randomised")} == {"randomised_friction", "randomised_latency"}
    factors, late = (np.array([info[f"randomised_{name}"] for info in infos]) for name in ("friction", "latency"))
    assert factors.min() < 0.8
    assert 1.2 < factors.max() < 1.4
    assert late.max() <= 0.03
    assert np.unique(late).size >= 6


def test_a_moved_hole_is_where_the_scene_says_it_is() -> None:
    def hole(**options) -> np.ndarray:
        return episode(steps=0, **options)[-1][0]

    told, moved = hole(), hole(randomise={"pose": 0.01})
    assert 0.0 < np.abs(moved[:2] - told[:2]).max() <= 0.01
    assert 0.0 < abs(2 * np.arcsin(moved[5])) <= 0.01 * TURN
    assert moved[2] == told[2]


def test_an_order_that_comes_late_moves_the_arm_less_at_first() -> None:
    def moved(amount: float) -> tuple[float, float]:
        env = gym.make(IDS[0], randomise={"latency": amount} if amount else None)
        _, info = env.reset(seed=1, options={"tcp": env.unwrapped.task.goal + [0, 0, 0.05, 0, 0, 0]})
        before = env.unwrapped.state.tcp[0]
        env.step(np.array([1, 0, 0, 0, 0, 0], np.float32))
        after = env.unwrapped.state.tcp[0]
        env.close()
        return after - before, info.get("randomised_latency", 0.0)

    (prompt, _), (late, latency) = moved(0.0), moved(0.05)
    assert latency > 0.01
    assert late < 0.9 * prompt


def test_a_slippery_episode_is_slippery() -> None:
    env = gym.make(IDS[0], randomise={"friction": 0.9})
    twins = env.unwrapped.robot._twins
    for seed in range(3):
        _, info = env.reset(seed=seed)
        board = twins.plant.model.geom("table").id
        assert twins._grip[0, board, 0] == pytest.approx(0.6 * info["randomised_friction"])
    env.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_of_a_batch_draws_what_the_single_environment_draws(threads) -> None:
    many = gym.make_vec(IDS[0], 3, threads=threads, randomise="all")
    ones = [gym.make(IDS[0], randomise="all") for _ in range(3)]
    obs, info = many.reset(seed=5)
    for i, one in enumerate(ones):
        alone, said = one.reset(seed=5 + i)
        np.testing.assert_array_equal(obs["state"][i], alone["state"])
        assert {key: info[key][i] for key in said} == said
    rng = np.random.default_rng(0)
    for _ in range(6):
        actions = rng.uniform(-1, 1, (3, 6)).astype(np.float32)
        obs = many.step(actions)[0]
        for i, one in enumerate(ones):
            np.testing.assert_array_equal(obs["state"][i], one.step(actions[i])[0]["state"])
    many.close()
    for one in ones:
        one.close()


@pytest.mark.parametrize("name", ["light", "colours", "camera"])
def test_what_eyes_notice_changes_pictures_and_nothing_else(name) -> None:
    pytest.importorskip("mujoco.egl")
    plain, drawn = (episode(obs="pixels", steps=3, randomise=r) for r in (None, {name: getattr(LIMITS, name)}))
    for before, after in zip(plain[:-1], drawn[:-1], strict=True):
        np.testing.assert_array_equal(before[0]["state"], after[0]["state"])
        assert np.abs(before[0]["side"].astype(int) - after[0]["side"]).mean() > 1.0
    again = episode(obs="pixels", steps=3, randomise={name: getattr(LIMITS, name)})
    np.testing.assert_array_equal(drawn[2][0]["wrist"], again[2][0]["wrist"])


@pytest.mark.parametrize(
    "wrong", ["some", 3, {"wind": 0.1}, {"friction": 0.95}, {"light": -0.1}, {"pose": "far"}, {"camera": np.nan}]
)
def test_what_cannot_be_drawn_is_refused(wrong) -> None:
    with pytest.raises(BadOption, match="randomise"):
        gym.make(IDS[0], randomise=wrong)


def test_what_is_usual_is_allowed() -> None:
    assert all(0 < getattr(USUAL, name) <= getattr(LIMITS, name) for name in NAMES)
