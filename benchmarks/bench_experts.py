"""How often does each scripted expert succeed, on each robot, at each difficulty, and with everything randomised?

    python -m benchmarks.bench_experts
    python -m benchmarks.bench_experts --only TableCleanup "CapTighten torque"

The table goes to benchmarks/results/experts.md, row by row; rows that are not measured stay there as they were.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

import user_gym  # noqa: F401  (registers the ids)
from baselines.episodes import EVALUATION_SEED, EXPERTS, hand
from benchmarks.machine import RESULTS, describe

ROBOTS = ("franka-fr3", "franka-fer", "arx-x5", "arx-l5")
DEFAULT: Mapping[str, Any] = {}
DRAWN: Mapping[str, Any] = {"randomise": "all"}
# What makes a task harder, and how far its expert follows.
HARDER: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "PegInsert": ({"hole_offset": 0.002}, {"hole_offset": 0.003}),
    "Charger": ({"hole_offset": 0.002}, {"turn_offset": 0.06}, {"clearance": 0.0003}),
    "CapTighten": ({"cap_offset": 0.002}, {"turn_offset": 0.06}, {"clearance": 0.0005}, {"torque": 2.0}),
    "PickPlace": ({"spread": 0.05}, {"turn": 1.0}, {"opening": 0.035}),
    "TableCleanup": ({"spread": 0.015}, {"turn": 0.78}, {"lid_friction": 0.3}),
}
ROWS = [(task, options) for task in EXPERTS for options in (DEFAULT, *HARDER[task], DRAWN)]
_COLUMNS = ("task", "options", "episodes", "measured", *ROBOTS)


class Outcome(NamedTuple):
    """Of some episodes."""

    success: float  # share
    steps: float  # mean of the episodes that succeeded; 0 where none did


def outcome(task: str, robot: str, options: Mapping[str, Any], episodes: int) -> Outcome:
    """Let the expert do the episodes of the fixed seeds."""
    lengths = []
    with closing(gymnasium.make(f"User/{task}-sim-v0", robot=robot, **options)) as env:
        expert = hand(env)
        for episode in range(episodes):
            env.reset(seed=EVALUATION_SEED + episode)
            expert.reset()
            over, info, steps = False, {}, 0
            while not over:
                *_, terminated, truncated, info = env.step(expert.action(env.unwrapped.state))  # pyright: ignore[reportAttributeAccessIssue]
                over, steps = terminated or truncated, steps + 1
            if info["is_success"]:
                lengths.append(steps)
    return Outcome(len(lengths) / episodes, sum(lengths) / max(1, len(lengths)))


def begins(task: str, options: Mapping[str, Any]) -> str:
    """How the line of a row begins, by which it is found again."""
    named = ", ".join(f"`{name}={value!r}`" for name, value in options.items()) or "as by default"
    return f"| {task} | {named} |"


def row(task: str, options: Mapping[str, Any], episodes: int) -> str:
    """One line of the table: success, and the mean length, on every robot."""
    cells = [f"{o.success:.2f} ({o.steps:.0f})" for o in (outcome(task, robot, options, episodes) for robot in ROBOTS)]
    return f"{begins(task, options)} {episodes} | {datetime.date.today()} | " + " | ".join(cells) + " |"


def wanted(only: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows that have all words of one of these; all rows where there are none."""
    return [row for row in ROWS if not only or any(all(word in begins(*row) for word in each.split()) for each in only)]


def bench(path: Path, episodes: int, only: Sequence[str] = ()) -> None:
    """Measure rows and write the table anew after each."""
    lines = path.read_text().splitlines() if path.exists() else []
    began = describe()
    for task, options in wanted(only):
        new = row(task, options, episodes)
        print(new, flush=True)
        lines = [line for line in lines if not line.startswith(begins(task, options))] + [new]
        path.write_text(_table(began, lines))


def _table(began: str, lines: Sequence[str]) -> str:
    blank = " not measured |" * (len(_COLUMNS) - 2)
    rows = [next((line for line in lines if line.startswith(begins(*each))), begins(*each) + blank) for each in ROWS]
    limits = {task: gymnasium.spec(f"User/{task}-sim-v0").max_episode_steps for task in EXPERTS}
    have = ", ".join(f"{steps} ({task})" for task, steps in limits.items())
    return f"""# Scripted experts

Newest rows: {began}. No time is measured here.
Simulated ids, strict success, episodes with fixed seeds: share of successes, and in brackets the mean number of steps of those.
An episode has at most {have} steps.
The experts know the robot's state, the nominal goal and how far off it may be; no truth, but where the objects of PickPlace
and TableCleanup are: that their observations tell as well.

| {" | ".join(_COLUMNS)} |
|{" --- |" * len(_COLUMNS)}
""" + "".join(f"{line}\n" for line in rows)


def test_the_table_has_a_row_for_each_task_and_difficulty_and_keeps_what_was_measured(tmp_path):
    path = tmp_path / "experts.md"
    for only in (["PegInsert default"], ["Charger randomise"]):
        bench(path, 1, only)
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("| ")][2:] == [
        next(line for line in text.splitlines() if line.startswith(begins(*each))) for each in ROWS
    ]
    assert text.count("| 1 | ") == 2
    assert len(wanted(())) == len(ROWS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100, help="of each cell")
    parser.add_argument("--only", nargs="+", default=(), help="rows that have all words of one of these; without it, all")
    parser.add_argument("--out", type=Path, help="where the table is, instead of benchmarks/results/experts.md")
    given = parser.parse_args()
    bench(given.out or RESULTS / "experts.md", given.episodes, given.only)
