"""Does SAC-Flow learn peg insertion within 1.5 times the environment steps that RLPD takes?

    python -m benchmarks.bench_sac_flow

Both with their defaults, and RLPD with SAC-Flow's cloning term, which its default has not; seed by seed in turns, in one
process with one thread. The table goes to
benchmarks/results/sac_flow.md, after every run as far as it has got.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from baselines import rlpd, sac_flow
from baselines.config import Config
from baselines.online import GLANCE
from baselines.play import Play, play
from benchmarks.bench_learning import FIRST_SEED, spread
from benchmarks.machine import describe, keep

MAINS: Mapping[str, Callable[[Any], Mapping[str, Any] | None]] = {"rlpd": rlpd.main, "sac-flow": sac_flow.main}
KINDS = ("deterministic", "success_rate")  # of a look: episodes of the deterministic policy, and its own, with drawn actions


class Row(NamedTuple):
    """One training run."""

    method: str
    seed: int
    deterministic: float  # success of the last policy
    drawn: float  # the same, with actions drawn as in training
    to_95: Sequence[int | None]  # env steps at the first look with .95, of each kind
    cpu: float  # s, of training


def named(config: Config) -> str:
    """Of the table: method and what it clones."""
    return f"{config.method}, cloning {config.cloning:g}"


def trained(config: Config, folder: Path) -> Row:
    """One run, through the same function as the command."""
    config = replace(config, run_dir=folder / f"{named(config)}, seed {config.seed}", film=False)
    summary = MAINS[config.method](config)
    assert summary is not None, "interrupted"
    curve = json.loads((config.folder / "state.json").read_text())["curve"]
    to_95 = [next((look["env_steps"] for look in curve if (look[kind] or 0.0) >= 0.95), None) for kind in KINDS]
    drawn = play(Play(config.folder, episodes=config.eval_episodes, exploring=True)).success
    return Row(named(config), config.seed, summary["success_rate"], drawn, to_95, summary["train_cpu_s"])


def line(row: Row) -> str:
    """As markdown."""
    steps = " | ".join(str(steps or "never") for steps in row.to_95)
    return f"| {row.method} | {row.seed} | {row.deterministic:.2f} | {row.drawn:.2f} | {steps} | {row.cpu:.0f} |"


def together(rows: Sequence[Row]) -> str:
    """One line for several seeds of a method: median (least .. greatest); never is more than any number of steps."""
    steps = [sorted(row.to_95[kind] or 10**9 for row in rows) for kind in range(len(KINDS))]
    told = [f"{statistics.median_high(x)} ({x[0]} .. {x[-1]})".replace(str(10**9), "never") for x in steps]
    parts = [spread([row.deterministic for row in rows]), spread([row.drawn for row in rows]), *told]
    return " | ".join([f"| {rows[0].method}", "all", *parts, f"{statistics.median(row.cpu for row in rows):.0f} |"])


def bench(configs: Sequence[Config], folder: Path, kept: Callable[[str], object]) -> None:
    """Train each configuration; `kept` gets the whole table after each."""
    began, rows = describe(), list[Row]()
    for config in configs:
        rows.append(trained(config, folder))
        methods = [[row for row in rows if row.method == method] for method in dict.fromkeys(row.method for row in rows)]
        lines = [line(row) for row in rows] + [together(found) for found in methods if len(found) > 1]
        kept(f"""# SAC-Flow beside RLPD

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: seconds are of CPU, of training, without looks. One process, one torch thread.

{config.task}, {config.robot}, {config.demos} demonstrations, {config.steps} environment steps of training; equal critics,
updates and batches. Success is that of the last policy, strict, over {config.eval_episodes} episodes, the same for all rows.
Deterministic: of RLPD the mean, of SAC-Flow draws with the same noise in each episode; drawn: as in training. "Steps to .95":
the first look, one every {config.eval_every} steps, with at least 95 % of {GLANCE} other deterministic episodes successful,
or of the newest 20 of training, whose actions are drawn.

| method | training seed | deterministic | drawn | steps to .95, deterministic | steps to .95, drawn | s CPU |
{"| --- " * 7}|
{chr(10).join(lines)}""")


def test_the_table_has_a_row_for_each_run_and_one_for_each_method(tmp_path):
    few: dict[str, Any] = {
        "steps": 40,
        "learning_starts": 10,
        "eval_every": 40,
        "eval_episodes": 1,
        "demos": 1,
        "batch_size": 8,
    }
    configs = [kind(seed=seed, **few) for seed in (0, 1) for kind in (sac_flow.Config, Config)]
    texts: list[str] = []
    bench(configs, tmp_path, texts.append)
    assert [text.count("\n| sac-flow, cloning 1 |") for text in texts] == [1, 1, 3, 3]
    assert texts[-1].count("| rlpd, cloning 0 |") == 3
    assert texts[-1].count("| all |") == 2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(FIRST_SEED, FIRST_SEED + 5)))
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/sac_flow.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    configs = [
        c for seed in given.seeds for c in (sac_flow.Config(seed=seed), Config(seed=seed), Config(seed=seed, cloning=1.0))
    ]
    with tempfile.TemporaryDirectory() as folder:
        bench(
            configs,
            Path(folder),
            lambda text: keep("sac_flow", text) if given.out is None else given.out.write_text(text + "\n"),
        )
