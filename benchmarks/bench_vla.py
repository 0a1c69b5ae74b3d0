"""Does a small VLA do what it is told, and do corrections make it good at it?

    python -m benchmarks.bench_vla

One policy, two tasks that differ in a word: a blue and a yellow board beside each other, into one of which the peg has to go.
Fine-tuned on demonstrations of both, judged with each prompt in each task; then corrected by a scripted human while it acts
through openpi's protocol, and judged again. The same command goes on where it was cut off. The table goes to
benchmarks/results/vla.md; with --longer it has a line for what as many updates make of the demonstrations alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

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
# Less than the defaults, for 15 minutes of CPU.
SFT = {"cameras": ("wrist",), "demos": 100, "updates": 800, "checkpoint_every": 200}


def rates(name: str, summary: Mapping[str, Any]) -> str:
    """A line of the table: success in each task with its own prompt, then with the other's."""
    success = summary["success"]
    own = [f"{success[task][task]:.2f}" for task in success]
    swapped = [f"{success[task][other]:.2f}" for task in success for other in success if other != task]
    return f"| {name} | {' | '.join(own + swapped)} | {summary['updates']} | {summary['seconds']['cpu']:.0f} |"


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


def table(
    sft: VlaConfig,
    config: DaggerConfig,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    control: Mapping[str, Any] | None,
    began: str,
) -> str:
    """All that was seen, as markdown."""
    rows = [rates("demonstrations", before), rates("then corrections", after)]
    rows += [] if control is None else [rates("instead of those, as many updates on the demonstrations", control)]
    quarters = zip(after["interventions_per_episode"], after["share_of_steps_by_human"], strict=True)
    lines = [f"| {number} | {times:.2f} | {share:.2f} |" for number, (times, share) in enumerate(quarters, 1)]
    return f"""# A small VLA: two tasks in one scene, told apart by words

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: seconds are of CPU, one thread. Fine-tuning without its demonstrations and without judging;
corrections with the robot, the server and the human, without judging.

{sft.robot}, two boards, `hole_offset` and success of the ids (1 mm, strict). {before["parameters"]} parameters,
{" and ".join(sft.cameras)} camera at {sft.side} x {sft.side}, chunks of {sft.horizon} of which {sft.execute} are carried out.
{sft.demos} demonstrations of each task; then {config.episodes} corrected episodes, the tasks in turns, {after["steps"]} steps,
through a `PolicyServer` that took {after["versions"]} versions of the weights while it acted. Seed {sft.seed}.
Success over {config.eval_episodes} episodes of each task and prompt, the same for all; "swapped" is the other task's prompt.

| policy | blue | yellow | blue, swapped | yellow, swapped | updates of this row | s CPU |
{"| --- " * 7}|
{chr(10).join(rows)}

| quarter of the corrected episodes | interventions per episode | share of steps by the human |
| --- | --- | --- |
{chr(10).join(lines)}"""


def bench(folder: Path, sft: Mapping[str, Any], dagger: Mapping[str, Any], alone: bool) -> str:
    """Fine-tune, correct; the table."""
    began = describe()
    config = VlaConfig(tasks=TASKS, run_dir=folder / "sft", **sft)
    before = vla.main(config)
    corrections = DaggerConfig(sft=folder / "sft", run_dir=folder / "corrected", **dagger)
    after = vla_dagger.main(corrections)
    control = longer(corrections, folder / "longer.json") if alone else None
    return table(config, corrections, before, after, control, began)


def test_the_table_has_both_policies_and_four_quarters(tmp_path: Path) -> None:
    few = {"side": 16, "demos": 1, "updates": 1, "batch_size": 4, "cameras": ("wrist",), "eval_episodes": 1}
    text = bench(tmp_path, few, {"episodes": 4, "updates": 1, "eval_episodes": 1}, alone=True)
    assert all(text.count(f"\n| {name}") == 1 for name in ("demonstrations | ", "then corrections | ", "instead of those"))
    assert all(f"\n| {quarter} | " in text for quarter in (1, 2, 3, 4))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-vla"), help="of both runs; to go on with")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/vla.md")
    parser.add_argument("--longer", action="store_true", help="measure as many updates on the demonstrations alone as well")
    given = parser.parse_args()
    text = bench(given.folder, SFT, {}, given.longer)
    if given.out is None:
        keep("vla", text)
    else:
        given.out.write_text(text + "\n")
