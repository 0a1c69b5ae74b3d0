"""Shares of a batch."""

from itertools import chain

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadOption
from user_gym.system import Buffer, Mixture


@pytest.fixture
def buffer():
    with Buffer.open(":memory:") as opened:
        yield opened


def shares(batch):
    """How many rows come from the demonstration, whose rewards begin at 100."""
    first = batch.reward if batch.valid is None else batch.reward[:, 0]
    return int((first >= 100).sum()), int((first < 100).sum())


def demonstrated(buffer):
    """Fifty steps of a policy and three of a person, as two views."""
    buffer.append(chunk(50))
    buffer.append(chunk(3, base=100, source="human", kind="demo"))
    return buffer.view("kind = 'demo'"), buffer.view("kind = 'policy'")


def arm(robot, joints, base, cameras=(), steps=6):
    """A chunk of a robot with so many joints; all its numbers are its steps', from `base`."""
    rows = np.arange(base, base + steps + 1, dtype=np.float32)
    obs = {"state": np.repeat(rows[:, None], 2 * joints, 1)}
    obs |= {name: np.full((steps + 1, 4, 4, 3), 1 + base % 200, np.uint8) for name in cameras}
    action = np.repeat(rows[:-1, None], joints, 1)
    return chunk(steps, base=base, source=robot, robot=robot, obs=obs, action=action, ordered=action + 0.5)


def test_each_part_gives_its_share_and_columns_stay_together(buffer):
    demos, rest = demonstrated(buffer)
    batch = Mixture([(demos, 0.5), (rest, 0.5)], batch_size=64)(buffer, np.random.default_rng(0))
    assert shares(batch) == (32, 32)
    np.testing.assert_array_equal(batch.obs["state"][:, 0], batch.reward)
    np.testing.assert_array_equal(batch.next_obs["state"][:, 0], batch.reward + 1)
    np.testing.assert_array_equal(batch.action[:, 0], batch.reward)
    np.testing.assert_array_equal(batch.ordered[:, 0], batch.reward + 0.5)
    assert len(batch.terminated) == len(batch.truncated) == len(batch.policy_version) == len(batch.is_intervention) == 64
    uneven = Mixture([(demos, 1), (rest, 2)], batch_size=10)(buffer, np.random.default_rng(0))
    assert shares(uneven) == (3, 7)
    assert shares(Mixture([(demos, 2), (rest, 1)], batch_size=10)(buffer, np.random.default_rng(0))) == (7, 3)


def test_an_empty_part_leaves_its_share_to_the_others(buffer):
    mixture = Mixture([(buffer.view("kind = 'demo'"), 0.5), (buffer.view("kind = 'policy'"), 0.5)], batch_size=8)
    with pytest.raises(BadOption, match="empty"):
        mixture(buffer, np.random.default_rng(0))
    buffer.append(chunk(5))
    assert shares(mixture(buffer, np.random.default_rng(0))) == (0, 8)
    with mixture.loader() as loader:
        assert shares(next(loader)) == (0, 8)


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_loader_keeps_the_shares_in_arrays_that_it_fills_again(buffer, horizon):
    demos, rest = demonstrated(buffer)
    mixture = Mixture([(demos, 1), (rest, 3)], batch_size=32, horizon=horizon)
    with mixture.loader(seed=4, ahead=2) as loader:
        drawn = [next(loader) for _ in range(6)]
        assert len({id(batch.reward) for batch in drawn}) == 4  # two sets, each of two small batches
        assert [shares(batch) for batch in (next(loader) for _ in range(6))] == [(8, 24)] * 6
    first = drawn[-1].reward if horizon == 1 else drawn[-1].reward[:, 0]
    np.testing.assert_array_equal(drawn[-1].obs["state"][:, 0], first)


def test_interventions_weigh_as_much_as_they_are_told_to(buffer):
    buffer.append(chunk(40, is_intervention=np.arange(40) == 7))
    human, all_of_it = buffer.view("is_intervention"), buffer
    batch = Mixture([(human, 1), (all_of_it, 1)], batch_size=20)(buffer, np.random.default_rng(0))
    assert batch.reward[:10].tolist() == [7] * 10


def test_each_robot_has_its_share_and_one_batch_holds_all_of_them(buffer):
    buffer.append(arm("franka", 7, 10, ["front", "wrist"]))
    buffer.append(arm("arx", 6, 50, ["front"]))
    parts = [(buffer.view(f"robot = '{robot}'"), 1) for robot in ("franka", "arx")]
    mixture = Mixture(parts, batch_size=10)
    with mixture.loader() as loader:
        for _, batch in zip(range(4), chain([mixture(buffer, np.random.default_rng(0))], loader), strict=False):
            assert batch.padding.extent["action"].ravel().tolist() == [7] * 5 + [6] * 5
            assert batch.padding.present["obs.wrist"].tolist() == [True] * 5 + [False] * 5
            assert batch.obs["front"][:, 0, 0, 0].tolist() == [11] * 5 + [51] * 5
            assert not batch.obs["wrist"][5:].any()
            assert not batch.action[5:, 6].any()
            np.testing.assert_array_equal(batch.action[:, 5], batch.reward)
            np.testing.assert_array_equal(batch.next_obs["state"][:, 11], batch.reward + 1)


def test_parts_may_be_buffers_of_their_own_and_rewards_of_labels(buffer):
    with Buffer.open(":memory:") as demos:
        demos.append(chunk(3, base=100, kind="demo"))
        demos.view("TRUE").relabel("score", 500.0, source="x")
        mixture = Mixture([(demos.view("TRUE", reward="score"), 1), (buffer, 1)], batch_size=8)
        assert mixture(buffer, np.random.default_rng(0)).reward.tolist() == [500] * 8
        buffer.append(chunk(5))
        with mixture.loader() as loader:
            batch = next(loader)
        assert batch.reward[:4].tolist() == [500] * 4
        assert batch.reward[4:].max() < 5
        np.testing.assert_array_equal(batch.obs["state"][4:, 0], batch.reward[4:])


def test_senseless_shares_are_refused(buffer):
    for parts, size in (([], 8), ([(buffer, 0.0)], 8), ([(buffer, 1), (buffer, 1)], 1), ([(buffer, 1)] * 101, 200)):
        with pytest.raises(BadOption):
            Mixture(parts, size)


def test_a_part_that_numbers_nothing_has_no_loader(buffer):
    class Other:
        def __len__(self):
            return 1

    with pytest.raises(BadOption, match="a Buffer or a view of one"):
        Mixture([(buffer, 1), (Other(), 1)], 8).loader()
