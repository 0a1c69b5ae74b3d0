"""Does one policy learn with two unlike arms at once as fast as with each alone, and does it stay good for both?

    python -m benchmarks.bench_bodies --seeds 5

Peg insertion from state by RLPD, with a Franka FR3 and an ARX X5: each alone, both together with one network, one buffer and a
token that says which arm it is, for as many steps of each arm as alone, and together for three times as many. Runs are kept in
a folder: the same command goes on where it was. The table goes to benchmarks/results/bodies.md, the curves to docs/bodies.png.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from baselines.config import Config
from baselines.online import GLANCE
from baselines.rlpd import main
from benchmarks.curves import GOOD, Looks, dress, looks, on_grid, panels, write
from benchmarks.machine import describe, keep

FIRST_SEED = 30  # RLPD's hyperparameters were chosen on 0 to 4; two bodies have been looked at on 10 to 12
ROBOTS = ("franka-fr3", "arx-x5")
COLOURS = {"franka-fr3": "#1f77b4", "arx-x5": "#d95f02"}
ALONE, TOGETHER, LONG = "alone", "together", "together, longer"
LONGER = 3  # times the steps of each arm
AVERAGING = 0.02  # of the target critics, in every run here: the default of several bodies, chosen on seed 0
GONE = 0.5  # a look that counts as collapsed
PICTURE = Path(__file__).parent.parent / "docs" / "bodies.png"


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm's share of one run."""

    robot: str
    seed: int
    kind: str
    steps: Sequence[int]  # of this arm, at each look
    success: Sequence[float]  # of 20 deterministic episodes
    last: float  # of the last policy, over the evaluation's episodes
    cpu: float  # s of the run's training, all its arms

    @property
    def learned(self) -> int | None:
        """Steps of this arm at the first good look."""
        return next((n for n, rate in zip(self.steps, self.success, strict=True) if rate >= GOOD), None)

    @property
    def afterwards(self) -> Sequence[float]:
        """Every look from the first good one on."""
        return [] if self.learned is None else [r for n, r in zip(self.steps, self.success, strict=True) if n >= self.learned]


def runs(config: Config, seeds: int, folder: Path) -> list[tuple[str, Config]]:
    """What is to be trained, and of which kind; `config` is that of an arm alone. First what is compared, by seed."""
    arms, looks = ",".join(ROBOTS), len(ROBOTS) * config.eval_every
    both = replace(config, robot=arms, steps=len(ROBOTS) * config.steps, eval_every=looks)
    kinds = [(TOGETHER, both), *((ALONE, replace(config, robot=robot)) for robot in ROBOTS)]
    longer = (LONG, replace(both, steps=LONGER * both.steps))
    return [
        (kind, replace(one, seed=seed, film=False, run_dir=folder / f"{kind}-{one.robot}-{seed}".replace(", ", "-")))
        for part in (kinds, [longer])
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for kind, one in part
    ]


def curves(kind: str, config: Config) -> list[Curve]:
    """Train, or read what was trained: a curve for each arm of the configuration."""
    finished = config.folder / "summary.json"
    summary = json.loads(finished.read_text()) if finished.exists() else main(config)
    assert summary is not None, "interrupted"
    robots = config.robot.split(",")
    last = summary.get("bodies", {config.robot: summary})
    return [
        Curve(robot, config.seed, kind, *seen, last[robot]["success_rate"], summary["train_cpu_s"])
        for robot, seen in looks(config.folder, robots).items()
    ]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} .. {max(values):.{digits}f})"


