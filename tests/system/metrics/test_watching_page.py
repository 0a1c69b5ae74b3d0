"""docs/watching.md: its metrics are those that are served, its columns those of the table, its options those of the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from records import record

from user_gym.system.metrics import State
from user_gym.system.metrics.exposition import text
from user_gym.system.metrics.table import _HEAD

PAGE = (Path(__file__).parents[3] / "docs" / "watching.md").read_text()


def test_its_metrics_are_those_that_are_served() -> None:
    served = []
    for family in text_string_to_metric_families(text(record()).decode()):
        name = family.name + "_total" * (family.type == "counter")
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        served.append((f"{name}{{{','.join(labels)}}}" if labels else name, family.type, family.documentation))
    assert re.findall(r"^\| `(user_gym_\S+)` \| (\w+) \| (.*) \|$", PAGE, re.M) == served


def test_its_columns_are_those_of_the_table_and_it_tells_every_state() -> None:
    assert re.findall(r"^\| ([A-Z ]+) \| ", PAGE, re.M) == list(_HEAD)
    row = next(line for line in PAGE.splitlines() if line.startswith("| STATE"))
    assert re.findall(r"`(\w+)`", row) == [state.value for state in State]


def test_its_options_are_those_of_the_command() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "user_gym.cli", "watch", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", told, re.M))
    named = set(re.findall(r"user-gym watch \S+ (--[a-z-]+)", PAGE))
    assert named <= options
    assert {option for option in options if option not in PAGE} == set()
