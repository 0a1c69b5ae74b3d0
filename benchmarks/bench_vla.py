"""Does a small VLA do what it is told, and do corrections make it good at it?

    python -m benchmarks.bench_vla
    python -m benchmarks.bench_vla --seeds 0 1 --longer

One policy, two tasks that differ in a word: a blue and a yellow board beside each other, into one of which the peg has to go.
Fine-tuned on demonstrations of both, judged with each prompt in each task; then corrected by a scripted human while it acts
through openpi's protocol, and judged again. The same command goes on where it was cut off. benchmarks/results/vla.md is
written after every seed, as far as it has got; with --longer it has lines for what as many updates make of the demonstrations
alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from baselines import vla, vla_dagger
from baselines.report import Clock
from baselines.vla import VlaConfig
from baselines.vla_dagger import DaggerConfig
from baselines.vla_demos import of_task
from benchmarks.machine import describe, keep
from user_gym.system import Buffer
from user_gym.system.atomic_file import write_json

TASKS = ("PegInsert:board=blue", "PegInsert:board=yellow")
TUNED, SEEDS = 0, [3, 4]  # choices were made on the first; what 1 and 2 came to with less of everything had a say in them
# Fewer demonstrations than the defaults, of one camera, for 15 minutes of CPU a seed.
SFT = {"cameras": ("wrist",), "demos": 120, "updates": 1600, "checkpoint_every": 200}
CORRECTIONS = {"episodes": 240}


class Row(NamedTuple):
    """Of one seed: summaries of what was made by demonstrations, by corrections, and by more updates on the demonstrations."""

    seed: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    control: Mapping[str, Any] | None


def rates(seed: int, name: str, summary: Mapping[str, Any]) -> str:
    """A line of the table: success in each task with its own prompt, then with the other's."""
    success = summary["success"]
    own = [f"{success[task][task]:.2f}" for task in success]
    swapped = [f"{success[task][other]:.2f}" for task in success for other in success if other != task]
    return f"| {seed} | {name} | {' | '.join(own + swapped)} | {summary['updates']} | {summary['seconds']['cpu']:.0f} |"


def longer(config: DaggerConfig, kept: Path) -> Mapping[str, Any]:
    """What as many updates at the same rates make of the same model by demonstrations alone; `kept` remembers it."""
    if kept.exists():
        return json.loads(kept.read_text())
    sft, model, prompts = vla.reopened(config.sft)
    learner = model.further(replace(sft, updates=config.episodes * config.updates, learning_rate=config.learning_rate))
    clock, rows = Clock(), sft.batch_size // len(prompts)
    with Buffer.open(config.sft / "buffer", read_only=True) as demos, ExitStack() as stack:
        views = {prompt: demos.view(of_task(task)) for task, prompt in prompts.items()}
        while learner.updates < learner.config.updates:
            rng = np.random.default_rng([config.seed, learner.updates])
            learner.update({prompt: view.sample(rows, rng, sft.horizon) for prompt, view in views.items()})
        cpu = clock.read()[1]
        success = vla.judged(replace(sft, eval_episodes=config.eval_episodes), learner, vla.opened(sft, stack))
    summary = {"success": success, "updates": learner.updates, "seconds": {"cpu": cpu}}
    write_json(kept, summary)
    return summary


def outcome(seed: int, folder: Path, sft: Mapping[str, Any], dagger: Mapping[str, Any], alone: bool) -> Row:
    """Fine-tune and correct."""
    config = VlaConfig(tasks=TASKS, run_dir=folder / "sft", seed=seed, **sft)
    before = vla.main(config)
    corrections = DaggerConfig(sft=config.folder, run_dir=folder / "corrected", seed=seed, **dagger)
    after = vla_dagger.main(corrections)
    return Row(seed, before, after, longer(corrections, folder / "longer.json") if alone else None)


def table(rows: Sequence[Row], sft: VlaConfig, config: DaggerConfig, began: str) -> str:
    """All that was seen, as markdown."""
    lines, quarters = list[str](), list[str]()
    for seed, before, after, control in rows:
        lines += [rates(seed, "demonstrations", before), rates(seed, "then corrections", after)]
        lines += [] if control is None else [rates(seed, "instead of those, as many updates on the demonstrations", control)]
        each = [" ".join(f"{x:.2f}" for x in after[name]) for name in ("interventions_per_episode", "share_of_steps_by_human")]
        quarters.append(f"| {seed} | {' | '.join(each)} | {after['steps']} | {after['versions']} |")
    return f"""# A small VLA: two tasks in one scene, told apart by words

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: seconds are of CPU, one thread. Fine-tuning without its demonstrations and without judging;
corrections with the robot, the server and the human, without judging.

{sft.robot}, two boards, `hole_offset` and success of the ids (1 mm, strict). {rows[0].before["parameters"]} parameters,
{" and ".join(sft.cameras)} camera at {sft.side} x {sft.side}, chunks of {sft.horizon} of which {sft.execute} are carried out.
{sft.demos} demonstrations of each task; then {config.episodes} corrected episodes, the tasks in turns, through a `PolicyServer`
that takes new weights while it acts. Success over {config.eval_episodes} episodes of each task and prompt, the same for all;
"swapped" is the other task's prompt. Choices were made on seed {TUNED}, and by what 1 and 2 had come to; others are held out.

| seed | policy | blue | yellow | blue, swapped | yellow, swapped | updates of this row | s CPU |
{"| --- " * 8}|
{chr(10).join(lines)}

Of the corrected episodes, by quarter:

| seed | interventions per episode | share of steps by the human | steps | versions of the weights that acted |
{"| --- " * 5}|
{chr(10).join(quarters)}"""


def bench(
    seeds: Sequence[int],
    folder: Path,
    sft: Mapping[str, Any],
    dagger: Mapping[str, Any],
    alone: bool,
    kept: Callable[[str], object],
) -> None:
    """Each seed; `kept` gets the whole table after each."""
    began, rows = describe(), list[Row]()
    for seed in seeds:
        rows.append(outcome(seed, folder / f"seed-{seed}", sft, dagger, alone))
        kept(table(rows, VlaConfig(tasks=TASKS, **sft), DaggerConfig(sft=folder, **dagger), began))


def test_the_table_has_all_policies_of_each_seed(tmp_path: Path) -> None:
    few = {"side": 16, "demos": 1, "updates": 1, "batch_size": 4, "cameras": ("wrist",), "eval_episodes": 1}
    texts = list[str]()
    bench((0,), tmp_path, few, {"episodes": 4, "updates": 1, "eval_episodes": 1}, True, texts.append)
    (text,) = texts
    names = ("demonstrations", "then corrections", "instead of those, as many updates on the demonstrations")
    assert all(text.count(f"\n| 0 | {name} | ") == 1 for name in names)
    assert len(text.splitlines()[-1].split("|")[2].split()) == 4


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-vla"), help="of all runs; to go on with")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/vla.md")
    parser.add_argument("--longer", action="store_true", help="measure as many updates on the demonstrations alone as well")
    given = parser.parse_args()
    write = (lambda text: keep("vla", text)) if given.out is None else (lambda text: given.out.write_text(text + "\n"))
    bench(given.seeds, given.folder, SFT, CORRECTIONS, given.longer, write)
