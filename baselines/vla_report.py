"""What the commands of a small VLA print: how far they are, and where results lie. It knows no model and no environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

EVERY = 10  # episodes between two lines of progress


def tenth(what: str) -> Callable[[str], None]:
    """For whoever tells of each episode in a line: prints every tenth of them, after what it is about."""
    heard = count(1)

    def told(line: str) -> None:
        if next(heard) % EVERY == 0:
            print(f"{what}: {line}", flush=True)

    return told


def prompted(task: str, other: str) -> str:
    """A task that is judged with a task's prompt."""
    return f"{task} with {'its own prompt' if task == other else f'the prompt of {other}'}"


def judgements(success: Mapping[str, Mapping[str, float]], episodes: int) -> list[str]:
    """A line for each of task -> whose prompt -> rate."""
    return [
        f"{prompted(task, other)}: success {rate:.2f} over {episodes} episodes"
        for task, rates in success.items()
        for other, rate in rates.items()
    ]


def report(folder: Path, results: Sequence[str], finished_before: bool) -> None:
    """Print how a run ended, what is in its folder, and what can be done with it."""
    if finished_before:
        print(f"{folder} is finished; remove it or choose another --run-dir to train again")
    for line in results:
        print(line)
    for what in ("summary.json", "checkpoint-*.pt", "buffer"):  # what was removed meanwhile is no mistake
        for path in sorted(folder.glob(what)):
            print(f"{path.name.partition('-')[0].partition('.')[0]:12s}{path}")
    print(f"serve it    python -m baselines.vla_serve {folder}", flush=True)
