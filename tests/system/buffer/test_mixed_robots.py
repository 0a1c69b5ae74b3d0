"""Arms with seven and with six joints, one and two cameras, in one buffer: against a brute-force reading of the chunks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import episode

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.system.buffer.mixed import separate

ROBOTS = {"franka-fr3": (7, ("camera",)), "arx-x5": (6, ("camera", "wrist")), "blind": (6, ())}


def arm(robot, steps, number, chunks=1, ends="terminated"):
    """An episode of one robot; every number of a row says which row it is."""
    joints, cameras = ROBOTS[robot]
    made = []
    for chunk in episode(steps, number, first=100 * number, chunks=chunks, ends=ends, source=robot, robot=robot):
        rows = np.arange(len(chunk) + 1) + chunk.reward[0]
        obs = {"state": np.repeat(rows[:, None], joints, 1).astype(np.float32)}
        for name in cameras:
            obs[name] = chunk.obs["camera"][:, : 40 if name == "camera" else 36]
        action = np.repeat(chunk.reward[:, None], joints, 1)
        made.append(replace(chunk, obs=obs, action=action, ordered=action + 1, extra={"depth": np.repeat(action, 2, 1)}))
    return made


def check(batch, chunks, horizon):
    """Every row is what its chunks say, in its part of the arrays; the rest is 0 and said to be padding."""
    whole = {int(c.reward[i]): (c, i) for c in chunks for i in range(len(c))}
    several = len({c.robot for c in chunks}) > 1
    for row in range(len(batch.reward)):
        begin = int(batch.reward[row] if horizon == 1 else batch.reward[row, 0])
        chunk, i = whole[begin]
        joints, cameras = ROBOTS[chunk.robot]
        count = 1
        while count < horizon and begin + count in whole and whole[begin + count][0].episode == chunk.episode:
            count += 1
        last, j = whole[begin + count - 1]
        if horizon > 1:
            assert batch.valid[row].tolist() == [True] * count + [False] * (horizon - count)
        actions = batch.action[row] if horizon > 1 else batch.action[row][None]
        expected = np.zeros_like(actions)
        expected[:count, :joints] = np.arange(begin, begin + count)[:, None]
        np.testing.assert_array_equal(actions, expected)
        for obs, source, at in ((batch.obs, chunk, i), (batch.next_obs, last, j + 1)):
            for name, array in obs.items():
                wanted = np.zeros_like(array[row])
                if name in source.obs:
                    item = source.obs[name][at]
                    wanted[tuple(slice(size) for size in item.shape)] = item
                np.testing.assert_array_equal(array[row], wanted)
        if several and batch.padding is not None:
            assert batch.padding.extent["action"][row].tolist() == [joints]
            assert {
                n for n in ("camera", "wrist") if f"obs.{n}" in batch.padding.present and batch.padding.present[f"obs.{n}"][row]
            } == set(cameras)


@st.composite
def histories(draw):
    chunks = []
    for number in range(draw(st.integers(1, 5))):
        robot, steps = draw(st.sampled_from(sorted(ROBOTS))), draw(st.integers(1, 9))
        ends = draw(st.sampled_from(["terminated", "truncated", "open"]))
        chunks.append(arm(robot, steps, number, draw(st.integers(1, min(3, steps))), ends))
    # Robots take turns: chunks of several episodes come between each other.
    order = draw(st.permutations([k for k, made in enumerate(chunks) for _ in made]))
    waiting = [list(made) for made in chunks]
    return [waiting[k].pop(0) for k in order]


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(1, 5), st.sampled_from([{}, {"cache_bytes": 0}, {"cache_bytes": 1 << 15}]), st.booleans())
def test_every_row_is_what_its_robot_did(chunks, horizon, options, with_out):
    with Buffer.open(":memory:", **options) as buffer:
        for chunk in chunks:
            buffer.append(chunk)
        for seed in range(2):
            out = buffer.empty(40, horizon) if with_out else None
            batch = buffer.sample(40, np.random.default_rng(seed), horizon, out)
            check(batch, chunks, horizon)
            if out is not None:
                assert batch.action is out.action
            for part in separate(batch):
                check(part.batch, chunks, horizon)


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_loader_goes_on_when_a_larger_robot_comes(tmp_path, horizon):
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        chunks = arm("blind", 8, 0, chunks=2)
        for chunk in chunks:
            buffer.append(chunk)
        with buffer.loader(32, horizon=horizon, ahead=2) as loader:
            for _ in range(4):
                check(next(loader), chunks, horizon)
            for number, robot in enumerate(("arx-x5", "franka-fr3"), 1):
                later = arm(robot, 8, number, chunks=2)
                buffer.extend(later)  # at once: a run that is drawn in between would end where the first chunk does
                chunks += later
            widths = set()
            for _ in range(12):
                batch = next(loader)
                check(batch, chunks, horizon)
                widths.add(batch.action.shape[-1])
            assert max(widths) == 7


def test_the_robots_of_a_buffer_are_drawn_each_alone_through_views(tmp_path):
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        chunks = [chunk for number, robot in enumerate(ROBOTS) for chunk in arm(robot, 9, number, chunks=3)]
        for chunk in chunks:
            buffer.append(chunk)
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        for robot, (joints, cameras) in ROBOTS.items():
            batch = buffer.view(f"robot = '{robot}'").sample(30, np.random.default_rng(0), 3)
            assert batch.action.shape == (30, 3, joints)
            assert batch.padding is None
            assert set(batch.obs) == {"state", *cameras}
            check(batch, chunks, 3)


def test_arrays_without_room_for_a_robot_are_refused():
    with Buffer.open(":memory:") as buffer:
        buffer.append(arm("blind", 4, 0)[0])
        small = buffer.empty(20)
        buffer.append(arm("franka-fr3", 4, 1)[0])
        with pytest.raises(BadOption, match="out"):
            buffer.sample(20, np.random.default_rng(0), out=small)
