"""Does one small VLA learn two unlike arms at once as well as each alone?

    python -m benchmarks.bench_vla_bodies

Peg insertion by a Franka FR3 and an ARX X5, each alone, then both in one model of the same size, which a word of the prompt
tells which it has. Each arm has as many demonstrations, and as many of them in a batch, alone as together. The same command
goes on where it was cut off. benchmarks/results/vla_bodies.md is written after every seed, as far as it has got.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from baselines import vla
from baselines.vla import VlaConfig
from benchmarks.machine import describe, keep

ROBOTS = ("franka-fr3", "arx-x5")
TASKS = tuple(f"PegInsert:robot={robot}" for robot in ROBOTS)
SEEDS = [0, 1]
# As benchmarks.bench_vla; a batch holds `rows` of each arm.
SFT: Mapping[str, Any] = {"cameras": ("wrist",), "demos": 120, "updates": 1600, "checkpoint_every": 200}
ROWS = 32


class Row(NamedTuple):
    """Of one seed: summaries of each arm alone, in the order of ROBOTS, and of both together."""

    seed: int
    alone: Sequence[Mapping[str, Any]]
    together: Mapping[str, Any]


def outcome(seed: int, folder: Path, sft: Mapping[str, Any], rows: int) -> Row:
    """Fine-tune three models."""

    def made(name: str, *tasks: str) -> Mapping[str, Any]:
        return vla.main(VlaConfig(tasks=tasks, seed=seed, batch_size=rows * len(tasks), run_dir=folder / name, **sft))

    alone = [made(robot, task) for robot, task in zip(ROBOTS, TASKS, strict=True)]
    return Row(seed, alone, made("together", *TASKS))


def table(rows: Sequence[Row]) -> str:
    """As markdown."""
    names = ["seed", "policy", *ROBOTS, *(f"{robot}, called the other" for robot in ROBOTS), "updates", "s CPU"]
    lines = ["| " + " | ".join(names) + " |", "| --- " * len(names) + "|"]
    for seed, alone, both in rows:
        apart = [f"{one['success'][task][task]:.2f}" for one, task in zip(alone, TASKS, strict=True)]
        cost = sum(one["updates"] for one in alone), sum(one["seconds"]["cpu"] for one in alone)
        lines.append(f"| {seed} | a model each | {' | '.join(apart)} | - | - | {cost[0]} | {cost[1]:.0f} |")
        rates = [both["success"][task][task] for task in TASKS]
        rates += [both["success"][task][other] for task, other in (TASKS, TASKS[::-1])]
        own = " | ".join(f"{rate:.2f}" for rate in rates)
        lines.append(f"| {seed} | one for both | {own} | {both['updates']} | {both['seconds']['cpu']:.0f} |")
    return "\n".join(lines)


def bench(seeds: Sequence[int], folder: Path, sft: Mapping[str, Any], rows: int, kept: Callable[[str], object]) -> None:
    """Each seed; `kept` gets the whole table after each."""
    began, found = describe(), list[Row]()
    for seed in seeds:
        found.append(outcome(seed, folder / f"seed-{seed}", sft, rows))
        config = VlaConfig(tasks=TASKS, batch_size=rows * len(TASKS), **sft)
        kept(f"""# A small VLA: one model for two bodies

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: seconds are of CPU, one thread, without demonstrations and without judging.

PegInsert, strict success, {" and ".join(config.cameras)} camera at {config.side} x {config.side}. {config.demos} demonstrations
of each arm, {config.updates} updates of each model, {rows} observations of each of its arms in each of them. Success over
{config.eval_episodes} episodes, the same for all; "called the other" is with the other arm's name in the prompt.

{table(found)}""")


def test_each_arm_is_judged_alone_and_together_under_both_names(tmp_path: Path) -> None:
    few = {"side": 16, "demos": 1, "updates": 1, "cameras": ("wrist",), "eval_episodes": 1}
    texts = list[str]()
    bench((0,), tmp_path, few, 2, texts.append)
    (text,) = texts
    apart, both = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[-2:])
    assert (apart[:2], apart[4:7]) == (["0", "a model each"], ["-", "-", "2"])
    assert (both[:2], both[6]) == (["0", "one for both"], "1")
    assert all(0.0 <= float(cell) <= 1.0 for cell in (*apart[2:4], *both[2:6]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-vla-bodies"), help="of all runs; to go on with")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/vla_bodies.md")
    given = parser.parse_args()
    write = (lambda text: keep("vla_bodies", text)) if given.out is None else (lambda text: given.out.write_text(text + "\n"))
    bench(given.seeds, given.folder, SFT, ROWS, write)
