"""What a scrape gets is what Prometheus' own parser reads, under the names that its conventions ask for."""

from __future__ import annotations

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families
from records import RIGHT, record

from user_gym.system.metrics import RunRecord
from user_gym.system.metrics.exposition import text


@pytest.fixture
def families():
    return {family.name: family for family in text_string_to_metric_families(text(record()).decode())}


def value(families, name: str, **labels: str) -> float:
    family = families[name.removesuffix("_total")]
    (found,) = [s.value for s in family.samples if s.name == name and s.labels == labels]
    return found


def test_the_parser_finds_every_figure_under_its_labels(families) -> None:
    assert value(families, "user_gym_robot_steps_total", robot="left") == 1200
    assert value(families, "user_gym_robot_up", robot="left") == 1
    assert value(families, "user_gym_robot_success_ratio", robot="left") == 0.75
    assert value(families, "user_gym_robot_intervention_ratio", robot="left") == 0.125
    assert value(families, "user_gym_robot_staleness_versions", robot="left") == 1.5
    assert value(families, "user_gym_robot_state", robot="left", state="acting") == 1
    assert value(families, "user_gym_robot_state", robot="left", state="gone") == 0
    assert value(families, "user_gym_learner_updates_total") == 4800
    assert value(families, "user_gym_learner_metric", metric="critic_loss") == 0.25
    assert math.isinf(value(families, "user_gym_learner_metric", metric="q"))
    assert value(families, "user_gym_buffer_memory_bytes") == 1 << 20
    assert value(families, "user_gym_wait_seconds_total", side="learner", reason="steps") == 2.5
    assert value(families, "user_gym_record_timestamp_seconds") == 1000.0


def test_a_name_with_quotes_backslashes_and_newlines_comes_back(families) -> None:
    assert value(families, "user_gym_robot_up", robot=RIGHT.name) == 0
    assert math.isnan(value(families, "user_gym_robot_success_ratio", robot=RIGHT.name))


def test_staleness_is_a_cumulative_histogram(families) -> None:
    samples = families["user_gym_staleness_versions"].samples
    buckets = [(s.labels["le"], s.value) for s in samples if s.name.endswith("_bucket")]
    assert buckets[:3] == [("0", 1000), ("1", 1150), ("2", 1175)]
    assert buckets[-2:] == [("128", 1175), ("+Inf", 1180)]
    assert {s.name: s.value for s in samples if not s.labels} == {
        "user_gym_staleness_versions_sum": 1200,
        "user_gym_staleness_versions_count": 1180,
    }


def test_every_name_says_its_kind_and_what_has_a_unit_its_unit(families) -> None:
    lines = text(record()).decode().splitlines()
    kinds = dict(line.split()[2:] for line in lines if line.startswith("# TYPE"))
    assert len(kinds) == len(families) > 20
    assert all(name.startswith("user_gym_") for name in kinds)
    assert {name for name, kind in kinds.items() if kind == "counter"} == {name for name in kinds if name.endswith("_total")}
    for word, unit in (("time", "_seconds"), ("memory", "_bytes"), ("wait", "_seconds")):
        assert all(name.removesuffix("_total").endswith(unit) for name in kinds if word in name)
    assert not [name for name in kinds if "rate" in name]
    assert all(line.startswith(("# HELP", "# TYPE", "user_gym_")) for line in lines)


def test_a_run_without_robots_and_metrics_is_served_too() -> None:
    empty = RunRecord.from_json(record(robots=(), waits=()).to_json())
    assert len(list(text_string_to_metric_families(text(empty).decode()))) > 10
