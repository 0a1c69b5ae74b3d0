"""Arms on threads of their own: the sum of single environments, and nobody waits for another one without need."""

import threading
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_arms import PATIENCE, SPEC, Gate, ToyArm, vector

from user_gym.core import Compliance
from user_gym.errors import BadAction, BadOption, Closed, Reflex
from user_gym.testing.vector_suite import VectorSuite
from user_gym.vector import IndependentVectorEnv, RobotVectorEnv

ID = "User/PegInsert-sim-v0"
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
STILL = np.zeros((2, 6), np.float32)
REFLEX = Reflex("cartesian_reflex")


class TestIndependentTwins(VectorSuite):
    vector_kwargs: ClassVar = {"independent": True}


class TestIndependentPixels(VectorSuite):
    kwargs: ClassVar = {"robot": "arx-x5", "obs": "pixels"}
    vector_kwargs: ClassVar = {"independent": True}


def test_all_orders_leave_before_any_answer_is_awaited() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    arms = [ToyArm(lambda _: together.wait() and None, lambda _: together.wait() and None) for _ in range(3)]
    env = vector(*arms)
    env.reset(seed=0)  # each arm's reset waits for the others' as well
    for _ in range(3):
        env.step(np.zeros((3, 6)))
    assert [arm.exchanges for arm in arms] == [3, 3, 3]
    env.close()


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_arms_that_restart_do_it_together(mode) -> None:
    together = threading.Barrier(2, timeout=PATIENCE)
    env = vector(
        *(ToyArm(on_reset=lambda _: together.wait() and None) for _ in range(2)), autoreset_mode=mode, max_episode_steps=1
    )
    env.reset()
    env.step(STILL)
    env.step(STILL)
    assert together.n_waiting == 0
    env.close()


def test_each_arm_is_touched_by_one_thread_only_and_the_threads_end() -> None:
    arms = [ToyArm(), ToyArm()]
    env = vector(*arms)
    assert not any(thread.name.startswith("user-gym arm") for thread in threading.enumerate())
    env.reset()
    env.step(STILL)
    env.set_compliance(SPEC.compliance)
    assert arms[1].compliance is SPEC.compliance
    env.close()
    env.close()
    assert [arm.threads for arm in arms] == [{"user-gym arm 0_0"}, {"user-gym arm 1_0"}]
    assert [arm.closed for arm in arms] == [1, 1]
    assert not any(thread.name.startswith("user-gym arm") for thread in threading.enumerate())


def test_each_arm_answers_calls_and_attributes() -> None:
    env = gym.make_vec(ID, 2, independent=True, render_mode="rgb_array")
    assert env.get_attr("task_description") == ("insert the red peg into the hole of the board",) * 2
    assert env.get_attr("_max_episode_steps") == (100, 100)
    env.set_attr("note", [1, 2])
    assert env.get_attr("note") == (1, 2)
    env.set_attr("note", 3)
    assert env.get_attr("note") == (3, 3)
    with pytest.raises(BadOption, match="or 2 of them"):
        env.set_attr("note", [1, 2, 3])
    env.reset(seed=0)
    assert env.unwrapped.state.tcp.shape == (2, 6)
    pictures = env.render()
    assert [p.shape for p in pictures] == [(480, 480, 3)] * 2
    assert not np.array_equal(*pictures)
    with pytest.raises(BadOption):
        env.unwrapped.set_compliance(Compliance(*(-np.ones(6) for _ in range(3))))
    env.close()
    with pytest.raises(Closed):
        env.render()


def test_the_backend_decides_and_the_caller_may() -> None:
    for options, kind in (
        ({}, RobotVectorEnv),
        ({"independent": True}, IndependentVectorEnv),
        ({"robots": [{}, {}]}, IndependentVectorEnv),
    ):
        for given in (options, {"vector_kwargs": options}):
            env = gym.make_vec(ID, 2, **given)
            assert type(env.unwrapped) is kind
            again = gym.make_vec(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
            assert type(again.unwrapped) is kind
            assert again.spec == env.spec


def test_gymnasiums_own_vectorisers_get_their_own_options() -> None:
    env = gym.make_vec(ID, 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": SAME})
    assert type(env.unwrapped) is gym.vector.SyncVectorEnv
    assert env.metadata["autoreset_mode"] is SAME


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"autoreset_mode": "Sometimes"}, "NextStep | SameStep | Disabled"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"retry": -1}, "retry"),
        ({"retry": float("nan")}, "retry"),
        ({"max_faults": 0}, "max_faults"),
        ({"rows": [{}, {}]}, "rows"),
        ({"num_envs": 2, "control": "joint", "rows": [{}, {"robot": "arx-x5"}]}, "robot of arm 1 'arx-x5'"),
        ({"threads": 2}, "'threads'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(BadOption, match=message.replace("|", r"\|")):
        IndependentVectorEnv(**options)


def test_a_bad_action_of_one_arm_moves_nobody() -> None:
    arms = [ToyArm(), ToyArm()]
    env = vector(*arms)
    env.reset()
    actions = STILL.copy()
    actions[1, 3] = np.inf
    for use in (env.step, env.send):
        with pytest.raises(BadAction, match=r"arm 1.*finite"):
            use(actions)
    assert [arm.exchanges for arm in arms] == [0, 0]
    env.close()


@pytest.mark.parametrize("way", ["step", "recv", "reset"])
def test_arms_that_wait_for_another_one_are_told_that_nobody_forgot_them(way) -> None:
    """A real arm stops where it hears nothing for a second; a neighbour's reset takes longer."""
    gate, waiting = Gate(2), threading.Event()
    slow, quick = ToyArm(on_reset=gate), Attentive(waiting)
    env = vector(slow, quick, autoreset_mode=DISABLED if way == "reset" else NEXT, max_episode_steps=1 if way == "recv" else 2)
    env.reset(seed=0)

    def open_when_told() -> None:
        gate.wait()
        assert waiting.wait(PATIENCE)
        gate.open()

    other = threading.Thread(target=open_when_told)
    other.start()
    if way == "step":
        for _ in range(3):
            env.step(STILL)
    elif way == "recv":
        env.send(STILL[:1], [0])
        env.recv()
        assert not waiting.is_set()
        env.recv()
    else:
        env.reset(options={"reset_mask": np.array([True, False])})
    other.join(PATIENCE)
    assert quick.threads == {"user-gym arm 1_0"}
    env.close()


class Attentive(ToyArm):
    """It tells the test that it was attended to."""

    def __init__(self, told: threading.Event) -> None:
        super().__init__()
        self.told = told

    def attend(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.set()
