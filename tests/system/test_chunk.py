"""Steps become chunks, and unsound chunks are refused by name."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadChunk, BadOption, NotReset
from user_gym.system import Buffer, ChunkBuilder, check


def observation(i):
    return {"state": np.full(2, i, np.float32)}


def collect(builder, steps, end=True, info=lambda i: {}):
    """Chunks of one episode whose observation i is full of i."""
    builder.start(observation(0), episode=4)
    chunks = []
    for i in range(steps):
        last = end and i == steps - 1
        chunks.append(builder.add(np.array([i], np.float32), i, False, last, info(i), observation(i + 1), version=i))
    return [c for c in chunks if c is not None]


def test_a_chunk_spans_at_most_a_second_and_borders_are_shared():
    chunks = collect(ChunkBuilder("a", "r", "t"), 25)
    assert [len(c) for c in chunks] == [10, 10, 5]
    assert [c.sequence for c in chunks] == [0, 1, 2]
    for c in chunks:
        check(c)
    for one, two in pairwise(chunks):
        np.testing.assert_array_equal(one.obs["state"][-1], two.obs["state"][0])
    np.testing.assert_array_equal(np.concatenate([c.action[:, 0] for c in chunks]), np.arange(25))
    np.testing.assert_array_equal(np.concatenate([c.policy_version for c in chunks]), np.arange(25))


def test_time_in_info_rules_over_the_period():
    chunks = collect(ChunkBuilder("a", "r", "t", period=0.1), 8, info=lambda i: {"time": 0.25 * (i + 1)})
    assert [len(c) for c in chunks] == [4, 4]
    assert chunks[1].time[0] == 1.25


def test_an_emitted_chunk_is_not_written_again():
    builder = ChunkBuilder("a", "r", "t")
    first, *_ = collect(builder, 10)
    before = first.obs["state"].copy(), first.action.copy(), first.ordered.copy()
    collect(builder, 10, info=lambda i: {"executed_action": np.array([9.0]), "intervene_action": np.array([8.0])})
    np.testing.assert_array_equal(first.obs["state"], before[0])
    np.testing.assert_array_equal(first.action, before[1])
    np.testing.assert_array_equal(first.ordered, before[2])


def test_what_info_says_is_stored():
    said = {
        "executed_action": np.array([0.25], np.float64),
        "is_success": True,
        "is_intervention": True,
        "reward_source": "human",
    }
    (made,) = collect(ChunkBuilder("a", "r", "t"), 2, info=lambda i: said if i == 1 else {})
    np.testing.assert_array_equal(made.action[:, 0], np.array([0, 0.25], np.float32))
    assert made.success.tolist() == made.is_intervention.tolist() == [False, True]
    assert made.reward_source == ("rule", "human")


def test_what_was_ordered_is_kept_beside_what_was_executed():
    clamped = {"executed_action": np.array([0.25], np.float64)}
    infos = [{}, clamped, clamped | {"intervene_action": np.array([7.0], np.float64)}]
    (made,) = collect(ChunkBuilder("a", "r", "t"), 3, info=lambda i: infos[i])
    check(made)
    assert made.action[:, 0].tolist() == [0.0, 0.25, 0.25]
    assert made.ordered[:, 0].tolist() == [0.0, 1.0, 7.0]  # the policy's own, the policy's, the human's


def test_an_order_of_another_shape_than_the_executed_action_is_refused():
    builder = ChunkBuilder("a", "r", "t")
    builder.start(observation(0), 0)
    with pytest.raises(BadChunk, match=r"ordered action has shape \(1,\); allowed: \(2,\)"):
        builder.add(np.zeros(1), 0, False, False, {"executed_action": np.zeros(2)}, observation(1), 0)


def test_long_chunks_outgrow_the_first_columns():
    (made,) = collect(ChunkBuilder("a", "r", "t", max_seconds=100.0), 300)
    np.testing.assert_array_equal(made.obs["state"][:, 0], np.arange(301))
    np.testing.assert_array_equal(made.reward, np.arange(300))


def test_flush_gives_the_rest_once_and_nothing_after_the_end():
    builder = ChunkBuilder("a", "r", "t")
    collect(builder, 3, end=False)
    rest = builder.flush()
    assert rest is not None
    assert len(rest) == 3
    assert builder.flush() is None
    collect(builder, 3)
    assert builder.flush() is None


def test_the_wall_time_is_that_of_the_chunks_first_observation_and_the_offset_leads_there():
    wall = iter(range(100, 200))
    builder = ChunkBuilder("a", "r", "t", clock="robot 7", wall_clock=lambda: float(next(wall)))
    builder.start(observation(0), 0, time=40.0)
    add = builder.add
    made = [add(np.zeros(1), 0, False, i == 13, {"time": 40.1 + 0.1 * i}, observation(i + 1), 0) for i in range(14)]
    one, two = made[9], made[13]
    assert (one.clock, one.wall_time, one.clock_offset) == ("robot 7", 100.0, 60.0)
    assert (two.wall_time, two.clock_offset) == (110.0, pytest.approx(110 - 41.0))


def test_a_rest_that_is_truncated_says_so_and_ends_the_episode():
    builder = ChunkBuilder("a", "r", "t")
    collect(builder, 13, end=False)
    rest = builder.flush(truncated=True)
    assert rest.truncated.tolist() == [False, False, True]
    with pytest.raises(NotReset):
        builder.add(np.zeros(1), 0, False, False, {}, observation(0), 0)
    collect(builder, 10, end=False)
    assert builder.flush(truncated=True) is None  # all its steps have left


def test_no_policy_chose_what_a_human_did():
    (made,) = collect(ChunkBuilder("a", "r", "t"), 4, info=lambda i: {"is_intervention": i in (1, 2)})
    assert made.policy_version.tolist() == [0, -1, -1, 3]


def test_further_columns_take_what_is_given_and_say_where_nothing_was():
    absent = {"log_prob": np.float32("nan"), "latent": np.zeros(2, np.int16)}
    builder = ChunkBuilder("a", "r", "t", max_seconds=100.0, extra=absent, env_id="E-v0", spec_hash="s")
    builder.start(observation(0), 0)
    given = [{"log_prob": 0.5}, {"latent": [1, 2]}, {"log_prob": 0.25}, None]
    for i in range(100):
        by_human = {"is_intervention": i == 2}
        made = builder.add(np.zeros(1), 0, False, i == 99, by_human, observation(i + 1), 0, given[min(i, 3)])
    check(made)
    assert (made.env_id, made.spec_hash) == ("E-v0", "s")
    assert made.extra["log_prob"].dtype == np.float32
    assert made.extra["log_prob"][0] == 0.5
    assert np.isnan(made.extra["log_prob"][1:]).all()  # the third was a human's
    assert made.extra["latent"].tolist() == [[0, 0], [1, 2]] + [[0, 0]] * 98


@pytest.mark.parametrize(
    ("given", "says"), [({"prob": 0.5}, r"\['prob'\]; allowed: \['log_prob'\]"), ({"log_prob": [0.5]}, r"'log_prob' .*\(1,\)")]
)
def test_further_columns_that_were_not_announced_are_refused(given, says):
    builder = ChunkBuilder("a", "r", "t", extra={"log_prob": np.float32("nan")})
    builder.start(observation(0), 0)
    with pytest.raises(BadChunk, match=says):
        builder.add(np.zeros(1), 0, False, False, {}, observation(1), 0, given)


def test_a_step_before_start_or_after_the_end_is_refused():
    builder = ChunkBuilder("a", "r", "t")
    with pytest.raises(NotReset, match="start"):
        builder.add(np.zeros(1), 0, False, False, {}, observation(0), 0)
    collect(builder, 3)
    with pytest.raises(NotReset, match="start"):
        builder.add(np.zeros(1), 0, False, False, {}, observation(0), 0)


@pytest.mark.parametrize(
    ("obs", "says"),
    [
        ({"image": np.zeros(2, np.float32)}, "keys"),
        ({"state": np.zeros(3, np.float32)}, r"\(3,\)"),
        ({"state": np.zeros(1, np.float32)}, r"\(1,\)"),  # would broadcast
        ({"state": np.zeros(2)}, "float64"),
    ],
)
def test_an_observation_that_changes_is_refused(obs, says):
    builder = ChunkBuilder("a", "r", "t")
    builder.start(observation(0), 0)
    with pytest.raises(BadChunk, match=says):
        builder.add(np.zeros(1), 0, False, False, {}, obs, 0)


@pytest.mark.parametrize("options", [{"kind": "film"}, {"max_seconds": 0}, {"period": float("nan")}])
def test_options_outside_what_is_allowed_are_refused(options):
    with pytest.raises(BadOption, match=next(iter(options))):
        ChunkBuilder("a", "r", "t", **options)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"obs": {"state": np.zeros((3, 2))}}, "'state' has 3 rows; 3 steps need 4"),
        ({"obs": {}}, "no observation"),
        ({"obs": {"state": np.array([[0.0], [0], [np.nan], [0]])}}, "observation 'state' is not finite in row 2"),
        ({"action": np.zeros((2, 1), np.float32)}, "action has 2 rows"),
        ({"action": np.zeros((3, 1))}, "action is float64"),
        ({"ordered": np.zeros((2, 1), np.float32)}, "ordered has 2 rows"),
        ({"ordered": np.zeros(3, np.float32)}, r"ordered is float32\(3,\)"),
        ({"ordered": np.zeros((3, 2), np.float32)}, r"ordered has shape \(3, 2\); action has \(3, 1\)"),
        ({"ordered": np.array([[0], [np.inf], [0]], np.float32)}, "ordered is not finite in row 1"),
        ({"action": np.array([[0], [np.nan], [0]], np.float32)}, "action is not finite in row 1"),
        ({"reward": np.array([0, 1, np.inf], np.float32)}, "reward is not finite in row 2"),
        ({"terminated": np.zeros(3)}, "terminated is float64"),
        ({"truncated": np.zeros(2, bool)}, "truncated has 2 rows"),
        ({"time": np.array([0.1, 0.1, 0.2])}, "time does not increase at row 1"),
        ({"time": np.array([0.1, np.nan, 0.2])}, "time is not finite in row 1"),
        ({"terminated": np.array([True, False, False])}, "ends in row 0 of 3"),
        ({"reward_source": ("rule",)}, "reward_source has 1 rows"),
        ({"extra": {"log_prob": np.zeros(2)}}, r"extra 'log_prob' has shape \(2,\); reward has 3 rows"),
        ({"kind": "film"}, "kind 'film'"),
        ({"sequence": -1}, "negative"),
        ({"episode": 1.5}, "episode is 1.5; allowed: a whole number"),  # would be taken for episode 1
        ({"sequence": True}, "sequence is True; allowed: a whole number"),
        ({"episode": "7"}, "episode is '7'"),
        ({"wall_time": "noon"}, "wall_time is 'noon'; allowed: a number, s"),
        ({"clock_offset": None}, "clock_offset is None"),
        ({"obs": {"state": [[0.0]] * 4}}, "'state' is of type list"),
        ({"obs": {"state": np.ma.masked_array(np.zeros((4, 1)), mask=True)}}, "'state' is of type MaskedArray"),
        ({"obs": {3: np.zeros((4, 1))}}, "a column has the name 3; allowed: text"),
        ({"reward_source": (1, 2, 3)}, r"reward_source is \(1, 2, 3\); allowed: text"),
        ({"reward": np.zeros(0, np.float32)}, "no steps"),
    ],
)
def test_unsound_chunks_are_refused_by_the_name_of_the_column(changes, says):
    with pytest.raises(BadChunk, match=says):
        check(replace(chunk(3), **changes))


@pytest.mark.parametrize("given", [None, {"reward": [1.0]}, 3])
def test_what_is_no_chunk_is_refused(given):
    with pytest.raises(BadChunk, match="is no chunk; allowed"):
        check(given)
    with Buffer.open(":memory:") as buffer, pytest.raises(BadChunk, match="is no chunk; allowed"):
        buffer.append(given)


def test_a_chunk_that_is_refused_by_a_buffer_is_no_repeated_one():
    with Buffer.open(":memory:") as buffer:
        buffer.append(chunk(3, episode=1))
        for changes in ({"episode": 1.5}, {"episode": True}, {"clock_offset": np.inf}):
            with pytest.raises(BadChunk):
                buffer.append(replace(chunk(3, episode=2), **changes))
        assert len(buffer) == 3


def test_an_observation_without_a_name_is_refused_with_an_example():
    builder = ChunkBuilder("arm-0", "franka-fr3", "PegInsert")
    with pytest.raises(BadChunk, match=r"observation is ndarray; allowed: a mapping, name -> array, such as \{'state': obs\}"):
        builder.start(np.zeros(3), 0)  # type: ignore[arg-type]
