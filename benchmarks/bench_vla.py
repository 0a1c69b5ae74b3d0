"""Does a small VLA do what it is told, and do corrections make it good at it?

    python -m benchmarks.bench_vla

One policy, two tasks that differ in a word: a blue and a yellow board beside each other, into one of which the peg has to go.
Fine-tuned on demonstrations of both, judged with each prompt in each task; then corrected by a scripted human while it acts
through openpi's protocol, and judged again. The same command goes on where it was cut off. The table goes to
benchmarks/results/vla.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from baselines import vla, vla_dagger
from baselines.vla import VlaConfig
from baselines.vla_dagger import DaggerConfig
from benchmarks.machine import describe, keep

TASKS = ("PegInsert:board=blue", "PegInsert:board=yellow")
SFT = {
    "cameras": ("wrist",),
    "demos": 100,
    "updates": 800,
    "checkpoint_every": 200,
}  # less than the defaults: for 15 min of CPU


def rates(name: str, summary: Mapping[str, Any]) -> list[str]:
    """A line of the table: success in each task with its own prompt, then with the other's."""
    success = summary["success"]
    own = [f"{success[task][task]:.2f}" for task in success]
    swapped = [f"{success[task][other]:.2f}" for task in success for other in success if other != task]
    return [f"| {name} | {' | '.join(own + swapped)} | {summary['updates']} | {summary['seconds']['cpu']:.0f} |"]


def table(sft: VlaConfig, config: DaggerConfig, before: Mapping[str, Any], after: Mapping[str, Any], began: str) -> str:
    """All that was seen, as markdown."""
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

| policy | blue | yellow | blue, swapped | yellow, swapped | updates | s CPU |
{"| --- " * 7}|
{chr(10).join(rates("demonstrations", before) + rates("and corrections", after))}

| quarter of the corrected episodes | interventions per episode | share of steps by the human |
| --- | --- | --- |
{chr(10).join(lines)}"""


def bench(folder: Path, sft: Mapping[str, Any], dagger: Mapping[str, Any]) -> str:
    """Fine-tune, correct; the table."""
    began = describe()
    config = VlaConfig(tasks=TASKS, run_dir=folder / "sft", **sft)
    before = vla.main(config)
    corrections = DaggerConfig(sft=folder / "sft", run_dir=folder / "corrected", **dagger)
    return table(config, corrections, before, vla_dagger.main(corrections), began)


def test_the_table_has_both_policies_and_four_quarters(tmp_path: Path) -> None:
    few = {"side": 16, "demos": 1, "updates": 1, "batch_size": 2, "cameras": ("wrist",), "eval_episodes": 1}
    text = bench(tmp_path, few, {"episodes": 4, "updates": 1, "eval_episodes": 1})
    assert text.count("\n| demonstrations | ") == text.count("\n| and corrections | ") == 1
    assert all(f"\n| {quarter} | " in text for quarter in (1, 2, 3, 4))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-vla"), help="of both runs; to go on with")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/vla.md")
    given = parser.parse_args()
    text = bench(given.folder, SFT, {})
    if given.out is None:
        keep("vla", text)
    else:
        given.out.write_text(text + "\n")
