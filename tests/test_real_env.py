"""The real ids on an ideal arm: the suite, the checkers, which robot is taken, and what a fault does."""

import os
import signal
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_match import check_environments_match

import user_gym  # noqa: F401
from user_gym.core import Command
from user_gym.errors import BadOption, Busy, LinkLost, NoRobot, NotApproved, Reflex, UnknownName
from user_gym.robots import approval, candidates, lease
from user_gym.robots.inventory import read
from user_gym.testing.env_suite import EnvSuite

REAL = "User/PegInsert-real-v0"
TOY = {"driver": "toy:ToyDriver", "driver_options": {"hurried": True}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine of its own, with nothing on it but a rig that needs no operator."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "real"))
    monkeypatch.setenv("USER_GYM_STOPS", str(tmp_path / "stops"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("USER_GYM_APPROVE", "1")
    monkeypatch.delenv("USER_GYM_INVENTORY", raising=False)
    return tmp_path


def inventory(home, *entries: str) -> None:
    (home / "user_gym").mkdir(exist_ok=True)
    (home / "user_gym" / "inventory.toml").write_text("\n".join(f"[[robot]]\n{entry}" for entry in entries))


def still(env):
    return env.step(np.zeros(env.action_space.shape, np.float32))


class TestToy(EnvSuite):
    id = REAL
    kwargs = {"address": "toy", **TOY}  # noqa: RUF012
    deterministic = False
    draws = False
    alone = True


class TestToyUnderJointControl(TestToy):
    kwargs = {"address": "toy", "control": "joint", **TOY}  # noqa: RUF012


@pytest.mark.parametrize("control", ["tcp", "joint"])
@pytest.mark.parametrize("robot", ["franka-fr3", "franka-fer", "arx-x5", "arx-l5"])
def test_sim_and_real_have_the_same_spaces_and_info(robot, control) -> None:
    sim = gymnasium.make("User/PegInsert-sim-v0", robot=robot, control=control)
    real = gymnasium.make(REAL, robot=robot, control=control, address=f"toy-{robot}", **TOY)
    assert sim.observation_space == real.observation_space
    assert sim.action_space == real.action_space
    check_environments_match(
        sim, real, num_steps=10, skip_obs=True, skip_rew=True, skip_terminal=True, skip_truncated=True,
        info_comparison="keys-equivalence",
    )  # fmt: skip
    sim.close()
    real.close()


def test_pixels_have_the_same_space_and_a_missing_camera_is_named() -> None:
    sim = gymnasium.make("User/PegInsert-sim-v0", obs="pixels")
    real = gymnasium.make(REAL, obs="pixels", address="toy", **TOY)
    assert sim.observation_space == real.observation_space
    with pytest.raises(BadOption, match=r"wrist.*cameras="):
        real.reset(seed=0)
    real.close()
    sim.close()


def test_making_one_opens_nothing() -> None:
    env = gymnasium.make(REAL, address="127.0.0.1")  # nothing is there
    env.close()


def test_without_arguments_and_without_an_inventory_no_robot_is_found_at_reset(home) -> None:
    env = gymnasium.make(REAL)
    assert env.unwrapped.spec_of_robot.name == "franka-fr3"
    with pytest.raises(NoRobot, match=r"the inventory has no robot.*inventory\.toml"):
        env.reset()
    env.close()


def test_the_error_names_every_candidate_and_why_not(home) -> None:
    inventory(
        home,
        'id = "left"\nmodel = "franka-fr3"\naddress = "127.200.0.1"\ntasks = []',
        'id = "old"\nmodel = "franka-fer"\naddress = "127.200.0.2"',
        'id = "bad"\nmodel = "frnka"\naddress = "127.200.0.3"',
    )
    env = gymnasium.make(REAL)
    with pytest.raises(NoRobot) as error:
        env.reset()
    text = str(error.value)
    for word in ("'left'", "127.200.0.1", "'old'", "is no franka-fr3", "'bad'"):
        assert word in text
    env.close()


def test_of_a_robot_that_is_named_only_its_own_trouble_is_told(home) -> None:
    inventory(
        home,
        'id = "left"\nmodel = "franka-fr3"\naddress = "127.200.0.1"\ntasks = []',
        'id = "right"\nmodel = "franka-fr3"\naddress = "127.200.0.2"',
    )
    env = gymnasium.make(REAL, robot="left")
    with pytest.raises(NoRobot, match=r"robot 'left' \(franka-fr3 at 127\.200\.0\.1\): .*user-gym devices") as error:
        env.reset()
    assert "right" not in str(error.value)
    env.close()
    with pytest.raises(NoRobot, match=r"robot 'middle' is not in .*inventory\.toml"):
        candidates.take("franka-fr3", "PegInsert", "middle")


def test_nobody_is_sent_to_the_emergency_stop_of_an_arm_that_is_not_there(monkeypatch) -> None:
    monkeypatch.delenv("USER_GYM_APPROVE")
    env = gymnasium.make(REAL, address="127.200.0.3")
    with pytest.raises(LinkLost, match=r"127\.200\.0\.3"):
        env.reset()
    env.close()
    env = gymnasium.make(REAL, address="127.200.0.3", approve=True)
    with pytest.raises(LinkLost, match=r"127\.200\.0\.3"):
        env.reset()
    env.close()
    assert not approval.path().exists()


def test_the_model_is_that_of_the_first_robot_that_can_do_the_task(home) -> None:
    inventory(
        home,
        'id = "bad"\nmodel = "franka-fr3"\naddress = "127.200.0.9:80"',
        'id = "other"\nmodel = "franka-fr3"\naddress = "127.200.0.8"\ntasks = ["Sweep"]',
        'id = "x"\nmodel = "arx-x5"\naddress = "socketcan:nocan"',
        'id = "f"\nmodel = "franka-fer"\naddress = "127.200.0.2"',
    )
    for robot, model in ((None, "arx-x5"), ("f", "franka-fer"), ("franka-fr3", "franka-fr3")):
        env = gymnasium.make(REAL, **({} if robot is None else {"robot": robot}))
        assert env.unwrapped.spec_of_robot.name == model
        env.close()
    with pytest.raises(UnknownName, match="did you mean"):
        gymnasium.make(REAL, robot="franka-fr4")


def test_one_arm_is_driven_by_one_environment_until_it_is_closed() -> None:
    one, two = (gymnasium.make(REAL, address="toy-shared", **TOY) for _ in range(2))
    one.reset(seed=0)
    with pytest.raises(Busy, match=rf"by this process \(pid {os.getpid()}\) itself"):
        two.reset(seed=0)
    still(one)
    one.close()
    two.reset(seed=0)
    two.close()


def test_a_camera_that_cannot_be_closed_keeps_no_arm_leased() -> None:
    env = gymnasium.make(REAL, address="toy-kept-by-camera", **TOY)
    env.reset(seed=0)
    closed = []
    env.unwrapped.robot._berth.leave_with(lambda: 1 / 0)
    env.unwrapped.robot._berth.leave_with(lambda: closed.append("the next"))
    with pytest.raises(ZeroDivisionError):
        env.close()
    assert closed == ["the next"]
    other = gymnasium.make(REAL, address="toy-kept-by-camera", **TOY)
    other.reset(seed=0)
    other.close()


def test_a_robot_that_cannot_be_asked_how_it_is_is_not_kept(home, monkeypatch) -> None:
    inventory(home, 'id = "left"\nmodel = "franka-fr3"\naddress = "127.200.0.1"')
    monkeypatch.setattr(candidates.discovery, "examine", lambda device: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        candidates.take("franka-fr3", "PegInsert")
    [left] = read().of_kind("robot")
    assert lease.holder(left) is None


def test_the_arm_stays_leased_while_its_worker_lives() -> None:
    """A program that dies without a word leaves a worker that still brings the arm to rest."""
    env = gymnasium.make(REAL, address="toy-kept", **TOY)
    env.reset(seed=0)
    env.unwrapped.robot._berth._hold.release()  # as the kernel does for a dead program
    other = gymnasium.make(REAL, address="toy-kept", **TOY)
    with pytest.raises(Busy):
        other.reset(seed=0)
    env.close()
    other.reset(seed=0)
    other.close()


def test_a_clip_in_the_drivers_process_is_told(monkeypatch) -> None:
    env = gymnasium.make(REAL, address="toy-clipped", **TOY)
    env.reset(seed=0)
    assert still(env)[4]["safety_clipped"] is False
    core = env.unwrapped
    exchange = core.robot.exchange
    monkeypatch.setattr(core.robot, "exchange", lambda order: exchange(Command(0.0, order.tcp + [0.1, 0, 0, 0, 0, 0])))
    assert still(env)[4]["safety_clipped"] is True
    env.close()


def test_a_policy_needs_an_operator_the_first_time(monkeypatch) -> None:
    monkeypatch.delenv("USER_GYM_APPROVE")
    options = {"address": "toy-approved", "policy": "abc", **TOY}
    env = gymnasium.make(REAL, **options)
    with pytest.raises(NotApproved, match="abc"):
        env.reset()
    env.close()
    env = gymnasium.make(REAL, approve=True, **options)
    env.reset()
    env.close()
    env = gymnasium.make(REAL, **options)
    env.reset()
    env.close()


def test_a_reflex_ends_the_episode_and_the_next_reset_recovers() -> None:
    env = gymnasium.make(REAL, address="toy-reflex", driver=TOY["driver"], driver_options={"hurried": True, "broken": "reflex"})
    env.reset(seed=0)
    for _ in range(2):
        with pytest.raises(Reflex):
            still(env)
    env.reset()
    still(env)
    env.close()


def test_a_driver_process_that_was_killed_is_replaced_by_the_next_reset() -> None:
    env = gymnasium.make(REAL, address="toy-killed", **TOY)
    env.reset(seed=0)
    os.kill(env.unwrapped.robot.pid, signal.SIGKILL)
    with pytest.raises(LinkLost, match="code -9"):
        still(env)
    env.reset()
    still(env)
    assert env.unwrapped.robot.overruns == 0
    env.close()


def test_a_real_arm_knows_its_objects_from_the_person_who_put_them_there(home) -> None:
    env = gymnasium.make(REAL, address="toy-taught", **TOY)
    env.reset(seed=0)
    scene = env.unwrapped.scene
    assert scene.source == "human"
    assert scene.pose("board")[:2] == pytest.approx([0.5, 0.0], abs=2e-4)
    env.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("clock", "sun"), ("twin", "nowhere"), ("stale", 0.0), ("approach_speed", 2.0), ("force", -1.0),
        ("cameras", {"foot": "opencv:0"}), ("control", "torque"), ("colour", "red"),
    ],
)  # fmt: skip
def test_an_option_that_means_nothing_is_refused_at_once(option, value) -> None:
    with pytest.raises(BadOption):
        gymnasium.make(REAL, **{"address": "toy", **TOY, option: value})


def test_it_works_where_processes_may_have_no_children() -> None:
    """Gymnasium's AsyncVectorEnv runs environments in daemons."""
    assert sys.modules["user_gym"]
    env = gymnasium.make_vec(
        REAL, num_envs=1, vectorization_mode="async", address="toy-daemon", vector_kwargs={"context": "spawn"}, **TOY
    )
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
