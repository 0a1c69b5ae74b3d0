"""Many twins stepped together: independent of each other, of their number and of the threads."""

from dataclasses import fields, replace

import numpy as np
import pytest

from user_gym.core import Command, Compliance, RobotState, Start
from user_gym.errors import BadOption, Closed, NotReset, Unreachable
from user_gym.robots import specs
from user_gym.sim.cell import build_batch
from user_gym.sim.plant import compile_plant
from user_gym.sim.twins import MujocoTwins
from user_gym.tasks.peg_insert import PegInsert

SPEC = specs.spec("arx-x5")
TASK = PegInsert(SPEC)


def starts(n, seed=0) -> Start:
    rows = [TASK.start(np.random.default_rng(seed + i)) for i in range(n)]
    return Start(
        tcp=np.stack([s.tcp for s in rows]),
        gripper=np.zeros(n),
        objects=np.stack([s.objects for s in rows]),
        progress=np.zeros((n, 0)),
        seed=np.arange(n) + seed,
    )


def twins(n=1, threads=1) -> MujocoTwins:
    batch = MujocoTwins(compile_plant(SPEC, TASK, "tcp", 0.004), n, threads)
    batch.connect()
    return batch


def everyone(n):
    return np.ones(n, bool)


def episode(n, threads) -> list[RobotState]:
    batch = twins(n, threads)
    states = [batch.reset(everyone(n), starts(n))]
    rng = np.random.default_rng(5)
    for _ in range(12):
        moves = rng.uniform(-0.02, 0.02, (8, 6))[:n] - [0, 0, 0.01, 0, 0, 0]
        states.append(batch.exchange(Command(np.zeros(n), tcp=states[-1].tcp + moves)))
    batch.close()
    return states


def rows(states, i) -> list[bytes]:
    return [getattr(state, f.name)[i].tobytes() for state in states for f in fields(RobotState)]


def test_threads_and_neighbours_change_no_bit() -> None:
    one, two, alone = episode(5, 1), episode(5, 2), episode(1, 1)
    for i in range(5):
        assert rows(one, i) == rows(two, i)
    assert rows(one, 0) == rows(alone, 0)
    assert max(np.abs(s.wrench).max() for s in one) > 1.0  # there was contact


def test_what_cannot_be_reached_is_refused_before_any_arm_moves() -> None:
    batch = twins(2)
    first = batch.reset(everyone(2), starts(2))
    far = starts(2)
    far.tcp[1, 0] = 2.0
    with pytest.raises(Unreachable, match=r"arx-x5 cannot reach TCP position \[2\."):
        batch.reset(everyone(2), far)
    now = batch.exchange(Command(np.zeros(2), tcp=first.tcp))
    again = twins(2)
    again.reset(everyone(2), starts(2))
    assert rows([now], 0) == rows([again.exchange(Command(np.zeros(2), tcp=first.tcp))], 0)


@pytest.mark.parametrize(("count", "threads"), [(0, 1), (1, 0), (-1, 1)])
def test_numbers_below_one_are_refused(count, threads) -> None:
    with pytest.raises(BadOption, match="a whole number, 1"):
        MujocoTwins(compile_plant(SPEC, TASK, "tcp", 0.004), count, threads)


@pytest.mark.parametrize("field", ["stiffness", "damping", "error_clip"])
@pytest.mark.parametrize("value", [np.full(6, -1.0), np.full(6, np.nan), np.ones(3)], ids=["negative", "nan", "short"])
def test_bad_compliance_is_refused(field, value) -> None:
    batch = twins()
    own = SPEC.compliance
    with pytest.raises(BadOption, match=rf"compliance\.{field}"):
        batch.set_compliance(replace(Compliance(own.stiffness, own.damping, own.error_clip), **{field: value}))


def test_a_closed_batch_says_so() -> None:
    batch = twins()
    batch.close()
    batch.close()
    for use in (batch.observe, batch.clock, lambda: batch.reset(everyone(1), starts(1))):
        with pytest.raises(Closed, match="connect"):
            use()


def test_a_closed_batch_can_be_connected_again_and_must_be_reset() -> None:
    batch = twins()
    batch.reset(everyone(1), starts(1))
    batch.close()
    batch.connect()
    with pytest.raises(NotReset):
        batch.exchange(Command(np.zeros(1), tcp=starts(1).tcp))
    batch.reset(everyone(1), starts(1))


def test_the_scene_is_where_the_start_put_it() -> None:
    batch = twins(3)
    begin = starts(3)
    batch.reset(everyone(3), begin)
    scene = batch.observe()
    assert scene.names == ("board",)
    assert scene.source == "sim"
    assert scene.valid.all()
    assert np.allclose(scene.pose("board"), begin.objects[:, 0], atol=1e-12)


def test_cameras_of_a_batch_give_one_picture_each() -> None:
    cell = build_batch(SPEC, TASK, "tcp", 2)
    cell.robot.connect()
    cell.robot.reset(everyone(2), starts(2))
    camera = cell.cameras["side"]
    camera.connect()
    frame = camera.read()
    assert frame.image.shape == (2, 128, 128, 3)
    assert not np.array_equal(frame.image[0], frame.image[1])
    assert frame.time == 0.0
    camera.close()
    cell.robot.close()
