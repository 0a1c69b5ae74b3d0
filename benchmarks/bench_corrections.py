"""Do a human's corrections lift a cloned policy, and more than as many demonstrations do?

    python -m benchmarks.bench_corrections
    python -m benchmarks.bench_corrections --seeds 30 31 32 33 34 --out table.md

Behaviour cloning on so few demonstrations that it succeeds now and then; the same policy lifted by HG-DAgger; the same run with
a human who never comes, which says what more updates do by themselves; and the control: behaviour cloning on so many
demonstrations that the expert's steps are as many as HG-DAgger had, with as many updates, and demonstrated as steadily as the
human corrects. One process, one thread, one run after the other. What was measured is written
after every seed, as far as it has got: by default to benchmarks/results/corrections_TASK.md; corrections.md says what it means.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from baselines import bc, hg_dagger
from baselines.episodes import demonstrate, make
from benchmarks.machine import describe, keep
from user_gym.system import Buffer

START = 0.3, 0.5  # success that the correcting begins from
FIRST_SEED = 30  # hyperparameters were chosen on 0 to 4 and 10 to 16; 20 to 27 were measured with earlier ones
ENOUGH = 5  # seeds that are not passed over
OPTIONS = (
    "env_id", "demos", "demo_noise", "steps", "patience", "updates_before", "updates_per_step", "batch_size", "hidden",
)  # fmt: skip
Z = 1.96  # standard deviations to either side: 95 %


class Outcome(NamedTuple):
    """Of one seed; successes are rates."""

    seed: int
    cloned: float
    alone: float
    corrected: float
    control: float
    labels: tuple[int, int, int]  # the expert's steps that each learned from
    demos: int  # of the control
    episodes: int  # of HG-DAgger
    interventions: tuple[float, ...]  # per episode, by quarter of the episodes
    human: tuple[float, ...]  # share of the steps, likewise
    cpu: float  # s, of HG-DAgger's training


def demonstrations(config: bc.Config, labels: int) -> int:
    """How many demonstrations have at least so many steps: the control's last one is not cut short."""
    demos = config.demos
    while True:
        demos *= 2
        with closing(make(config)) as env, Buffer.open(":memory:") as buffer:
            demonstrate(env, buffer, replace(config, demos=demos))
            ends = np.flatnonzero(buffer.steps(buffer.numbers(), ("terminated",))["terminated"]) + 1
        if ends[-1] >= labels:
            return int(np.searchsorted(ends, labels)) + 1


def outcome(config: hg_dagger.Config, folder: Path, start: tuple[float, float] = START) -> Outcome | None:
    """The four runs of one seed; None where its clone is better or worse than `start`."""
    cloning = bc.Config(
        env_id=config.env_id, robot=config.robot, seed=config.seed, demos=config.demos, demo_noise=config.demo_noise,
        updates=config.updates_before, batch_size=config.batch_size, hidden=config.hidden, weight_decay=config.weight_decay,
        eval_episodes=config.eval_episodes, film=False, eval_every=config.updates_before,
        run_dir=folder / f"cloned-{config.seed}",
    )  # fmt: skip
    cloned = bc.main(cloning)
    if not start[0] <= cloned["success_rate"] <= start[1]:
        return None
    corrected = hg_dagger.main(replace(config, film=False, run_dir=folder / f"corrected-{config.seed}"))
    alone = hg_dagger.main(replace(config, patience=config.steps, film=False, run_dir=folder / f"alone-{config.seed}"))
    assert corrected is not None, "interrupted"
    assert alone is not None, "interrupted"
    more = replace(cloning, demo_noise=config.human_noise)
    demos = demonstrations(more, corrected["labels"])
    control = bc.main(replace(more, demos=demos, updates=corrected["updates"], run_dir=folder / f"control-{config.seed}"))
    return Outcome(
        config.seed, cloned["success_rate"], alone["success_rate"], corrected["success_rate"], control["success_rate"],
        (cloned["labels"], corrected["labels"], control["labels"]), demos, corrected["episodes"],
        tuple(corrected["interventions_per_episode"]), tuple(corrected["share_of_steps_by_human"]),
        corrected["train_cpu_s"],
    )  # fmt: skip


