"""Unlike bodies behind one layout: what each shows and does stays its own, and one policy can tell them apart."""

from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import user_gym  # noqa: F401
from user_gym.embodiment import AXES, Embodied, Label, Layout, Turns
from user_gym.errors import BadAction, BadOption, UnknownName
from user_gym.system import ChunkBuilder

PEG, PICK = "User/PegInsert-sim-v0", "User/PickPlace-sim-v0"
FR3, X5 = Label("franka-fr3", "PegInsert"), Label("arx-x5", "PegInsert")
SHARED = "user_gym.embodiment:Embodied-v0"


def arms(**options):
    return {label: gym.make(PEG, robot=label.robot, **options) for label in (FR3, X5)}


def tasks():
    return {FR3: gym.make(PEG), Label("franka-fr3", "PickPlace"): gym.make(PICK)}


@pytest.fixture
def turns():
    with closing(Turns(arms())) as env:
        yield env


@pytest.fixture
def two_tasks():
    with closing(Turns(tasks())) as env:
        yield env


def test_an_arm_in_the_layout_does_what_it_does_alone_and_says_which_it_is(turns) -> None:
    rng = np.random.default_rng(0)
    for label, body in turns.bodies.items():
        place = sorted(turns.bodies).index(label)
        with closing(gym.make(PEG, robot=label.robot)) as alone:
            seen, info = body.reset(seed=3)
            own, _ = alone.reset(seed=3)
            for _ in range(5):
                action = rng.uniform(-1, 1, 6).astype(np.float32)
                assert np.array_equal(seen["state"], [*own["state"], *np.eye(2)[place]])
                assert (info["robot"], info["task"]) == label
                seen, *given, info = body.step(action)
                own, *wanted, told = alone.step(action)
                assert given == wanted
                assert np.array_equal(info["executed_action"], told["executed_action"])


def test_turns_keep_the_checker_of_gymnasium_and_stay_in_their_spaces(turns, two_tasks) -> None:
    check_env(turns, skip_render_check=True)
    for env in (turns, two_tasks):
        env.action_space.seed(0)
        for _ in range(3):
            obs, _ = env.reset()
            assert obs in env.observation_space
            for _ in range(3):
                assert env.step(env.action_space.sample())[0] in env.observation_space


def test_the_body_with_the_fewest_steps_is_next_and_a_seed_repeats_it_all(turns) -> None:
    def episodes(lengths):
        starts = []
        for episode, length in enumerate(lengths):
            obs, info = turns.reset(seed=5 if episode == 0 else None)
            starts.append((info["robot"], obs["state"].tolist()))
            for _ in range(length):
                turns.step(np.zeros(6, np.float32))
        return starts

    first = episodes([2, 5, 2, 2, 1])
    assert [robot for robot, _ in first] == ["franka-fr3", "arx-x5", "franka-fr3", "franka-fr3", "arx-x5"]
    assert first == episodes([2, 5, 2, 2, 1])
    assert len({tuple(state[:6]) for _, state in first}) == 5  # no arm repeats another's starts


def test_the_first_arm_starts_as_it_does_alone(turns) -> None:
    with closing(gym.make(PEG)) as alone:
        assert np.array_equal(turns.reset(seed=7)[0]["state"][:19], alone.reset(seed=7)[0]["state"])


def test_a_task_without_the_gripper_has_no_such_axis_and_the_mask_says_so(two_tasks) -> None:
    peg, pick = two_tasks.bodies.values()
    assert two_tasks.action_space.shape == (7,)
    assert two_tasks.observation_space["state"].shape == (25 + 2,)
    seen, _ = peg.reset(seed=0)
    assert seen[AXES].tolist() == [1] * 6 + [0]
    assert not seen["state"][19:25].any()
    after = []
    for gripper in (-1.0, 1.0):
        peg.reset(seed=0)
        obs, *_, info = peg.step(np.array([0.1, 0, -0.2, 0, 0, 0, gripper], np.float32))
        after.append(obs["state"])
        assert info["executed_action"].shape == info["teleop_action"].shape == (7,)
        assert info["executed_action"][6] == 0
    assert np.array_equal(*after)
    assert pick.reset(seed=0)[0][AXES].tolist() == [1] * 7
    assert "axes" not in Layout(arms()).observation_space.spaces


def test_experience_is_known_by_the_body_that_made_it(two_tasks) -> None:
    builder, made = ChunkBuilder("collector", "nobody", "nothing"), []
    for episode in range(2):
        obs, _ = two_tasks.reset(seed=1 if episode == 0 else None)
        builder.start(obs, episode)
        obs, reward, terminated, _, info = two_tasks.step(np.zeros(7, np.float32))
        made.append(builder.add(np.zeros(7, np.float32), reward, terminated, True, info, obs, 0))
    assert [(chunk.robot, chunk.task) for chunk in made] == [("franka-fr3", "PegInsert"), ("franka-fr3", "PickPlace")]


