"""A plan says what is wrong with it, by the name of the field."""

from __future__ import annotations

import json
import math

import pytest
from running import plan_words

from user_gym.errors import BadOption, UnknownName
from user_gym.system.processes import from_words


def collector(**changes):
    return {"collectors": [{"name": "left", "env": "Toy-v0", **changes}]}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, BadOption, "steps 0"),
        ({"steps": 2.5}, BadOption, "steps 2.5"),
        ({"tolerance": -1}, BadOption, "tolerance -1"),
        ({"tolerance": math.nan}, BadOption, "tolerance nan"),
        ({"updates_per_step": 0}, BadOption, "updates_per_step 0"),
        ({"checkpoint_seconds": True}, BadOption, "checkpoint_seconds True"),
        ({"step": 3}, UnknownName, "'step'; known: .*did you mean 'steps'"),
        ({"collectors": []}, BadOption, "collectors"),
        ({"collectors": 3}, BadOption, "collectors"),
        (collector(name="a/b"), BadOption, "collectors.name 'a/b'"),
        (collector(name="owner"), BadOption, "collectors.name 'owner'"),
        (collector(envs="x"), UnknownName, r"'collectors\[0\].envs'"),
        (collector(env=""), BadOption, "env of 'left'"),
        (collector(kwargs=[1]), BadOption, "kwargs of 'left'"),
        (collector(period=0), BadOption, "period of 'left'"),
        ({"collectors": [{"name": "left"}]}, BadOption, r"collectors\[0\].env None"),
        ({"agent": {"make": "nothing"}}, BadOption, "agent.make 'nothing'"),
        ({"agent": {"make": "a:b", "sampler": "import os"}}, BadOption, "agent.sampler"),
        ({"agent": 3}, BadOption, "agent 3"),
        ({"freshness": {"beyond": "drop"}}, BadOption, "freshness.limit None"),
        ({"freshness": {"limit": -1}}, BadOption, "freshness.limit -1"),
        ({"freshness": {"limit": 3, "beyond": "forget"}}, BadOption, "'forget'; allowed: drop, down-weight, wait"),
        ({"freshness": 3}, BadOption, "freshness 3"),
        ({"buffer": {"capacity": 0}}, BadOption, "buffer.capacity 0"),
        ({"buffer": {"durability": "none"}}, BadOption, "buffer.durability 'none'"),
        ({"buffer": {"lossy": {"image": 101}}}, BadOption, "buffer.lossy.image 101"),
    ],
)
def test_what_is_wrong_is_named(changes, error, words):
    with pytest.raises(error, match=words):
        from_words(plan_words(**changes))


def test_two_robots_of_one_name_are_refused():
    twice = collector()["collectors"] * 2
    with pytest.raises(BadOption, match="a name that no other collector has"):
        from_words(plan_words(collectors=twice))


def test_a_plan_survives_json():
    for freshness in ({}, {"freshness": {"limit": 3}}):
        plan = from_words(plan_words(tolerance=math.inf, **freshness))
        assert from_words(json.loads(json.dumps(plan.words))) == plan


def test_without_an_agent_it_is_rlpd_and_another_agent_brings_its_own_batches():
    words = plan_words()
    words.pop("agent")
    assert from_words(words).agent.prepare == "baselines.plan:prepare"
    assert from_words(plan_words()).agent.sampler == ""


def test_a_run_that_goes_on_may_get_more_steps_but_no_other_agent():
    plan = from_words(plan_words())
    assert not from_words(plan_words(steps=10_000, tolerance=0, checkpoint_seconds=5)).differences(plan)
    assert from_words(plan_words(seed=1)).differences(plan) == ["seed=0 there, 1 here"]


def test_collectors_without_a_seed_draw_different_episodes():
    plan = from_words(plan_words())
    assert plan.seed_of("left") != plan.seed_of("right")
    assert abs(plan.seed_of("left") - plan.seed_of("right")) > 1_000_000
    with pytest.raises(UnknownName, match="collector 'middle'"):
        plan.seed_of("middle")
