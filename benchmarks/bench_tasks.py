"""Does RLPD, as it is by default, learn the tasks, and how fast?

    python -m benchmarks.bench_tasks

State observations, sparse reward, each task with the number of steps that the command itself takes. One process, one thread,
one run after the other. Runs are kept in a folder: the same command goes on where it was. The table goes to
benchmarks/results/tasks.md, after every run as far as it has got, and the curves to docs/learning.png at the end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.config import Config
from baselines.online import GLANCE
from benchmarks import curves
from benchmarks.bench_learning import Row, learning, spread, table
from benchmarks.curves import Looks, draw, looks, on_grid
from benchmarks.machine import describe, keep

TASKS = ("PegInsert", "Charger", "CapTighten", "PickPlace")
FIRST_SEED = 30  # choices were made on 0 to 4 and 10 to 12, and 20 to 24 have been looked at
PICTURE = Path(__file__).parent.parent / "docs" / "learning.png"


def place(folder: Path, config: Config) -> Path:
    """Where `learning` keeps that run."""
    return folder / f"{config.task}-{config.robot}-{config.seed}"


def together(task: str, rows: Sequence[Row]) -> Row:
    """One row for several seeds of a task: success and seconds, median (least .. greatest)."""
    success, wall, cpu = (spread([float(getattr(row, name)) for row in rows]) for name in ("success", "wall", "cpu"))
    return Row(task, rows[0].robot, "all", success, "-", wall, cpu)


def bench(configs: Sequence[Config], folder: Path, kept: Callable[[str], object]) -> dict[str, list[Looks]]:
    """Train each configuration, or read what was trained; `kept` gets the whole table after each. Every task's curves."""
    began, by_task, curves = describe(), {}, {}
    for config in configs:
        by_task.setdefault(config.task, []).extend(learning(config.task, [config], folder))
        seen = looks(place(folder, config), [config.robot])
        curves.setdefault(config.task, []).append(seen[config.robot])
        rows = [
            row for task, found in by_task.items() for row in (*found, *([together(task, found)] if len(found) > 1 else []))
        ]
        tasks = {c.task: c for c in configs}.values()
        lengths = ", ".join(f"{c.task} {c.steps} after {c.demos} demonstrations" for c in tasks)
        kept(f"""# Learning the tasks

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: trust seconds of CPU before seconds of wall. One process, one torch thread.

RLPD as it is by default. Environment steps of training: {lengths}.
Hyperparameters were chosen on the training seeds 0 to 4 and 10 to 12, and 20 to 24 were looked at; those below are held out.
Success is that of the last policy, deterministic, strict, over {config.eval_episodes} episodes that are the same for all rows.
"Env steps to .95": the first look, one every {config.eval_every} steps, with at least 95 % of {GLANCE} other deterministic
episodes successful. Times are of training, without those looks; of several seeds: median (least .. greatest).

{table(rows)}

![Curves](../../docs/learning.png)""")
    return curves


def test_the_table_grows_run_by_run_and_sums_up_each_task(tmp_path):
    few: dict[str, Any] = {
        "steps": 40,
        "learning_starts": 10,
        "eval_every": 40,
        "eval_episodes": 1,
        "demos": 1,
        "batch_size": 8,
        "hidden": 8,
    }
    configs = [Config(env_id=f"User/{task}-sim-v0", seed=seed, **few) for task in TASKS[1:] for seed in (0, 1)]
    texts: list[str] = []
    learned = bench(configs, tmp_path, texts.append)
    assert [text.count("| franka-fr3 |") for text in texts] == [1, 3, 4, 6, 7, 9]
    assert texts[-1].count("| all |") == 3
    assert bench(configs, tmp_path, texts.append) == learned  # nothing is trained again
    assert texts[-1].count("| all |") == 3
    draw(learned, tmp_path / "learning.png")
    assert (tmp_path / "learning.png").stat().st_size > 10_000


def test_steps_of_several_bodies_are_each_ones_own(tmp_path):
    curve = [{"env_steps": 100, "deterministic": 0.2, "bodies": {"a": 0.2, "b": 0.4}}]
    (tmp_path / "state.json").write_text(json.dumps({"curve": curve}))
    assert looks(tmp_path, ["a", "b"]) == {"a": Looks([50], [0.2]), "b": Looks([50], [0.4])}
    curve = [{"env_steps": 100, "deterministic": 0.2}]
    (tmp_path / "state.json").write_text(json.dumps({"curve": curve}))
    assert looks(tmp_path, ["a"]) == {"a": Looks([100], [0.2])}


def test_the_legend_names_all_that_is_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "write", lambda figure, path: drawn.append(figure))
    draw({"PegInsert": [Looks([100, 200], [0.5, 1.0]), Looks([100, 200], [0.0, 1.0])]}, tmp_path / "learning.png")
    (axes,) = drawn[0].axes
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["median of 2 seeds", "each seed", "worst to best seed", "0.95, which counts as learned"]
    assert len(axes.lines) + len(axes.collections) == len(words) + 1  # both seeds have one name


def test_runs_meet_on_a_grid_that_none_leaves():
    grid, success = on_grid([Looks([100, 200], [1.0, 1.0]), Looks([100], [0.5])])
    assert (grid[0], grid[-1]) == (0, 100)
    np.testing.assert_allclose(success[:, -1], [1.0, 0.5])
    np.testing.assert_allclose(success[0], grid / 100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(FIRST_SEED, FIRST_SEED + 5)))
    parser.add_argument("--folder", type=Path, default=Path("runs/tasks"), help="where the runs are kept")
    parser.add_argument("--finished", action="store_true", help="train nothing: report on the runs there that are finished")
    given = parser.parse_args()
    torch.set_num_threads(1)
    configs = [Config(env_id=f"User/{task}-sim-v0", seed=seed) for task in given.tasks for seed in given.seeds]
    if given.finished:
        configs = [config for config in configs if (place(given.folder, config) / "summary.json").exists()]
        if not configs:
            parser.error(f"--folder {given.folder} has no finished run of these tasks and seeds; leave out --finished to train")
    draw(bench(configs, given.folder, lambda text: keep("tasks", text)), PICTURE)
