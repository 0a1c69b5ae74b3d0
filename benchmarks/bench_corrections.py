"""Do a human's corrections lift a cloned policy, and more than as many demonstrations do?

    python -m benchmarks.bench_corrections
    python -m benchmarks.bench_corrections --seeds 30 31 32 33 34 --out table.md
    python -m benchmarks.bench_corrections --env-id User/TableCleanup-sim-v0

Behaviour cloning on so few demonstrations that it succeeds now and then; the same policy lifted by HG-DAgger; the same run with
a human who never comes, which says what more updates do by themselves; and the control: behaviour cloning on so many
demonstrations that the expert's steps are at least as many as HG-DAgger had, with as many updates, and demonstrated as steadily
as the human corrects. One process, one thread, one run after the other. What was measured is written
after every seed, as far as it has got: by default to benchmarks/results/corrections_TASK.md; corrections.md says what it means.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from baselines import bc, hg_dagger
from benchmarks.machine import describe, keep

FIRST_SEED = 30  # 20 to 27 were measured with earlier methods
ENOUGH = 5  # seeds that are not passed over
OPTIONS = (
    "demos", "demo_noise", "human_noise", "steps", "patience", "held", "updates_before", "updates_per_step", "batch_size",
    "hidden", "eval_episodes",
)  # fmt: skip
SURPLUS = 1.05  # times as many demonstrations as are thought to be enough: steadier ones are a little shorter
Z = 1.96  # standard deviations to either side: 95 %


class Terms(NamedTuple):
    """What a task is corrected on."""

    start: tuple[float, float]  # success of a clone that is corrected
    tuned: str  # the seeds that hyperparameters were chosen on
    settings: Mapping[str, Any]  # of hg_dagger.Config, where not as by default


USUAL = Terms((0.3, 0.5), "0 to 4 and 10 to 16", {})
TABLE = {  # an episode is ten insertions long
    "demos": 24, "demo_noise": 0.05, "human_noise": 0.02, "steps": 40000, "patience": 20, "held": 60, "updates_before": 6000,
    "updates_per_step": 0.5, "batch_size": 256, "hidden": 256, "eval_episodes": 50,
}  # fmt: skip
TERMS: Mapping[str, Terms] = {"TableCleanup": Terms((0.0, 0.45), "0 to 2, and by what 30 to 32 came to with fewer", TABLE)}


class Outcome(NamedTuple):
    """Of one seed; successes are rates."""

    seed: int
    cloned: float
    alone: float  # nan where it was not measured
    corrected: float
    control: float
    labels: tuple[int, int, int]  # the expert's steps that each learned from
    demos: int  # of the control
    episodes: int  # of HG-DAgger
    interventions: tuple[float, ...]  # per episode, by quarter of the episodes
    human: tuple[float, ...]  # share of the steps, likewise
    cpu: float  # s, of HG-DAgger's training


def outcome(
    config: hg_dagger.Config, folder: Path, start: tuple[float, float] = USUAL.start, alone: bool = True
) -> Outcome | None:
    """The four runs of one seed, three where not `alone`; None where its clone is better or worse than `start`."""
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
    assert corrected is not None, "interrupted"
    unhelped = math.nan
    if alone:
        never = replace(config, patience=config.steps, film=False, run_dir=folder / f"alone-{config.seed}")
        unhelped = (hg_dagger.main(never) or {})["success_rate"]
    more = replace(cloning, demo_noise=config.human_noise)
    more = replace(more, updates=corrected["updates"], eval_every=corrected["updates"])
    demos, labels, control = config.demos, cloned["labels"], None
    while control is None or labels < corrected["labels"]:  # the last demonstration is not cut short
        demos = math.ceil(SURPLUS * demos * corrected["labels"] / labels)
        control = bc.main(replace(more, demos=demos, run_dir=folder / f"control-{config.seed}-{demos}"))
        labels = control["labels"]
    return Outcome(
        config.seed, cloned["success_rate"], unhelped, corrected["success_rate"], control["success_rate"],
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
            str(one.seed), f"{one.cloned:.2f}", _rate(one.alone), f"{one.corrected:.2f}", f"{one.control:.2f}",
            ", ".join(map(str, one.labels)), str(one.demos), str(one.episodes),
            " ".join(f"{x:.2f}" for x in one.interventions), " ".join(f"{x:.2f}" for x in one.human), f"{one.cpu:.0f}",
        )  # fmt: skip
        lines.append("| " + " | ".join(parts) + " |")
    if len(outcomes) > 1:
        middle = [statistics.median(column) for column in zip(*(one[1:5] for one in outcomes), strict=True)]
        quarters = [statistics.median(column) for column in zip(*(one.interventions for one in outcomes), strict=True)]
        told = " ".join(f"{x:.2f}" for x in quarters)
        lines.append("| median | " + " | ".join(map(_rate, middle)) + f" | | | | {told} | | |")
        told = ", ".join(f"{rate:.3f} ({low:.3f} .. {high:.3f})" for rate, low, high in pooled(outcomes))
        lines.append(f"\nInterventions per episode of all seeds together, by quarter, with 95 % intervals: {told}.")
    return "\n".join(lines)


def _rate(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.2f}"


def bench(
    config: hg_dagger.Config,
    seeds: Sequence[int],
    start: tuple[float, float],
    folder: Path,
    kept: Callable[[str], object],
    enough: int = ENOUGH,
    alone: bool = True,
) -> None:
    """Seeds until `enough` were not passed over; `kept` gets all there is to tell after each."""
    began, outcomes, passed = describe(), [], []
    for seed in seeds:
        found = outcome(replace(config, seed=seed), folder, start, alone)
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
{config.updates_per_step:g} for each; the human takes over after {config.patience} periods without progress, for
{config.held} at least; noise of the first demonstrations {config.demo_noise:g}, of the human {config.human_noise:g}.
"Human never comes": the same run, with as many updates, from the first demonstrations alone.
Control: behaviour cloning on demonstrations with the human's noise, at least as many steps of the expert as HG-DAgger learned
from, and as many updates.
Hyperparameters were chosen on the seeds {TERMS.get(config.task, USUAL).tuned}; those below are held out.

{table(outcomes)}"""


