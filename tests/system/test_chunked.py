"""One action at a time out of chunks: by horizon, by ensembling, and while the next chunk is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from user_gym.core import ActionChunk, Policy, Weights
from user_gym.errors import BadOption, PeerLost
from user_gym.system.chunked import INDEX, PREFIX, PROMPT, ChunkedPolicy


class Counting:
    """Chunks (8, 1): action i of the chunk that is made at step s of the world is s + i / 100. Heeds no prefix."""

    spec_hash = "counting"

    def __init__(self, length: int = 8) -> None:
        self.length, self.version = length, 0
        self.steps: list[int] = []
        self.prefixes: list[list[float]] = []
        self.prompts: list[str] = []
        self.seeds: list[int | None] = []
        self.let = Event()
        self.let.set()

    def reset(self, seed: int | None = None) -> None:
        self.seeds.append(seed)

    def act(self, obs: Mapping[str, NDArray[Any]], deterministic: bool = False) -> ActionChunk:
        assert self.let.wait(20.0)
        step = int(obs["state"][0])
        self.steps.append(step)
        self.prefixes.append([round(float(x), 2) for x in obs[PREFIX][:, 0]] if PREFIX in obs else [])
        self.prompts.append(str(obs.get(PROMPT, "")))
        actions = step + np.arange(self.length) / 100
        return ActionChunk(np.float32(actions)[:, None], self.version, {"log_prob": np.arange(self.length) + 1000 * step})

    def load(self, weights: Weights) -> None:
        self.version = weights.version


def played(policy: Policy, steps: int, first: int = 0) -> list[float]:
    """What it does in a world whose state is the number of the step."""
    chunks = [policy.act({"state": np.array([step], np.float32)}) for step in range(first, first + steps)]
    assert all(chunk.actions.shape == (1, 1) for chunk in chunks)
    return [round(float(chunk.actions[0, 0]), 2) for chunk in chunks]


def test_one_inference_for_each_horizon() -> None:
    inner = Counting()
    policy = ChunkedPolicy(inner, horizon=3)
    assert isinstance(policy, Policy)
    assert played(policy, 7) == [0.0, 0.01, 0.02, 3.0, 3.01, 3.02, 6.0]
    assert (inner.steps, policy.inferences) == ([0, 3, 6], 3)
    assert played(ChunkedPolicy(Counting(4)), 6) == [0.0, 0.01, 0.02, 0.03, 4.0, 4.01]


def test_an_episodes_end_and_an_interruption_drop_what_was_planned() -> None:
    inner = Counting()
    policy = ChunkedPolicy(inner, horizon=5)
    played(policy, 2)
    policy.interrupt()
    assert played(policy, 2, first=2) == [2.0, 2.01]
    policy.reset(9)
    assert played(policy, 2) == [0.0, 0.01]
    assert inner.seeds == [9]


def test_each_action_keeps_its_row_and_says_which_it_was() -> None:
    policy = ChunkedPolicy(Counting(), horizon=3, index=True)
    rows = [policy.act({"state": np.array([step], np.float32)}).extra for step in range(4)]
    assert [int(row["log_prob"][0]) for row in rows] == [0, 1, 2, 3000]
    assert [row[INDEX].tolist() for row in rows] == [[0], [1], [2], [0]]


def test_an_ensemble_is_the_weighted_mean_of_all_that_was_planned_for_a_step() -> None:
    policy = ChunkedPolicy(Counting(3), ensemble=0.5)
    weights = [1.0, math.exp(-0.5), math.exp(-1.0)]  # the oldest first, as in ACT
    planned = [2.0 * 0 + 0.02, 1 + 0.01, 2.0]
    wanted = sum(w * a for w, a in zip(weights, planned, strict=True)) / sum(weights)
    assert played(policy, 3)[2] == round(wanted, 2)
    assert len(played(policy, 3, first=3)) == 3
    assert policy.inferences == 6
    policy.interrupt()
    assert played(policy, 1, first=6) == [6.0]


def test_in_real_time_the_next_chunk_is_made_while_this_one_goes_on() -> None:
    inner = Counting()
    with ChunkedPolicy(inner, horizon=4, delay=2) as policy:
        # The second chunk is begun at step 4, told of the actions 0.04 and 0.05, and used from its third action on.
        assert played(policy, 12) == [
            0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 4.02, 4.03, 4.04, 4.05, 8.02, 8.03,
        ]  # fmt: skip
    assert inner.steps == [0, 4, 8]
    assert inner.prefixes == [[], [0.04, 0.05], [4.04, 4.05]]


def test_an_inference_that_is_late_is_waited_for_or_the_old_chunk_goes_on() -> None:
    inner = Counting()
    with ChunkedPolicy(inner, horizon=4, delay=1, waits=False) as policy:
        played(policy, 4)
        inner.let.clear()
        assert played(policy, 3, first=4) == [0.04, 0.05, 0.06]
        assert policy.late == 2
        inner.let.set()
        assert policy._next is not None
        policy._next.result(20.0)
        assert played(policy, 1, first=7) == [4.03]
    inner = Counting()
    with ChunkedPolicy(inner, horizon=4, delay=1, timeout=0.05) as policy:
        played(policy, 4)
        inner.let.clear()
        played(policy, 1, first=4)
        with pytest.raises(PeerLost, match=r"took longer than 0.05 s; the policy hangs"):
            played(policy, 1, first=5)
        inner.let.set()


def test_a_chunk_that_nobody_wants_any_more_is_waited_for_before_the_policy_is_asked_again() -> None:
    inner = Counting()
    with ChunkedPolicy(inner, horizon=4, delay=2) as policy:
        played(policy, 5)
        policy.interrupt()
        assert played(policy, 3, first=5) == [5.0, 5.01, 5.02]
        policy.reset()
        assert played(policy, 1) == [0.0]
    assert inner.steps == [0, 4, 5, 0]


def test_weights_are_swapped_between_two_inferences() -> None:
    inner = Counting()
    with ChunkedPolicy(inner, horizon=4, delay=2) as policy:
        policy.load(Weights(1, {}, "counting"))
        assert inner.version == 1
        played(policy, 4)
        inner.let.clear()
        chunk = policy.act({"state": np.array([4], np.float32)})
        policy.load(Weights(2, {}, "counting"))
        assert (chunk.version, inner.version, policy.version) == (1, 1, 2)
        inner.let.set()
        played(policy, 4, first=5)
        assert inner.version == 2
        with pytest.raises(BadOption, match="bad spec_hash 'other'"):
            policy.load(Weights(3, {}, "other"))


def test_a_prompt_is_added_where_there_is_none() -> None:
    inner = Counting()
    policy = ChunkedPolicy(inner, horizon=1, prompt="insert")
    policy.act({"state": np.zeros(1)})
    policy.act({"state": np.zeros(1), PROMPT: np.array("plug")})
    assert inner.prompts == ["insert", "plug"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "bad horizon 0"),
        ({"delay": -1}, "bad delay -1"),
        ({"ensemble": float("nan")}, "bad ensemble nan"),
        ({"ensemble": 0.01, "horizon": 3}, r"bad ensemble 0.01; allowed: None, with a horizon or a delay"),
        ({"timeout": -1.0}, "bad timeout"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message):
        ChunkedPolicy(Counting(), **options)


@pytest.mark.parametrize(
    ("options", "allowed"),
    [({"horizon": 9}, r"1 .. 8"), ({"horizon": 7, "delay": 2}, r"2 .. 6"), ({"horizon": 1, "delay": 2}, r"2 .. 6")],
)
def test_a_horizon_that_chunks_do_not_have_is_refused(options: dict[str, int], allowed: str) -> None:
    with pytest.raises(BadOption, match=f"bad horizon {options['horizon']}; allowed: .*chunks of 8: {allowed}"):
        played(ChunkedPolicy(Counting(), **options), 1)
