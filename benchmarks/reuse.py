"""Does a new run learn sooner from what an earlier run left behind?

    python -m benchmarks.reuse

The first run learns peg insertion from 20 demonstrations, its experience on disk. The second is another agent with another seed
and no demonstrations: half of each batch comes from a view of the first run's buffer, reopened, and before its first
step it learns from that view alone. Counted are environment steps to the first look with at least 95 % of 20 deterministic
episodes successful; a look every 250 steps, the first at 0. Each pair of runs has its own seeds; the table gives all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from baselines.config import Config
from baselines.episodes import GLANCE_SEED, demonstrate, evaluate, make
from baselines.rlpd import GLANCE, Rlpd, frozen
from benchmarks.machine import describe, keep
from user_gym.core import Storage
from user_gym.system import Buffer, Mixture, Progress, train

FIRST_SEED, LATER = 30, 100  # held out; the later run's seed is that much more
LOOK = 250  # environment steps between two looks
ENOUGH = 0.95
VIEW = "kind = 'policy' OR kind = 'demo'"  # all of it: of successes alone the critics learn nothing about failing
BEFORE = 2000  # updates from the view alone, before the first step


class Learned(NamedTuple):
    """How a run went."""

    steps: int | None  # to the first good look; None: never
    last: float  # success at the last look


def learn(config: Config, storage: Buffer, earlier: Storage | None) -> Learned:
    """Train on `storage`, with half of each batch from `earlier`, or from demonstrations where there is none."""
    with closing(make(config)) as env, closing(make(config)) as judge:
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        if earlier is None:
            demonstrate(judge, storage, config)
            parts = [(storage.view("kind = 'demo'"), 0.5), (storage.view("kind = 'policy'"), 0.5)]
        else:
            parts = [(earlier, 0.5), (storage, 0.5)]
        looks: list[tuple[int, float]] = []

        def look(steps: int) -> None:
            looks.append((steps, evaluate(judge, frozen(agent), GLANCE, first_seed=GLANCE_SEED)[0]))

        sampler = Mixture(parts, config.batch_size)
        if earlier is not None:
            rng = np.random.default_rng(config.seed)
            for _ in range(BEFORE):
                agent.update(sampler(storage, rng))
        look(0)
        stop = threading.Event()

        def progress(state: Progress) -> None:
            look(state.env_steps)
            if earlier is not None and looks[-1][1] >= ENOUGH:
                stop.set()  # what comes later is not asked for; the first run goes on, for the second to have it all

        train(
            env, agent, storage, steps=config.steps, updates_per_step=config.updates_per_step,
            learning_starts=config.learning_starts if earlier is None else 0, sampler=sampler,
            publish_every=max(1, round(config.updates_per_step)), robot=config.robot, task="PegInsert", seed=config.seed,
            progress_every=LOOK, on_progress=progress, stop=stop,
        )  # fmt: skip
    return Learned(next((steps for steps, success in looks if success >= ENOUGH), None), looks[-1][1])


def pair(config: Config, folder: Path) -> tuple[Learned, Learned]:
    """A run and one that builds on it."""
    first = folder / f"first-{config.seed}"
    with closing(Buffer.open(str(first))) as storage:
        one = learn(config, storage, None)
    again = replace(config, seed=config.seed + LATER, demos=0)
    with closing(Buffer.open(str(first))) as earlier, closing(Buffer.open(str(folder / f"second-{config.seed}"))) as storage:
        return one, learn(again, storage, earlier.view(VIEW))


def table(pairs: dict[int, tuple[Learned, Learned]]) -> str:
    """As markdown."""
    lines = ["| seeds | first run, env steps to .95 | the run after it | ratio | last looks |", "| --- " * 5 + "|"]
    ratios: list[float] = []
    for seed, (one, two) in pairs.items():
        told = ["never" if run.steps is None else str(run.steps) for run in (one, two)]
        if one.steps is not None and two.steps is not None:
            ratios.append(two.steps / one.steps)
        ratio = f"{ratios[-1]:.2f}" if one.steps is not None and two.steps is not None else "-"
        lines.append(f"| {seed}, {seed + LATER} | {told[0]} | {told[1]} | {ratio} | {one.last:.2f}, {two.last:.2f} |")
    if ratios:
        lines.append(f"| median | | | {statistics.median(ratios):.2f} | |")
    return "\n".join(lines)


def main() -> None:
    """Run all pairs and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    began = describe()
    with tempfile.TemporaryDirectory(prefix="user-gym-reuse-") as folder:
        seeds = range(FIRST_SEED, FIRST_SEED + args.pairs)
        pairs = {seed: pair(Config(seed=seed, steps=args.steps), Path(folder)) for seed in seeds}
    keep("reuse", f"# Reuse of an earlier run's buffer\n\n{began}; PegInsert, franka-fr3, RLPD\n\n{table(pairs)}")


if __name__ == "__main__":
    main()