def test_each_seed_is_cloned_corrected_and_compared_with_as_many_labels(tmp_path):
    few = {"eval_episodes": 1, "batch_size": 8, "hidden": 8, "demos": 1}
    config = hg_dagger.Config(steps=60, patience=3, updates_before=10, updates_per_step=0.5, eval_every=60, **few)
    outcomes = [outcome(replace(config, seed=seed), tmp_path, start=(0.0, 1.0)) for seed in (0, 1)]
    found = [one for one in outcomes if one is not None]
    for one in found:
        cloned, corrected, control = one.labels
        assert cloned < corrected <= control < 2 * corrected + 100
        assert one.demos > 1
    assert table(found).count("\n") == 6
    assert outcome(config, tmp_path, start=(1.1, 1.2)) is None


def test_the_control_is_trained_as_long_where_the_human_never_came(tmp_path):
    few = {"eval_episodes": 1, "batch_size": 8, "hidden": 8, "demos": 1}
    config = hg_dagger.Config(steps=20, patience=20, updates_before=10, updates_per_step=0.5, eval_every=20, **few)
    one = outcome(config, tmp_path, start=(0.0, 1.0), alone=False)
    assert one is not None
    assert one.labels[0] == one.labels[1] <= one.labels[2]
    controls = [json.loads(path.read_text()) for path in tmp_path.glob("control-*/summary.json")]
    assert [control["updates"] for control in controls] == [20] * len(controls) != []


def test_without_the_run_whose_human_never_comes_it_is_told_that_it_was_not_measured(tmp_path):
    few = {"eval_episodes": 1, "batch_size": 8, "hidden": 8, "demos": 1}
    config = hg_dagger.Config(steps=60, patience=3, updates_before=10, updates_per_step=0.5, eval_every=60, **few)
    one = outcome(config, tmp_path, start=(0.0, 1.0), alone=False)
    assert one is not None
    assert math.isnan(one.alone)
    assert not (tmp_path / "alone-0").exists()
    assert "| not measured |" in table([one])


@pytest.mark.parametrize("task", TERMS)
def test_what_a_task_is_corrected_with_is_a_run(task):
    config = hg_dagger.Config(env_id=f"User/{task}-sim-v0", **TERMS[task].settings)
    assert config.task == task


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
    parser.add_argument("--start", type=float, nargs=2, help="success of a clone that is corrected; by default, the task's")
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True, help="the run whose human never comes")
    parser.add_argument("--env-id", default=default.env_id)
    for name in OPTIONS:
        of_task = ", ".join(f"{terms.settings[name]} ({task})" for task, terms in TERMS.items() if name in terms.settings)
        told = f"{getattr(default, name)}" + f", {of_task}" * bool(of_task)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(getattr(default, name)), help=told)
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/corrections_TASK.md")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    seeds, enough, alone, out = (given.pop(name, None) for name in ("seeds", "enough", "alone", "out"))
    terms = TERMS.get(replace(default, env_id=given["env_id"]).task, USUAL)
    start = tuple(given.pop("start", terms.start))
    torch.set_num_threads(1)
    config = replace(default, **{**terms.settings, **given})
    config = replace(config, eval_every=config.steps)
    with tempfile.TemporaryDirectory() as folder:
        kept = partial(keep, f"corrections_{config.task}") if out is None else (lambda text: out.write_text(text + "\n"))
        bench(config, seeds, start, Path(folder), kept, enough, alone)
