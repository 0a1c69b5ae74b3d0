"""A record survives JSON, and what is none is refused."""

from __future__ import annotations

import json
import math

import pytest
from records import record

from user_gym.errors import WrongRun
from user_gym.system.metrics import RunRecord, Staleness


def test_a_record_is_one_line_of_strict_json_and_comes_back_the_same() -> None:
    text = record().to_json()
    assert "\n" not in text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = RunRecord.from_json(text)
    assert back.to_json() == text
    assert back.robots[0] == record().robots[0]
    assert math.isnan(back.robots[1].success_rate)
    assert math.isnan(back.learner.metrics["q"])  # JSON knows no infinity
    assert back.staleness == record().staleness
    assert back.waits == record().waits


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw.pop("robots"),
        lambda raw: raw.update(format=2),
        lambda raw: raw.update(env_steps="many"),
        lambda raw: raw.update(env_steps=True),
        lambda raw: raw.update(time="noon"),
        lambda raw: raw.update(ended=None),
        lambda raw: raw.update(robots=[3]),
        lambda raw: raw["robots"][0].update(state="asleep"),
        lambda raw: raw["staleness"].update(counts=[1]),
        lambda raw: raw["learner"].update(metrics=[1.0]),
        lambda raw: raw["waits"].append({"side": "learner"}),
    ],
)
def test_what_is_no_record_is_refused(harm) -> None:
    raw = json.loads(record().to_json())
    harm(raw)
    with pytest.raises(WrongRun, match="record of"):
        RunRecord.from_json(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"record"', b"\xff\xfe"])
def test_bytes_that_are_no_record_are_refused(text) -> None:
    with pytest.raises(WrongRun, match="no record of a run"):
        RunRecord.from_json(text)


def test_the_means_leave_out_what_is_not_known_yet() -> None:
    assert record().success_rate == 0.75
    assert math.isnan(record(robots=()).success_rate)
    assert math.isnan(Staleness().mean)
    assert record().staleness.mean == 1200 / 1180


def test_the_numbers_of_a_record_are_finite_and_named() -> None:
    numbers = record().numbers()
    assert all(math.isfinite(value) for value in numbers.values())
    assert (numbers["robots/left/success_rate"], numbers["robots/left/alive"]) == (0.75, 1.0)
    assert numbers["agent/critic_loss"] == 0.25
    assert numbers["waits/learner/steps"] == 2.5
    assert "agent/q" not in numbers
