"""Without lockstep: whoever is ready is heard, nobody waits for another one's reset, and nothing is heard twice."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from toy_arms import Gate, Raises, ToyArm, vector

import user_gym  # noqa: F401
from user_gym.errors import BadAction, BadOption, Closed, LinkLost, NotReset, Reflex, RobotFault
from user_gym.testing.compare import assert_same

ID = "User/PegInsert-sim-v0"
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
STILL = np.zeros((2, 6), np.float32)
REFLEX = Reflex("cartesian_reflex")


def loop(env, answers: int) -> list:
    """The loop of the docstring, with an action for every row that was given."""
    heard = []
    while len(heard) < answers:
        received = env.recv()
        heard.append(received)
        env.send(np.zeros((len(received.ids), 6)), received.ids)
    return heard


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_the_rows_histories_are_those_of_lockstep_bit_for_bit(mode) -> None:
    a = gym.make_vec(ID, 3, independent=True, autoreset_mode=mode, max_episode_steps=4)
    b = gym.make_vec(ID, 3, autoreset_mode=mode, max_episode_steps=4)
    assert_same(a.reset(seed=3), b.reset(seed=3))
    rng = np.random.default_rng(0)
    for k in range(14):
        actions = rng.uniform(-1, 1, (3, 6)).astype(np.float32)
        a.unwrapped.send(actions)
        *step, ids = a.unwrapped.recv(min_ready=3)
        assert ids.tolist() == [0, 1, 2]
        assert_same(tuple(step), b.step(actions), f"step {k}")
    a.close()
    b.close()


def test_an_arm_goes_on_while_another_one_is_being_reset() -> None:
    gate = Gate(2)
    arms = [ToyArm(on_reset=gate), ToyArm()]
    env = vector(*arms, max_episode_steps=5)
    env.reset(seed=0)
    for _ in range(5):
        env.send(STILL)
        *_, truncated, _, ids = env.recv(min_ready=2)
    assert (truncated.tolist(), ids.tolist()) == ([True, True], [0, 1])
    gate.wait()  # its reset began by itself
    heard = loop(env, 24)
    assert all(received.ids.tolist() == [1] for received in heard)
    assert sum(received.truncated[0] for received in heard) == 4
    gate.open()
    while 0 not in (received := env.recv()).ids:
        env.send(np.zeros((len(received.ids), 6)), received.ids)
    row = received.ids.tolist().index(0)
    assert not received.truncated[row]
    assert received.reward[row] == 0.0
    assert received.info["time"][row] == 0.0
    assert (arms[0].exchanges, arms[0].resets) == (5, 2)
    env.close()


def test_an_action_for_an_arm_that_begins_an_episode_is_ignored_whatever_it_is() -> None:
    gate = Gate(2)
    arm = ToyArm(on_reset=gate)
    env = vector(arm, max_episode_steps=1)
    env.reset(seed=0)
    env.send(STILL[:1])
    assert env.recv().truncated.tolist() == [True]
    env.send(np.full((1, 6), np.nan), [0])
    gate.open()
    received = env.recv()
    assert received.info["time"].tolist() == [0.0]
    assert arm.exchanges == 1
    env.send(STILL[:1], received.ids)
    assert env.recv().info["time"] == pytest.approx([0.1])
    env.close()


def test_recv_waits_for_as_many_as_are_asked_for_and_gives_all_that_are_ready() -> None:
    gates = [Gate(1), Gate(1), Gate(1)]
    env = vector(*(ToyArm(gate) for gate in gates))
    env.reset(seed=0)
    env.send(np.zeros((3, 6)))
    gates[2].open()
    assert env.recv().ids.tolist() == [2]
    gates[0].open()
    gates[1].open()
    assert env.recv(min_ready=2).ids.tolist() == [0, 1]
    env.send(np.zeros((2, 6)), [2, 0])
    received = env.recv(min_ready=3)  # two are under way
    assert received.ids.tolist() == [0, 2]
    assert received.obs["state"].shape == (2, 19)
    assert [received.reward.dtype, received.terminated.dtype, received.truncated.dtype] == [float, bool, bool]
    assert env.single_observation_space.contains({"state": received.obs["state"][1]})
    env.close()


def test_actions_go_to_the_arms_that_are_named() -> None:
    env = vector(ToyArm(), ToyArm())
    start = env.reset(seed=0)[0]["state"][:, 0]
    env.send(np.array([[1.0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0]]), [1, 0])
    moved = env.recv(min_ready=2).obs["state"][:, 0] - start
    assert moved.tolist() == pytest.approx([-1.0, 1.0])
    env.close()


def test_same_step_tells_the_end_and_the_beginning_in_one_answer() -> None:
    env = vector(ToyArm(), ToyArm(), autoreset_mode=SAME, max_episode_steps=2)
    env.reset(seed=0)
    env.send(STILL)
    env.recv(2)
    env.send(STILL)
    received = env.recv(2)
    assert received.truncated.tolist() == [True, True]
    assert received.info["final_info"]["time"] == pytest.approx([0.2, 0.2])
    assert received.info["time"].tolist() == [0.0, 0.0]
    env.send(STILL)
    assert env.recv(2).info["time"] == pytest.approx([0.1, 0.1])
    env.close()


def test_without_autoreset_the_caller_resets_and_the_others_go_on() -> None:
    env = vector(ToyArm(), ToyArm(), autoreset_mode=DISABLED, max_episode_steps=1)
    env.reset(seed=0)
    env.send(STILL[:1], [0])
    assert env.recv().truncated.tolist() == [True]
    with pytest.raises(NotReset, match=r"\[0\]"):
        env.send(STILL[:1], [0])
    env.send(STILL[:1], [1])
    env.reset(options={"reset_mask": np.array([True, False])})
    assert env.recv().ids.tolist() == [1]
    env.send(STILL[:1], [0])
    assert env.recv().ids.tolist() == [0]
    env.close()


@pytest.mark.parametrize("mode", [NEXT, SAME], ids=lambda m: m.value)
def test_an_arm_that_is_down_is_heard_again_when_it_is_back(mode) -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(LinkLost("no answer"), 2, 3, 4)), ToyArm()]
    env = vector(*arms, autoreset_mode=mode, retry=0.001)
    env.reset(seed=0)
    env.send(STILL)
    of_the_first = []
    while len(of_the_first) < 3:
        received = env.recv()
        env.send(np.zeros((len(received.ids), 6)), received.ids)
        if 0 in received.ids:
            k = received.ids.tolist().index(0)
            fault = (received.info["final_info"] if mode is SAME and received.truncated[k] else received.info).get("fault")
            of_the_first.append((bool(received.truncated[k]), fault[k] if fault is not None else None))
    end, *others = of_the_first
    assert end == (True, "Reflex: cartesian_reflex")
    assert others == [(False, None)] * 2
    assert arms[0].resets == 5
    assert env.faults == {}
    env.close()


def test_an_arm_that_is_given_up_is_not_heard_again_and_the_others_go_on() -> None:
    arms = [ToyArm(Raises(REFLEX, 1), Raises(REFLEX, since=2)), ToyArm()]
    env = vector(*arms, max_faults=3)
    env.reset(seed=0)
    env.send(STILL)
    heard = loop(env, 60)
    ids = [received.ids.tolist() for received in heard]
    assert sum(0 in given for given in ids) == 1  # its end
    assert ids[-1] == [1]
    assert arms[0].resets == 3
    env.recv()
    env.send(STILL)  # to it as well: nothing happens
    assert env.recv(min_ready=2).ids.tolist() == [1]
    arms[0].on_reset = lambda _: None
    env.reset(options={"reset_mask": np.array([True, False])})
    arms[0].on_exchange = lambda _: None
    env.send(STILL)
    assert env.recv(min_ready=2).ids.tolist() == [0, 1]
    env.close()


def test_with_no_arm_left_the_fault_is_raised() -> None:
    env = vector(*(ToyArm(Raises(REFLEX, 1), Raises(REFLEX, since=2)) for _ in range(2)), max_faults=2)
    env.reset(seed=0)
    env.send(STILL)
    with pytest.raises(RobotFault, match="no arm is left"):
        loop(env, 10)
    with pytest.raises(RobotFault, match="no arm is left"):
        env.recv()
    env.close()


def test_a_reset_drops_what_was_under_way() -> None:
    arms = [ToyArm(), ToyArm()]
    env = vector(*arms, max_episode_steps=1)
    env.reset(seed=0)
    env.send(STILL)
    env.recv(2)  # both begin an episode
    obs = env.reset(seed=7)[0]
    with pytest.raises(NotReset):
        env.recv()
    assert_same(obs, vector(ToyArm(), ToyArm()).reset(seed=7)[0])
    env.send(STILL)
    received = env.recv(2)
    assert received.info["time"] == pytest.approx([0.1, 0.1])
    env.close()


def test_a_reset_does_not_wait_for_the_beginning_that_it_replaces() -> None:
    gate = Gate(1)
    arms = [ToyArm(gate), ToyArm(on_reset=lambda call: gate.open() if call == 2 else None)]
    env = vector(*arms, max_episode_steps=1)
    env.reset(seed=0)
    env.send(STILL[:1], [0])
    gate.wait()
    env.reset(seed=1)  # reaches the other arm while the step of the first is still under way
    assert [arm.resets for arm in arms] == [2, 2]
    env.close()


def test_a_close_ends_the_wait_for_an_arm_that_is_down() -> None:
    env = vector(ToyArm(Raises(REFLEX, 1), Raises(REFLEX, since=2)), ToyArm(), retry=3600.0)
    env.reset(seed=0)
    env.send(STILL)
    env.recv(2)
    env.close()


def test_lockstep_and_send_do_not_mix_while_an_arm_is_under_way() -> None:
    env = vector(ToyArm(), ToyArm())
    env.reset(seed=0)
    env.send(STILL[:1], [1])
    with pytest.raises(BadAction, match=r"\[1\].*recv"):
        env.step(STILL)
    with pytest.raises(BadAction, match=r"\[1\].*recv"):
        env.send(STILL)
    env.recv()
    env.step(STILL)
    env.close()


@pytest.mark.parametrize("ids", [[0, 0], [2], [-1], [0.5], [], [[0]], "0", [True, False]], ids=str)
def test_ids_that_name_no_arm_are_refused(ids) -> None:
    env = vector(ToyArm(), ToyArm())
    env.reset(seed=0)
    with pytest.raises(BadOption, match=r"0 \.\. 1"):
        env.send(STILL, ids)
    env.close()


def test_misuse_is_refused() -> None:
    env = vector(ToyArm(), ToyArm())
    with pytest.raises(NotReset, match=r"reset\(\)"):
        env.send(STILL)
    with pytest.raises(NotReset, match=r"reset\(\)"):
        env.recv()
    env.reset(seed=0)
    with pytest.raises(NotReset, match="send"):
        env.recv()
    with pytest.raises(BadAction, match=r"\(1, 6\)"):
        env.send(STILL, [0])
    for bad in (0, -1, 1.5, None):
        with pytest.raises(BadOption, match="min_ready"):
            env.recv(bad)
    env.close()
    for use in (lambda: env.send(STILL), env.recv):
        with pytest.raises(Closed):
            use()


@pytest.mark.parametrize(
    ("actions", "parts"),
    [
        (None, ["None", "dtype object"]),
        ("left", ["'left'", "dtype <U4"]),
        ([1, 2], ["[1, 2]", "shape (2,)", "dtype int64"]),
        ([[0.0] * 6, [0.0] * 5], ["inhomogeneous"]),
        ([["a"] * 6] * 2, ["shape (2, 6)", "dtype <U1"]),
        (STILL.astype(complex), ["shape (2, 6)", "dtype complex"]),
        (STILL[:, :5], ["shape (2, 5)", "dtype float32"]),
    ],
    ids=str,
)
def test_actions_that_are_none_are_named_with_their_shape_and_type(actions, parts) -> None:
    arms = [ToyArm(), ToyArm()]
    env = vector(*arms)
    env.reset(seed=0)
    for use in (env.send, env.step):
        with pytest.raises(BadAction) as refusal:
            use(actions)
        for part in [*parts, "allowed: an array of shape (2, 6) of numbers"]:
            assert part in str(refusal.value)
    assert [arm.exchanges for arm in arms] == [0, 0]
    env.close()
