"""docs/processes.md: its plans are plans, and its tables are all options with their defaults."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest

from user_gym.system.processes import AgentPlan, BufferPlan, CollectorPlan, FreshnessPlan, HubPlan, Plan, from_words

PAGE = (Path(__file__).parents[3] / "docs" / "processes.md").read_text()
PLANS = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
KINDS = (Plan, AgentPlan, CollectorPlan, BufferPlan, FreshnessPlan, HubPlan)
TABLES = {"collectors", "agent", "buffer", "freshness", "hub"}


def test_there_are_plans_on_the_page():
    assert len(PLANS) >= 2


@pytest.mark.parametrize("text", PLANS)
def test_each_plan_of_the_page_can_be_read_as_it_stands(text):
    plan = from_words(tomllib.loads(text))
    assert plan.agent.prepare == "baselines.plan:prepare"
    assert len(plan.collectors) > 1


def test_the_tables_are_all_options_with_their_defaults():
    listed = re.findall(r"^\| `(\w+)` \| (-|`[^|]*`) \| ", PAGE, re.M)
    fields = [field for kind in KINDS for field in dataclasses.fields(kind) if field.name not in TABLES]
    assert sorted(listed) == sorted((field.name, _default(field)) for field in fields)


def _default(field):
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()}`"
    if field.default is dataclasses.MISSING:
        return "-"
    return f"`{json.dumps(field.default) if isinstance(field.default, str) else field.default}`"


def test_the_options_that_may_change_are_those_the_page_names():
    plan = from_words(tomllib.loads(next(text for text in PLANS if "[hub]" in text)))
    names = plan.words.keys() - {"collectors", "reward"}  # robots of edges have none but the rule's
    may = {name for name in names if not _changed(plan.words, name).differences(plan)}
    named = re.search(r"in `plan.json`;(.*?)may be changed", PAGE, re.S)
    assert named
    assert may == set(re.findall(r"`(\w+)`", named[1]))
    here = from_words(tomllib.loads(PLANS[0]))
    assert from_words({**here.words, "reward": "human:0"}).differences(here) == ["reward='rule' there, 'human:0' here"]


def _changed(words, name):
    if name == "judge":
        return from_words({**words, name: "a:b"})
    tables = {"agent": {"options": {"x": 1}}, "buffer": {"cache_bytes": 1}, "freshness": {"limit": 3}, "hub": {"rate": 1e6}}
    other = tables.get(name)
    return from_words({**words, name: words[name] + 1 if other is None else {**(words[name] or {}), **other}})