class _OtherEyes(gym.ObservationWrapper):
    """An arm with a camera of another name, or of another size."""

    def __init__(self, env, cameras) -> None:
        super().__init__(env)
        self.size = cameras
        spaces = {name: gym.spaces.Box(0, 255, (*size, 3), np.uint8) for name, size in cameras.items()}
        self.observation_space = gym.spaces.Dict({"state": env.observation_space["state"], **spaces})

    def observation(self, observation):
        return {**observation, **{name: np.full((*size, 3), 9, np.uint8) for name, size in self.size.items()}}


def test_a_camera_that_an_arm_lacks_is_black_and_one_of_another_size_is_refused() -> None:
    one, two = arms().values()
    with closing(Turns({FR3: _OtherEyes(one, {"front": (8, 8)}), X5: _OtherEyes(two, {"wrist": (4, 4)})})) as env:
        seen, _ = env.bodies[FR3].reset(seed=0)
        assert seen["front"].all()
        assert seen["wrist"].shape == (4, 4, 3)
        assert not seen["wrist"].any()
        assert seen in env.observation_space
        with pytest.raises(BadOption, match=r"'front' of arx-x5 at PegInsert.*\(8, 8, 3\)"):
            Layout({FR3: _OtherEyes(one, {"front": (8, 8)}), X5: _OtherEyes(two, {"front": (4, 4)})})


def test_arms_with_other_axes_are_refused_by_name() -> None:
    envs = arms(control="joint")
    with pytest.raises(BadOption, match=r"axes of arx-x5 at PegInsert.* 6; allowed: 7, as franka-fr3 .*control='tcp'"):
        Turns(envs)
    with pytest.raises(BadOption, match="two or more"):
        Layout({FR3: envs[FR3]})
    for env in envs.values():
        env.close()


def test_an_action_of_another_width_is_refused(two_tasks) -> None:
    two_tasks.reset(seed=0)
    with pytest.raises(BadAction, match=r"\(6,\); allowed: \(7,\)"):
        two_tasks.step(np.zeros(6, np.float32))


def test_one_body_by_itself_has_the_layout_of_all(turns) -> None:
    names = [FR3.robot, X5.robot]
    for name in names:
        with closing(gym.make(SHARED, env_id=PEG, robot=name, robots=names)) as env:
            assert isinstance(env.get_wrapper_attr("layout"), Layout)
            assert (env.observation_space, env.action_space) == (turns.observation_space, turns.action_space)
            _, info = env.reset(seed=0)
            assert info["robot"] == name
    with pytest.raises(UnknownName, match=r"arx-l5.*name all that share the policy in `robots`"):
        gym.make(SHARED, env_id=PEG, robot="arx-l5", robots=names)


def test_what_is_closed_stays_closed(turns) -> None:
    turns.close()
    turns.close()
    assert all(isinstance(body, Embodied) for body in turns.bodies.values())


def test_a_token_means_the_same_body_in_whatever_order_a_process_lists_them() -> None:
    tokens = []
    for robots in (["franka-fr3", "arx-x5"], ["arx-x5", "franka-fr3"]):
        with closing(gym.make("user_gym.embodiment:Embodied-v0", env_id=PEG, robot="arx-x5", robots=robots)) as env:
            tokens.append(env.reset(seed=0)[0]["state"][-2:].tolist())
    assert tokens[0] == tokens[1] == [1.0, 0.0]


def test_robots_are_a_list_and_no_text() -> None:
    with pytest.raises(BadOption, match="a list of names"):
        gym.make("user_gym.embodiment:Embodied-v0", env_id=PEG, robot="arx-x5", robots="franka-fr3,arx-x5")


def test_one_task_by_itself_has_the_layout_of_all_tasks(two_tasks) -> None:
    tasks = [PEG, PICK]
    for task, name in ((PEG, "PegInsert"), (PICK, "PickPlace")):
        with closing(gym.make(SHARED, env_id=task, robot="franka-fr3", robots=["franka-fr3"], env_ids=tasks)) as env:
            assert (env.observation_space, env.action_space) == (two_tasks.observation_space, two_tasks.action_space)
            _, info = env.reset(seed=0)
            assert (info["robot"], info["task"]) == ("franka-fr3", name)
    with pytest.raises(UnknownName, match=r"name all that share the policy in `env_ids`"):
        gym.make(SHARED, env_id="User/Charger-sim-v0", robot="franka-fr3", robots=["franka-fr3"], env_ids=tasks)


@pytest.mark.parametrize(("robots", "tasks"), [(["franka-fr3", "franka-fr3"], [PEG]), (["franka-fr3"], [PEG, PEG])])
def test_a_body_is_named_once(robots, tasks) -> None:
    with pytest.raises(BadOption, match="franka-fr3 at PegInsert, twice"):
        gym.make(SHARED, env_id=PEG, robot="franka-fr3", robots=robots, env_ids=tasks)
