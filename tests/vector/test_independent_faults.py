"""Arms on threads of their own: one arm's fault is nobody else's."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_arms import Raises, ToyArm, vector

from user_gym.errors import Busy, Halted, LinkLost, NoRobot, NotReset, Reflex, RobotFault

ID = "User/PegInsert-sim-v0"
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
STILL = np.zeros((2, 6), np.float32)
REFLEX = Reflex("cartesian_reflex")


def test_an_arm_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    arms = [ToyArm(), ToyArm()]
    arms[0].close = lambda: (_ for _ in ()).throw(LinkLost("gone"))
    env = vector(*arms)
    env.reset()
    with pytest.raises(LinkLost, match="gone"):
        env.close()
    assert arms[1].closed == 1


def test_one_arms_fault_truncates_its_own_episode_and_the_other_goes_on() -> None:
    arms = [ToyArm(Raises(REFLEX, 2)), ToyArm()]
    env = vector(*arms)
    env.reset(seed=0)
    before = env.step(STILL + 0.5)[0]["state"]
    obs, reward, terminated, truncated, info = env.step(STILL + 0.5)
    assert truncated.tolist() == [True, False]
    assert not terminated.any()
    assert reward.tolist() == [0.0, 0.0]
    assert np.array_equal(obs["state"][0], before[0])
    assert not np.array_equal(obs["state"][1], before[1])
    assert info["fault"].tolist() == ["Reflex: cartesian_reflex", None]
    assert info["_fault"].tolist() == [True, False]
    assert info["_executed_action"].tolist() == [False, True]
    assert info["time"] == pytest.approx([0.1, 0.2])
    assert env.faults == {0: "Reflex: cartesian_reflex"}
    obs, _, _, truncated, info = env.step(STILL)
    assert not truncated.any()
    assert info["time"] == pytest.approx([0.0, 0.3])
    assert "fault" not in info
    assert env.faults == {}
    assert [arm.resets for arm in arms] == [2, 1]
    assert env.step(STILL)[4]["time"] == pytest.approx([0.1, 0.4])
    env.close()


def test_a_fault_in_the_mode_same_step_is_told_with_the_next_beginning() -> None:
    env = vector(ToyArm(Raises(REFLEX, 2)), ToyArm(), autoreset_mode=SAME)
    env.reset(seed=0)
    before = env.step(STILL)[0]["state"]
    obs, _, _, truncated, info = env.step(STILL)
    assert truncated.tolist() == [True, False]
    assert np.array_equal(info["final_obs"][0]["state"], before[0])
    assert info["final_info"]["fault"].tolist() == ["Reflex: cartesian_reflex", None]
    assert "fault" not in info
    assert not np.array_equal(obs["state"][0], before[0])
    assert env.step(STILL)[4]["time"] == pytest.approx([0.1, 0.3])
    env.close()


def test_a_fault_in_the_mode_disabled_waits_for_the_caller() -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(REFLEX, 2)), ToyArm()]
    env = vector(*arms, autoreset_mode=DISABLED)
    env.reset(seed=0)
    assert env.step(STILL)[3].tolist() == [True, False]
    with pytest.raises(NotReset, match=r"\[0\]"):
        env.step(STILL)
    mask = np.array([True, False])
    info = env.reset(options={"reset_mask": mask.copy()})[1]
    assert info["fault"].tolist() == ["Reflex: cartesian_reflex", None]  # it could not be brought back
    assert env.step(STILL)[3].tolist() == [True, False]  # and so is truncated again
    assert arms[0].exchanges == 1
    info = env.reset(options={"reset_mask": mask.copy()})[1]
    assert "fault" not in info
    assert env.step(STILL)[3].tolist() == [False, False]
    env.close()


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_an_arm_that_does_not_come_back_stays_truncated_and_is_given_up(mode, caplog) -> None:
    arms = [ToyArm(Raises(REFLEX, 2), Raises(LinkLost("no answer"), since=2)), ToyArm()]
    env = vector(*arms, autoreset_mode=mode, max_faults=4)
    env.reset(seed=0)
    env.step(STILL)
    for k in range(8):
        obs, reward, _, truncated, info = env.step(STILL)
        assert truncated.tolist() == [True, False]
        assert reward[0] == 0.0
        assert env.single_observation_space.contains({"state": obs["state"][0]})
        assert info["time"][1] == pytest.approx(0.1 * (k + 2))
    assert env.faults == {0: "LinkLost: no answer"}
    assert arms[0].resets == 1 + 3  # the reflex was the first of four faults
    assert "arm 0 is given up: LinkLost: no answer" in caplog.text
    arms[0].on_reset = lambda _: None
    env.step(STILL)
    assert arms[0].resets == 4
    env.reset(options={"reset_mask": np.array([True, False])})
    assert arms[0].resets == 5
    arms[0].on_exchange = Raises(REFLEX, 3)
    for truncated in (True, False, False):  # its earlier faults do not count any more
        assert env.step(STILL)[3].tolist() == [truncated, False]
    env.close()


def test_an_arm_that_is_down_is_tried_at_once_and_then_only_now_and_then() -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(REFLEX, since=2)), ToyArm()]
    env = vector(*arms, retry=3600.0)
    env.reset(seed=0)
    for _ in range(6):
        assert env.step(STILL)[3].tolist() == [True, False]
    assert arms[0].resets == 2
    env.close()


def test_a_good_step_makes_up_for_earlier_faults() -> None:
    env = vector(ToyArm(lambda call: Raises(REFLEX, 2, 4, 6, 8)(call)), ToyArm(), max_faults=2)
    env.reset(seed=0)
    ends = [env.step(STILL)[3][0] for _ in range(12)]
    assert ends == [False, True, False] * 4
    env.close()


@pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda m: m.value)
def test_with_no_arm_left_the_fault_is_raised(mode) -> None:
    arms = [ToyArm(Raises(Reflex(f"reflex {i}"), 1), Raises(Reflex(f"brakes {i}"), since=2)) for i in range(2)]
    env = vector(*arms, autoreset_mode=mode, max_faults=1)
    env.reset(seed=0)
    with pytest.raises(RobotFault, match=r"0: 'Reflex: reflex 0'.*1: 'Reflex: reflex 1'.*reset\(\)"):
        env.step(STILL)
    env.close()


def test_when_all_arms_are_down_a_step_waits_until_they_are_back() -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(REFLEX, 2, 3)) for _ in range(2)]
    env = vector(*arms, retry=0.001)
    env.reset(seed=0)
    assert env.step(STILL)[3].all()
    assert not env.step(STILL)[3].any()
    assert [arm.resets for arm in arms] == [4, 4]
    env.close()


def test_an_arm_that_never_was_there_is_an_error() -> None:
    env = vector(ToyArm(), ToyArm(on_reset=Raises(LinkLost("no robot at 172.16.0.2"), 1)))
    with pytest.raises(LinkLost, match=r"172\.16\.0\.2"):
        env.reset(seed=0)
    with pytest.raises(NotReset):
        env.step(STILL)
    env.reset(seed=0)
    env.step(STILL)
    env.close()


@pytest.mark.parametrize("error", [NoRobot("its entry is gone"), Busy("somebody took it")], ids=lambda e: type(e).__name__)
def test_an_arm_that_another_program_took_meanwhile_is_down_like_one_with_a_fault(error) -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(error, 2)), ToyArm()]
    env = vector(*arms)
    env.reset(seed=0)
    assert [env.step(STILL)[3].tolist()[0] for _ in range(4)] == [True, True, False, False]
    env.close()


def test_what_is_no_fault_of_the_robot_is_raised() -> None:
    env = vector(ToyArm(Raises(ZeroDivisionError("a bug"), 1)), ToyArm())
    env.reset()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        env.step(STILL)
    env.close()


def test_what_is_handed_out_of_a_fault_is_not_shared() -> None:
    env = vector(ToyArm(Raises(REFLEX, since=1), Raises(REFLEX, since=2)), ToyArm(), autoreset_mode=SAME)
    env.reset(seed=0)
    first, second = (env.step(STILL)[4]["final_obs"][0]["state"] for _ in range(2))
    assert not np.shares_memory(first, second)
    env.close()


def test_an_arm_that_a_person_stopped_does_not_move_until_a_reset_names_it(caplog) -> None:
    arms = [ToyArm(Raises(Halted("an operator said stop"), 1)), ToyArm()]
    env = vector(*arms)
    env.reset(seed=0)
    for _ in range(5):
        assert env.step(STILL)[3].tolist() == [True, False]
    assert (arms[0].resets, arms[0].exchanges) == (1, 1)
    assert "arm 0 is given up: Halted: an operator said stop" in caplog.text
    env.reset(options={"reset_mask": np.array([True, False])})
    assert not env.step(STILL)[3].any()
    env.close()
