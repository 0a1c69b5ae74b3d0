"""Real ids in one vector environment, on ideal arms in worker processes of their own."""

import os
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import user_gym  # noqa: F401
from user_gym.errors import NoRobot, UnknownName
from user_gym.robots import stop
from user_gym.vector import IndependentVectorEnv

REAL, SIM = "User/PegInsert-real-v0", "User/PegInsert-sim-v0"
TOY = {"driver": "toy:ToyDriver", "driver_options": {"hurried": True}}
STILL = np.zeros((2, 6), np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine of its own, with nothing on it but a rig that needs no operator."""
    for folder in ("real", "vector"):
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / folder))
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_APPROVE", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("USER_GYM_INVENTORY", raising=False)
    return tmp_path


@pytest.fixture
def inventory(home, monkeypatch):
    """Two arms, and one that another program has taken away; nobody knocks at their doors."""
    entries = (
        f'[[robot]]\nid = "{name}"\nmodel = "franka-fr3"\naddress = "127.201.0.{i}"' for i, name in enumerate(("left", "right"))
    )
    (home / "user_gym").mkdir()
    (home / "user_gym" / "inventory.toml").write_text("\n".join(entries))
    monkeypatch.setattr("user_gym.robots.candidates.discovery.examine", lambda device: device)


def pair(**options):
    robots = [f"toy:{name}" for name in ("a", "b")]
    return gym.make_vec(REAL, num_envs=2, vector_kwargs={"robots": robots}, **{**TOY, **options})


def names(env) -> list[str]:
    return [e._cell.scene._station.device.id for e in env.unwrapped._envs]


@pytest.mark.parametrize("control", ["tcp", "joint"])
def test_spaces_and_info_are_those_of_the_simulated_vector(control) -> None:
    real, sim = pair(control=control), gym.make_vec(SIM, 2, control=control)
    assert type(real.unwrapped) is IndependentVectorEnv
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(real, name) == getattr(sim, name), name
    actions = np.zeros(sim.action_space.shape, np.float32)
    for a, b in ((real.reset(seed=0)[1], sim.reset(seed=0)[1]), (real.step(actions)[4], sim.step(actions)[4])):
        assert a.keys() == b.keys()
        assert {key: (v.shape, v.dtype) for key, v in a.items()} == {key: (v.shape, v.dtype) for key, v in b.items()}
    for env in (real, sim):
        env.close()


@pytest.mark.parametrize("options", [{}, {"robot": "franka-fr3"}, {"vector_kwargs": {"robots": ["right", "left"]}}], ids=str)
def test_the_inventorys_arms_are_taken_each_once(inventory, options) -> None:
    env = gym.make_vec(REAL, 2, **TOY, **options)
    env.reset(seed=0)
    env.step(STILL)
    assert sorted(names(env)) == ["left", "right"]
    if "vector_kwargs" in options:
        assert names(env) == ["right", "left"]
    more = gym.make_vec(REAL, 1, **TOY)
    with pytest.raises(NoRobot, match="leased"):
        more.reset()
    more.close()
    env.close()


def test_more_arms_than_there_are_is_an_error_that_names_them_and_frees_all(inventory) -> None:
    env = gym.make_vec(REAL, 3, **TOY)
    with pytest.raises(NoRobot, match=r"'left'.*leased.*'right'.*leased"):
        env.reset()
    env.close()
    env = gym.make_vec(REAL, 2, **TOY)
    env.reset()
    env.close()
    with pytest.raises(UnknownName, match="did you mean 'right'"):
        gym.make_vec(REAL, 2, vector_kwargs={"robots": ["left", "rihgt"]})


def test_a_reflex_of_one_arm_is_recovered_while_the_other_goes_on() -> None:
    rows = [{"address": "toy:a", "driver_options": {"hurried": True, "broken": "reflex"}}, {"address": "toy:b"}]
    env = gym.make_vec(REAL, 2, vector_kwargs={"robots": rows}, **TOY)
    env.reset(seed=0)
    *_, truncated, info = env.step(STILL)
    assert truncated.tolist() == [True, False]
    assert info["fault"].tolist() == ["Reflex: toy reflex", None]
    for k in range(3):
        *_, truncated, info = env.step(STILL)
        assert not truncated.any()
        assert info["time"] == pytest.approx([0.1 * k, 0.1 * (k + 2)])
    env.close()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda m: m.value)
def test_a_driver_process_that_is_killed_is_started_anew(mode) -> None:
    env = pair(autoreset_mode=mode)
    env.reset(seed=0)
    os.kill(env.unwrapped._envs[0].robot.pid, signal.SIGKILL)
    *_, truncated, info = env.step(STILL)
    assert truncated.tolist() == [True, False]
    assert "code -9" in (info["final_info"] if mode is AutoresetMode.SAME_STEP else info)["fault"][0]
    for _ in range(2):
        assert not env.step(STILL)[3].any()
    env.close()


def test_an_arm_that_the_operator_stopped_stays_where_it_is() -> None:
    env = pair(max_episode_steps=10_000)
    env.reset(seed=0)
    env.step(STILL)
    assert len(stop.tell(name="toy-a").reached) == 1
    heard = [env.step(STILL)]
    while not heard[-1][3][0]:
        assert len(heard) < 500, "nobody heard of the stop"
        heard.append(env.step(STILL))
    heard += [env.step(STILL) for _ in range(3)]
    assert all(not step[3][1] for step in heard)
    assert heard[-1][3][0]
    assert heard[-1][4]["fault"][0].startswith("Halted")
    assert heard[-1][4]["time"][1] == pytest.approx(0.1 * (len(heard) + 1))
    env.reset(options={"reset_mask": np.array([True, False])})
    assert not env.step(STILL)[3].any()
    env.close()


@pytest.mark.slow
def test_in_lockstep_a_neighbours_long_reset_does_not_stop_an_arm_that_waits() -> None:
    """`stale` is shorter than the other's way to its start; it stays an arm's answer to the end of its program."""
    slow = {"address": "toy:a", "driver_options": {"way": 1.0}}
    quick = {"address": "toy:b", "driver_options": {"hurried": True}}
    env = gym.make_vec(
        REAL, 2, vector_kwargs={"robots": [slow, quick]}, driver="slow_toy:SlowToy", stale=0.8, max_episode_steps=2
    )
    env.reset(seed=0)
    env.step(STILL)
    env.reset(options={"reset_mask": np.array([False, True])})  # from here on they reset at different steps
    resets = [env.step(STILL)[4] for _ in range(4)]
    assert not any("fault" in info for info in resets)
    assert {tuple(info["_executed_action"].tolist()) for info in resets} == {(True, True), (True, False), (False, True)}
    env.close()


def test_without_lockstep_each_arm_keeps_its_own_time() -> None:
    env = pair(max_episode_steps=3).unwrapped
    env.reset(seed=0)
    env.send(STILL)
    steps = np.zeros(2, int)
    while steps.min() < 12:
        got = env.recv()
        steps[got.ids] += 1
        env.send(np.zeros((len(got.ids), 6)), got.ids)
    env.close()