def row(found: Sequence[Curve], length: int) -> str:
    """One line of the table, for the seeds of one arm in one kind of run; `length`: steps of an arm alone."""
    learned = [curve.learned for curve in found]
    reached = [n for n in learned if n is not None]
    never = f", {len(learned) - len(reached)} never" if len(reached) < len(learned) else ""
    first = spread(reached, 0) + never if reached else "never"
    at = [np.interp(length, curve.steps, curve.success) for curve in found]
    after = [rate for curve in found for rate in curve.afterwards]
    lowest, gone = (f"{min(after):.2f}", f"{sum(rate < GONE for rate in after)} of {len(after)}") if after else ("-", "-")
    seeds = ", ".join(str(curve.seed) for curve in found)
    longest = max(n for curve in found for n in curve.steps)
    cells = [
        found[0].kind, found[0].robot, seeds, str(longest), first,
        spread([float(rate) for rate in at]), spread([curve.last for curve in found]), lowest, gone,
        spread([curve.cpu for curve in found], 0),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def pairs(found: Sequence[Curve]) -> str:
    """Each seed's steps to the first good look, by kind of run."""
    kinds = (ALONE, TOGETHER, LONG)
    at = {(c.robot, c.seed, c.kind): str(c.learned or "never") for c in found}
    lines = [f"| robot | training seed | {' | '.join(kinds)} |", "| --- " * 5 + "|"]
    for robot, seed in sorted({(c.robot, c.seed) for c in found}):
        lines.append(f"| {robot} | {seed} | {' | '.join(at.get((robot, seed, kind), '-') for kind in kinds)} |")
    return "\n".join(lines)


def draw(found: Sequence[Curve], length: int, path: Path) -> None:
    """Every run's looks, and their mean; a panel for each arm."""
    figure, row = panels(len(ROBOTS), 5)
    for axes, robot in zip(row, ROBOTS, strict=True):
        for kind, colour, line in ((ALONE, "0.55", "-"), (TOGETHER, COLOURS[robot], "-"), (LONG, COLOURS[robot], "--")):
            of_kind = [Looks(curve.steps, curve.success) for curve in found if (curve.robot, curve.kind) == (robot, kind)]
            for seen in of_kind:
                axes.plot(seen.steps, seen.success, line, color=colour, alpha=0.3, linewidth=1)
            if of_kind:
                grid, success = on_grid(of_kind)
                axes.plot(grid, success.mean(0), line, color=colour, linewidth=2.2, label=f"{kind}, mean of {len(of_kind)}")
        axes.axvline(length, color="0.7", linestyle=":", linewidth=1)
        dress(axes, robot, "environment steps of this arm")
    write(figure, path)


def report(config: Config, found: Sequence[Curve], began: str) -> str:
    """The tables and what they were measured on, as markdown."""
    groups = [[c for c in found if (c.robot, c.kind) == (robot, kind)] for robot in ROBOTS for kind in (ALONE, TOGETHER, LONG)]
    length = config.steps
    head = (
        f"what | robot | training seeds | steps of this arm | its steps to {GOOD} | at {config.steps} | last policy | "
        f"lowest look after the first good one | looks below {GONE} after it | training, s CPU"
    )
    return f"""# One policy, two bodies

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others. One process, one torch thread, one run after the other.

Peg insertion from state by RLPD ({config.demos} demonstrations with each arm, hidden hole offset, rule "strict").
Together: one actor, one pair of critics, one buffer; the arms take turns by episode such that their steps stay equal, and have
equal shares of every batch; the state ends in a one-hot token. There are {config.updates_per_step:g} updates per step of
either arm, as alone. In all runs the target critics take over {config.averaging:g} per update, the default of
several bodies; of this task alone it is {Config().averaging:g}.
"{LONG}" goes on for {LONGER} times the steps that each arm has alone. The learning rate falls over the last third of a
run: alone and together over steps {2 * length // 3} .. {length} of each arm, longer over
{2 * LONGER * length // 3} .. {LONGER * length}. Nothing was chosen on the training seeds from {FIRST_SEED} on, but that
a larger batch was dropped after seed {FIRST_SEED}.

Looks: every {config.eval_every} steps of an arm, {GLANCE} deterministic episodes of each, the same for all. "Last policy":
{config.eval_episodes} other deterministic episodes. Of several seeds: median (least .. greatest).

| {head} |
{"| --- " * 10}|
{chr(10).join(row(group, length) for group in groups if group)}

Steps of an arm to its first look of {GOOD} or more:

{pairs(found)}"""


def test_the_table_and_the_picture_have_both_arms_alone_and_together(tmp_path):
    few: dict[str, Any] = {"learning_starts": 9, "eval_every": 40, "eval_episodes": 1, "demos": 1, "batch_size": 8, "hidden": 8}
    config = Config(steps=40, **few)
    found = [curve for kind, one in runs(config, 1, tmp_path) for curve in curves(kind, one)]
    text = report(config, found, "now")
    assert all(text.count(f"| {kind} | {robot} | {FIRST_SEED} |") == 1 for kind in (ALONE, TOGETHER, LONG) for robot in ROBOTS)
    draw(found, config.steps, tmp_path / "bodies.png")
    assert (tmp_path / "bodies.png").stat().st_size > 10_000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help=f"training seeds, from {FIRST_SEED} on")
    parser.add_argument("--folder", type=Path, default=Path("runs/bodies"), help="where the runs are kept")
    parser.add_argument("--finished", action="store_true", help="train nothing: report on the runs there that are finished")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began, config = describe(), Config(averaging=AVERAGING)
    wanted = runs(config, given.seeds, given.folder)
    if given.finished:
        wanted = [(kind, one) for kind, one in wanted if (one.folder / "summary.json").exists()]
    found = [curve for kind, one in wanted for curve in curves(kind, one)]
    keep("bodies", report(config, found, began))
    draw(found, config.steps, PICTURE)
