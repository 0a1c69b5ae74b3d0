"""Does reinforcement learning of the flow lift a small VLA over its supervised fine-tuning?

    python -m benchmarks.bench_vla_rl
    python -m benchmarks.bench_vla_rl --seeds 0 --folder runs/vla-rl        # keeps the runs, and goes on with those there are

A model fine-tuned on so few demonstrations that there is much to gain, then PPO of its flow, which the rule alone rewards.
One process, one thread. benchmarks/results/vla_rl.md is written after every seed, as far as it has got.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from baselines import vla, vla_rl
from baselines.episodes import evaluate
from baselines.vla_demos import make
from baselines.vla_network import FLOW_STEPS
from baselines.vla_rl import VlaRlConfig
from benchmarks.machine import describe, keep
from user_gym.system.chunked import ChunkedPolicy

SFT: Mapping[str, Any] = {"tasks": ("PegInsert",), "demos": 100, "updates": 500, "checkpoint_every": 100, "eval_episodes": 100}
TUNED, SEEDS = 0, [1, 2, 3]  # choices were made on the first
AGAIN = 6_000_000  # seed of the first episode of a second evaluation, once all is over


class Row(NamedTuple):
    """Of one seed; successes are rates."""

    seed: int
    tuned: float  # as fine-tuning serves it, by the ODE in FLOW_STEPS; all others by the SDE
    before: float
    after: float
    again: tuple[float, float]  # both on other episodes
    acting: Sequence[float]  # of the episodes that each iteration collected
    episodes: int
    env_steps: int
    cpu: float  # s, of reinforcement learning without evaluations


def once_more(folder: Path, config: VlaRlConfig) -> float:
    """Success of a run's model in the first task, by the SDE that was learned, over episodes that no run is judged by."""
    sft, _, _ = vla.reopened(folder, model_alone=True)
    served = vla.load(folder, steps=config.flow_steps, noise_level=config.noise_level)
    with (
        closing(make(sft.tasks[0], sft.robot, sft.side, sft.cameras)) as env,
        ChunkedPolicy(served, horizon=sft.execute) as policy,
    ):
        return evaluate(env, policy, config.eval_episodes, first_seed=AGAIN, deterministic=False)[0]


def outcome(seed: int, folder: Path, sft: Mapping[str, Any], rl: Mapping[str, Any]) -> Row:
    """The two runs of one seed."""
    begun = vla.VlaConfig(**sft, seed=seed, run_dir=folder / f"sft-{seed}")
    task = begun.tasks[0]
    tuned = vla.main(begun)["success"][task][task]
    config = VlaRlConfig(sft=begun.folder, seed=seed, run_dir=folder / f"rl-{seed}", **rl)
    found = vla_rl.main(config)
    curve = json.loads((config.folder / "state.json").read_text())["curve"]
    acting = [point["success_rate"] for point in curve if "success_rate" in point]
    again = [once_more(run, config) for run in (begun.folder, config.folder)]
    return Row(
        seed,
        tuned,
        found["before"],
        found["after"],
        (again[0], again[1]),
        acting,
        found["episodes"],
        found["env_steps"],
        found["train_cpu_s"],
    )


def lifts(*pairs: Sequence[float]) -> str:
    """Cells of (before, after)."""
    return " | ".join(f"{before:.2f} | {after:.2f} | {after - before:+.2f}" for before, after in pairs)


def table(rows: Sequence[Row]) -> str:
    """As markdown."""
    names = [
        "seed",
        f"fine-tuned, ODE of {FLOW_STEPS} steps",
        *(f"{name}{which}" for which in ("", ", again") for name in ("before", "after", "lift")),
    ]
    names += ["episodes", "env steps", "s CPU", "of what was practised, by iteration"]
    lines = ["| " + " | ".join(names) + " |", "| --- " * len(names) + "|"]
    for row in rows:
        judged = lifts((row.before, row.after), row.again)
        acting = " ".join(f"{rate:.2f}" for rate in row.acting)
        lines.append(
            f"| {row.seed} | {row.tuned:.2f} | {judged} | {row.episodes} | {row.env_steps} | {row.cpu:.0f} | {acting} |"
        )
    held = [row for row in rows if row.seed != TUNED]
    if len(held) > 1:
        first, again = (np.mean(pairs, 0) for pairs in ([(row.before, row.after) for row in held], [row.again for row in held]))
        tuned = np.mean([row.tuned for row in held])
        lines.append(f"| mean of those held out | {tuned:.2f} | {lifts(first, again)} | | | | |")
    return "\n".join(lines)


def bench(
    seeds: Sequence[int], folder: Path, sft: Mapping[str, Any], rl: Mapping[str, Any], kept: Callable[[str], object]
) -> None:
    """Each seed; `kept` gets the whole table after each."""
    began, rows = describe(), list[Row]()
    for seed in seeds:
        rows.append(outcome(seed, folder, sft, rl))
        one = VlaRlConfig(sft=folder, **rl)
        kept(f"""# Reinforcement learning of a small VLA's flow

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: seconds are of CPU, of collecting and updating, without evaluations. One process, one thread.

{", ".join(sft["tasks"])}, pictures and prompt, {sft["demos"]} demonstrations, {sft["updates"]} updates on them.
Then PPO of the flow as an SDE of {one.flow_steps} steps with noise level {one.noise_level:g}, {one.episodes} episodes in each
iteration. Before and after: strict success of the model by that SDE, as what was learned is served, over {one.eval_episodes}
episodes, the same for all and none that was practised on; again: over as many others, looked at once.
Of what was practised: of the episodes of each iteration. Hyperparameters were chosen on seed {TUNED}; the others are held out.

{table(rows)}""")


def test_each_seed_is_fine_tuned_reinforced_and_judged_twice(tmp_path: Path) -> None:
    sft = {"tasks": ("PegInsert",), "side": 16, "demos": 1, "updates": 1, "batch_size": 4, "eval_episodes": 1}
    rl = {"iterations": 2, "episodes": 2, "twins": 2, "epochs": 1, "eval_episodes": 1}
    texts: list[str] = []
    bench((0,), tmp_path, sft, rl, texts.append)
    (text,) = texts
    seed, _, before, after, lift, *again, episodes, steps, _, acting = (
        cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")
    )
    assert (seed, episodes, len(acting.split())) == ("0", "4", 2)
    assert len(again) == 3
    assert float(lift) == float(after) - float(before)
    assert 4 <= int(steps) <= 400


def test_the_mean_is_of_seeds_that_were_held_out() -> None:
    rows = [Row(seed, 0.4, 0.1 * seed, 0.2, (0.0, 0.5), (), 1, 1, 1.0) for seed in (0, 1, 3)]
    *_, mean = table(rows).splitlines()
    assert mean == "| mean of those held out | 0.40 | 0.20 | 0.20 | +0.00 | 0.00 | 0.50 | +0.50 | | | | |"
    assert "mean" not in table(rows[:2])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; default: nowhere")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/vla_rl.md")
    given = parser.parse_args()
    write = (lambda text: keep("vla_rl", text)) if given.out is None else (lambda text: given.out.write_text(text + "\n"))
    with tempfile.TemporaryDirectory() if given.folder is None else nullcontext(given.folder) as folder:
        bench(given.seeds, Path(folder), SFT, {}, write)
