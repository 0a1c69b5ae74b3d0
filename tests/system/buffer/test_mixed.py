"""Batches of unlike robots become one, padded and masked, and come apart again as they were."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.core import Batch
from user_gym.errors import BadOption
from user_gym.system.buffer.mixed import join, separate

STEP = ("action", "ordered", "reward", "terminated", "truncated", "policy_version", "is_intervention")


def batch(n, joints, cameras=(), horizon=1, seed=0, extra=()):
    """Random numbers, none of them 0: `cameras` has name -> (height, width), `extra` name -> shape of an item."""
    rng = np.random.default_rng(seed)
    steps = (n,) if horizon == 1 else (n, horizon)

    def floats(*shape):
        return rng.uniform(1, 2, shape).astype(np.float32)

    def seen():
        pictures = {name: rng.integers(1, 255, (n, *size, 3), np.uint8) for name, size in dict(cameras).items()}
        return {"state": floats(n, 2 * joints), **pictures}

    return Batch(
        obs=seen(), next_obs=seen(), action=floats(*steps, joints), ordered=floats(*steps, joints), reward=floats(*steps),
        terminated=rng.random(steps) < 0.5, truncated=rng.random(steps) < 0.5, policy_version=rng.integers(1, 9, steps),
        is_intervention=rng.random(steps) < 0.5, extra={name: floats(*steps, *shape) for name, shape in dict(extra).items()},
        valid=None if horizon == 1 else rng.random(steps) < 0.7,
    )  # fmt: skip


def row(made, i):
    """What one row says without its padding: a dict of arrays; what is beyond the padding must be 0."""
    found = {name: getattr(made, name)[i] for name in STEP}
    found |= {f"obs.{name}": array[i] for name, array in made.obs.items()}
    found |= {f"next_obs.{name}": array[i] for name, array in made.next_obs.items()}
    found |= {f"extra.{name}": array[i] for name, array in made.extra.items()}
    if made.valid is not None:
        found["valid"] = made.valid[i]
    if made.padding is None:
        return found
    for key in list(found):
        of = {"ordered": "action"}.get(key, key.removeprefix("next_"))
        if of not in made.padding.present:
            continue
        inside = np.zeros(found[key].shape, bool)
        end = made.padding.extent[of][i]
        inside[(..., *(slice(size) for size in end))] = made.padding.present[of][i]
        assert not found[key][~inside].any()
        lead = found[key].ndim - len(end)
        found[key] = found[key][(slice(None),) * lead + tuple(slice(size) for size in end)]
        if not made.padding.present[of][i]:
            assert not end.any()
            del found[key]
    return found


def same(one, two):
    return one.keys() == two.keys() and all(
        one[key].dtype == two[key].dtype and np.array_equal(one[key], two[key]) for key in one
    )


@st.composite
def robots(draw):
    """Batches of up to four robots with other joints, cameras and extra columns."""
    horizon, sizes = draw(st.sampled_from([1, 3])), st.tuples(st.integers(1, 3), st.integers(1, 3))
    return [
        batch(
            draw(st.integers(0 if k else 1, 4)),
            draw(st.integers(1, 3)),
            draw(st.dictionaries(st.sampled_from(["front", "wrist"]), sizes, max_size=2)),
            horizon,
            seed=k,
            extra=draw(st.dictionaries(st.sampled_from(["one", "log_prob"]), st.just(()), max_size=2))
            | draw(st.dictionaries(st.just("goal"), st.tuples(st.integers(1, 3)), max_size=1)),
        )
        for k in range(draw(st.integers(1, 4)))
    ]


@settings(max_examples=150, deadline=None)
@given(robots(), st.randoms(use_true_random=False), st.booleans())
def test_each_row_is_whole_within_its_padding_and_comes_apart_again(batches, random, reuse):
    rows = [(made, i) for made in batches for i in range(len(made.reward))]
    order = list(range(len(rows)))
    random.shuffle(order)
    places, taken = [], iter(order)
    for made in batches:
        places.append(np.array([next(taken) for _ in range(len(made.reward))], np.int64))
    joined = join(batches, places)
    if reuse:  # arrays that hold other numbers
        for array in (*joined.obs.values(), *joined.next_obs.values(), *joined.extra.values(), joined.action, joined.ordered):
            array[...] = 77
        joined = join(batches, places, out=joined)
    for (made, i), place in zip(rows, order, strict=True):
        assert same(row(joined, place), row(made, i))
    parts = separate(joined)
    assert sorted(place for part in parts for place in part.rows.tolist()) == sorted(order)
    at = dict(zip(order, rows, strict=True))
    for part in parts:
        assert part.batch.padding is None
        for k, place in enumerate(part.rows.tolist()):
            made, i = at[place]
            assert same(row(part.batch, k), row(made, i))
    again = join([part.batch for part in parts], [part.rows for part in parts])
    assert all(same(row(again, i), row(joined, i)) for i in range(len(rows)))


def test_seven_joints_and_two_cameras_beside_six_and_one():
    franka = batch(2, 7, {"front": (4, 6), "wrist": (4, 4)})
    arx = batch(3, 6, {"front": (5, 5)}, seed=1)
    made = join([franka, arx])
    assert (made.action.shape, made.obs["front"].shape, made.next_obs["wrist"].shape) == ((5, 7), (5, 5, 6, 3), (5, 4, 4, 3))
    assert made.padding.extent["action"].tolist() == [[7], [7], [6], [6], [6]]
    assert made.padding.extent["obs.front"].tolist() == [[4, 6, 3]] * 2 + [[5, 5, 3]] * 3
    assert made.padding.present["obs.wrist"].tolist() == [True, True, False, False, False]
    assert made.padding.present["action"].all()
    mask = np.arange(made.action.shape[-1]) < made.padding.extent["action"]
    assert made.action[mask].all()
    assert not made.action[~mask].any()


def test_like_batches_join_without_padding_and_padded_ones_keep_theirs():
    one, two = batch(2, 3), batch(1, 3, seed=1)
    joined = join([one, two])
    assert joined.padding is None
    np.testing.assert_array_equal(joined.action, np.concatenate([one.action, two.action]))
    padded = join([one, batch(1, 2, {"front": (2, 2)}, seed=2)])
    twice = join([padded, two])
    assert twice.padding.present["obs.front"].tolist() == [False, False, True, False]
    assert twice.padding.extent["action"].ravel().tolist() == [3, 3, 2, 3]
    assert len(separate(one)) == 1
    assert separate(one)[0].batch is one


def test_arrays_larger_than_the_rows_pad_them():
    room = join([batch(2, 7, {"front": (4, 4)}), batch(1, 3, seed=1)])
    made = join([batch(3, 6, seed=2)], out=room)
    assert made.action is room.action
    assert made.padding.extent["action"].ravel().tolist() == [6, 6, 6]
    assert not made.padding.present["obs.front"].any()
    assert not made.obs["front"].any()


def test_what_cannot_be_padded_is_refused_with_the_column_and_the_cure():
    one, other = batch(2, 3, {"front": (4, 4)}), batch(2, 3, {"front": (4, 4)}, seed=1)
    wide = replace(other, obs=other.obs | {"state": other.obs["state"].astype(np.float64)})
    with pytest.raises(BadOption, match=r"'obs.state'.*float32\(6,\) and float64\(6,\).*view\(\"robot = "):
        join([one, wide])
    grey = replace(other, obs=other.obs | {"front": other.obs["front"][..., 0]})
    with pytest.raises(BadOption, match=r"'obs.front'.*\(4, 4, 3\) and uint8\(4, 4\)"):
        join([one, grey])
    with pytest.raises(BadOption, match="all of the same horizon"):
        join([one, batch(2, 3, horizon=2)])
    with pytest.raises(BadOption, match="one batch or more"):
        join([])


@pytest.mark.parametrize("out", [batch(3, 7), batch(4, 6), batch(4, 7, horizon=2), batch(4, 7, {"front": (1, 9)})])
def test_arrays_without_room_are_refused(out):
    with pytest.raises(BadOption, match="out"):
        join([batch(2, 7, {"front": (2, 2)}), batch(2, 6, seed=1)], out=out)