def pooled(outcomes: Sequence[Outcome]) -> list[tuple[float, float, float]]:
    """Interventions per episode of all seeds together, by quarter, each with a 95 % interval (score, Poisson)."""
    rates = []
    for q in range(4):
        sizes = [np.count_nonzero(4 * np.arange(one.episodes) // one.episodes == q) for one in outcomes]
        count = sum(round(one.interventions[q] * size) for one, size in zip(outcomes, sizes, strict=True))
        middle, off = count + Z * Z / 2, Z * math.sqrt(count + Z * Z / 4)
        total = max(sum(sizes), 1)
        rates.append((count / total, (middle - off) / total, (middle + off) / total))
    return rates


def table(outcomes: Sequence[Outcome]) -> str:
    """As markdown."""
    lines = [
        "| seed | cloned | human never comes | after corrections | control | expert's steps of each | control's demonstrations "
        "| episodes | interventions per episode, by quarter | share of steps by the human, by quarter | training, s CPU |",
        "| --- " * 11 + "|",
    ]
    for one in outcomes:
        parts = (
            str(one.seed), f"{one.cloned:.2f}", f"{one.alone:.2f}", f"{one.corrected:.2f}", f"{one.control:.2f}",
            ", ".join(map(str, one.labels)), str(one.demos), str(one.episodes),
            " ".join(f"{x:.2f}" for x in one.interventions), " ".join(f"{x:.2f}" for x in one.human), f"{one.cpu:.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(parts) + " |")
    if len(outcomes) > 1:
        middle = [statistics.median(column) for column in zip(*(one[1:5] for one in outcomes), strict=True)]
        quarters = [statistics.median(column) for column in zip(*(one.interventions for one in outcomes), strict=True)]
        told = " ".join(f"{x:.2f}" for x in quarters)
        lines.append("| median | " + " | ".join(f"{x:.2f}" for x in middle) + f" | | | | {told} | | |")
        told = ", ".join(f"{rate:.3f} ({low:.3f} .. {high:.3f})" for rate, low, high in pooled(outcomes))
        lines.append(f"\nInterventions per episode of all seeds together, by quarter, with 95 % intervals: {told}.")
    return "\n".join(lines)


def bench(
    config: hg_dagger.Config,
    seeds: Sequence[int],
    start: tuple[float, float],
    folder: Path,
    kept: Callable[[str], object],
    enough: int = ENOUGH,
) -> None:
    """Seeds until `enough` were not passed over; `kept` gets all there is to tell after each."""
    began, outcomes, passed = describe(), [], []
    for seed in seeds:
        found = outcome(replace(config, seed=seed), folder, start)
        if found is None:
            passed.append(seed)
        else:
            outcomes.append(found)
        kept(_text(config, start, outcomes, passed, began))
        if len(outcomes) == enough:
            return


def _text(
    config: hg_dagger.Config, start: tuple[float, float], outcomes: Sequence[Outcome], passed: Sequence[int], began: str
) -> str:
    return f"""# Corrections by a human, scripted

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: trust seconds of CPU before seconds of wall. One process, one torch thread.

{config.env_id}, {config.robot}, {config.demos} demonstrations to begin with. How good a clone of so few is differs from seed
to seed: those whose clone does not succeed in {start[0]} to {start[1]} of the episodes were passed over ({passed or "none"}).
Success is that of the last policy, without help, deterministic, over {config.eval_episodes} episodes that are the same for all;
strict. HG-DAgger: {config.steps} environment steps, {config.updates_before} updates before them and
{config.updates_per_step:g} for each; the human takes over after {config.patience} periods without progress; noise of the
first demonstrations {config.demo_noise:g}, of the human {config.human_noise:g}. "Human never comes": the same run, with as many
updates, from the first demonstrations alone. Control: behaviour cloning on demonstrations
with the human's noise, at least as many steps of the expert as HG-DAgger learned from, and as many updates.
Hyperparameters were chosen on the seeds 0 to 4 and 10 to 16; those below are held out.

{table(outcomes)}"""


def test_each_seed_is_cloned_corrected_and_compared_with_as_many_labels(tmp_path):
    few = {"eval_episodes": 1, "batch_size": 8, "hidden": 8, "demos": 1}
    config = hg_dagger.Config(steps=60, patience=3, updates_before=10, updates_per_step=0.5, eval_every=60, **few)
    outcomes = [outcome(replace(config, seed=seed), tmp_path, start=(0.0, 1.0)) for seed in (0, 1)]
    found = [one for one in outcomes if one is not None]
    for one in found:
        cloned, corrected, control = one.labels
        assert cloned < corrected <= control < corrected + 100
        assert one.demos > 1
    assert table(found).count("\n") == 6
    assert outcome(config, tmp_path, start=(1.1, 1.2)) is None


def test_quarters_of_all_seeds_are_pooled_by_their_counts():
    one = Outcome(0, 0.4, 0.4, 0.9, 0.8, (1, 2, 2), 1, 10, (0.333, 0.0, 0.0, 0.5), (0.0,) * 4, 1.0)  # quarters of 3 2 3 2
    many = one._replace(episodes=40, interventions=(0.5, 0.0, 0.1, 0.0))
    rates = pooled([one, many])
    assert [rate for rate, _, _ in rates] == pytest.approx([6 / 13, 0.0, 1 / 13, 1 / 12])
    assert rates[0][1:] == pytest.approx((2.750 / 13, 13.092 / 13), abs=1e-3)  # Poisson's score interval of 6
    assert rates[1][1] == pytest.approx(0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = hg_dagger.Config()
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(FIRST_SEED, FIRST_SEED + 40)))
    parser.add_argument("--enough", type=int, default=ENOUGH, help="seeds that are not passed over, after which it ends")
    parser.add_argument("--start", type=float, nargs=2, default=START, help="success of a clone that is corrected")
    for name in OPTIONS:
        usual = getattr(default, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(usual), default=usual)
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/corrections_TASK.md")
    given = vars(parser.parse_args())
    seeds, enough, start, out = given.pop("seeds"), given.pop("enough"), tuple(given.pop("start")), given.pop("out")
    torch.set_num_threads(1)
    config = replace(default, **given, eval_every=given["steps"])
    with tempfile.TemporaryDirectory() as folder:
        kept = partial(keep, f"corrections_{config.task}") if out is None else (lambda text: out.write_text(text + "\n"))
        bench(config, seeds, start, Path(folder), kept, enough)
