"""A remote environment over both channels: what a client sees while all is well."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from remote_parts import TOY, fleet, wait
from remote_toys import CLOSED, FAULTY, ID, STEPS

import user_gym  # noqa: F401  (registers the ids)
from user_gym.errors import BadAction, BadOption, Busy, Closed, LinkLost, NotReset, Reflex, RobotFault, UnknownName
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.system.link.remote.served import Served

STILL = np.zeros(2, np.float32)
CHANNELS = ("network", "shared memory")


@pytest.fixture(params=CHANNELS)
def channel(request):
    return request.param


@pytest.fixture
def toys(tmp_path):
    with fleet(tmp_path, {"arm": TOY, "other": TOY}) as running:
        yield running


def test_an_episode_is_the_environments_own(toys, channel):
    env = toys.env(channel=channel, edge="e1/arm")
    obs, info = env.reset(seed=3)
    assert (env.channel, env.robot_name) == (channel, "e1/arm")
    assert obs["x"].tolist() == [3, 0, 0, 0]
    assert info["time"] == 0.0
    for n in range(1, STEPS + 1):
        obs, reward, terminated, truncated, info = env.step(STILL)
        assert obs["x"].tolist() == [3, n, n, n]
        assert (reward, terminated, truncated) == (float(n), False, n == STEPS)
        assert info["time"] == pytest.approx(0.1 * n)
        assert info["executed"].dtype == np.float64
    with pytest.raises(NotReset, match="past the end"):
        env.step(STILL)
    assert env.reset(seed=4)[0]["x"][0] == 4


def test_the_best_way_is_chosen_by_itself_and_said(toys):
    assert toys.env().channel == "shared memory"


def test_a_hub_of_this_process_needs_no_connection(toys, channel):
    env = toys.env(hub=toys.hub, channel=channel)
    env.reset(seed=1)
    assert env.step(STILL)[1] == 1.0
    assert list(toys.hub.leases()) == ["e1/arm"]
    env.close()
    wait(lambda: not toys.hub.leases())
    wait(CLOSED.is_set)


def test_spaces_come_from_the_edge_where_this_machine_does_not_know_them(toys):
    env = gymnasium.make("User/Remote-v0", hub=toys.address, edge="e1", env_id=ID)
    core = gymnasium.make(ID)
    assert (env.observation_space, env.action_space) == (core.observation_space, core.action_space)
    assert env.metadata["render_fps"] == 20
    env.close()


def test_large_observations_take_both_ways(tmp_path, channel):
    with fleet(tmp_path, {"arm": [Served(ID, {"size": 1 << 19})]}) as running:
        env = running.env(channel=channel)
        first = env.reset(seed=2)[0]["x"]
        second = env.step(STILL)[0]["x"]
        assert first.nbytes == 2 << 20
        assert (first[0], first[-1], second[-1]) == (2, 0, 1)
        assert second.flags.writeable


def test_a_chunk_is_several_steps_and_ends_with_the_episode(toys, channel):
    env = toys.env(channel=channel)
    env.reset(seed=5)
    steps = env.step_chunk([STILL] * 7)
    assert [step.reward for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert steps[6].obs["x"].tolist() == [5, 7, 7, 7]
    steps = env.step_chunk(np.zeros((7, 2), np.float32))
    assert [(step.reward, step.truncated) for step in steps] == [(8, False), (9, False), (10, True)]
    with pytest.raises(NotReset):
        env.step_chunk([STILL])


def test_a_fault_in_a_chunk_comes_after_the_steps_before_it(toys, channel):
    env = toys.env(channel=channel)
    env.reset()
    steps = env.step_chunk([STILL, STILL, STILL + FAULTY, STILL])
    assert [step.reward for step in steps] == [1, 2, 0]
    assert (steps[2].truncated, steps[2].obs["x"][1]) == (True, 2)
    assert steps[2].info["fault"] == "Reflex: the toy protects itself; reset() goes on"
    with pytest.raises(Reflex):
        env.step(STILL)
    env.reset()
    assert env.step(STILL)[1] == 1.0


def test_an_empty_or_endless_chunk_is_refused(toys):
    env = toys.env()
    env.reset()
    for actions in ([], [STILL] * 1001):
        with pytest.raises(BadOption, match=r"1\.\.1000"):
            env.step_chunk(actions)
    assert env.step(STILL)[1] == 1.0


def test_actions_that_mean_nothing_are_refused_and_the_episode_goes_on(toys, channel):
    env = toys.env(channel=channel)
    env.reset()
    for action in (["left", "right"], None, [[1.0], [1.0, 2.0]]):
        with pytest.raises(BadAction, match="allowed"):
            env.step(action)
    assert env.step([0, 0])[1] == 1.0


def test_a_fault_of_the_robot_is_raised_with_its_type_and_a_reset_goes_on(toys, channel):
    env = toys.env(channel=channel)
    env.reset()
    for _ in range(2):
        with pytest.raises(Reflex, match="protects itself"):
            env.step(STILL + FAULTY)
    env.reset()
    assert env.step(STILL)[1] == 1.0


def test_an_error_of_the_environments_program_is_a_fault_that_names_it(toys, channel):
    env = toys.env(channel=channel)
    env.reset()
    with pytest.raises(RobotFault, match="ZeroDivisionError: a bug"):
        env.step(STILL + 0.7)
    env.reset()
    assert env.step(STILL)[1] == 1.0


def test_pictures_are_drawn_at_the_edge(toys, channel):
    env = toys.env(channel=channel, render_mode="rgb_array")
    env.reset()
    env.step(STILL)
    picture = env.render()
    assert picture.shape == (40, 40, 3)
    assert (picture == 1).all()


def test_a_client_chooses_what_the_edge_leaves_open_and_nothing_else(toys):
    env = toys.env(obs="pixels")
    assert env.reset()[1]["obs"] == "pixels"
    for options, words in [
        ({"folder": "/etc"}, "bad option of a remote environment 'folder'"),
        ({"driver": "os:system"}, "all else is said at the edge"),
        ({"obs": ["x"]}, "text, a number or None"),
        ({"env_id": "os:system"}, "allowed: e1/other: RemoteToy-v0"),
        ({"env_id": "User/PegInsert-sim-v0"}, "bad environment of an edge"),
    ]:
        with pytest.raises(BadOption, match=words):
            toys.env(**{"edge": "e1/other", **options})
    assert len(toys.hub.leases()) == 1


def test_two_clients_do_not_share_a_robot(toys):
    first = toys.env(edge="e1/arm", client="ann")
    first.reset()
    with pytest.raises(Busy, match=r"leased e1/arm by ann#"):
        toys.env(edge="e1/arm", client="bob")
    assert toys.env(edge="e1", client="bob").robot_name == "e1/other"
    with pytest.raises(Busy, match="no robot is free"):
        toys.env(edge=None, client="cat")
    first.close()
    wait(lambda: "e1/arm" not in toys.hub.leases())
    assert toys.env(edge="e1", client="cat").robot_name == "e1/arm"


def test_who_is_not_there_is_named(toys):
    with pytest.raises(UnknownName, match="unknown edge 'e2'; known: e1"):
        toys.env(edge="e2")
    with pytest.raises(UnknownName, match="unknown robot of e1 'amr'; known: arm, other; did you mean 'arm'"):
        toys.env(edge="e1/amr")
    toys.hub.close()
    with pytest.raises(LinkLost, match="reset"):
        toys.env()


def test_other_spaces_are_refused_with_both_hashes(tmp_path):
    serves = {"arm": [Served("User/PegInsert-sim-v0", {"control": "joint"}, ())]}
    with fleet(tmp_path, serves) as running:
        env = gymnasium.make("User/PegInsert-remote-v0", hub=running.address, edge="e1").unwrapped
        with pytest.raises(BadOption, match=r"bad spaces of User/PegInsert-sim-v0 .*'[0-9a-f]{16}'; allowed: [0-9a-f]{16}"):
            env.reset()
        wait(lambda: not running.hub.leases())
        env.close()


def test_options_that_are_none_are_refused_before_anything_is_connected():
    for options, words in [
        ({"env_id": ""}, "bad env_id"),
        ({"channel": "radio"}, "auto | shared memory | network"),
        ({"render_mode": "human"}, "None | rgb_array"),
        ({"timeout": 0}, "bad timeout"),
        ({"hub": "192.0.2.1:9"}, "bundle of a client"),
        ({"hub": None}, "bad hub"),
    ]:
        with pytest.raises(BadOption, match=words):
            RemoteEnv(**{"hub": "127.0.0.1:1", "env_id": ID, **options})


def test_a_known_task_needs_no_connection_to_be_made():
    env = gymnasium.make("User/PegInsert-remote-v0", hub="127.0.0.1:1", robot="arx-x5", control="joint")
    twin = gymnasium.make("User/PegInsert-sim-v0", robot="arx-x5", control="joint")
    assert (env.observation_space, env.action_space) == (twin.observation_space, twin.action_space)
    assert env.spec.max_episode_steps == twin.spec.max_episode_steps
    assert env.unwrapped.task_description == twin.unwrapped.task_description
    with pytest.raises(NotReset):
        env.unwrapped.step(np.zeros(6))
    env.close()
    with pytest.raises(Closed):
        env.reset()
    with pytest.raises(BadOption, match="said at the edge"):
        gymnasium.make("User/PegInsert-remote-v0", hub="127.0.0.1:1", hole_offset=0.002)
