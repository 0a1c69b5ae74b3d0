"""Is a learned reward good enough to learn a task by, judged by the strict rule?

    python -m benchmarks.bench_rewards

Episodes of the scripted expert, with little noise to so much that it fails, and of random actions go into a buffer; a
classifier learns from it what success looks like; RLPD is rewarded by that alone, its demonstrations too; and the rule, which
training never asked, judges the last policy. One process, one thread. The table goes to benchmarks/results/rewards.md, after
every seed as far as it has got.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import user_gym  # noqa: F401  # registers the ids
from baselines import reward_classifier, rlpd
from baselines.config import Config
from baselines.episodes import hand
from baselines.experience import OWN
from benchmarks.machine import describe, keep
from user_gym.system import Buffer, ChunkBuilder
from user_gym.tasks import peg_insert
from user_gym.wrappers import Record

ID, ROBOT = "User/PegInsert-sim-v0", "franka-fr3"
NOISES = (0.05, 0.1, 0.2, 0.4, None)  # standard deviations, in units of the action, in turn; None: random actions, no expert
SLOWEST = 0.4  # an episode's actions are the expert's times a number from here to 1: policies come at other speeds than it
FIRST_SEED = 20  # of RLPD; its hyperparameters were chosen on 0 to 4, and what the classifier is shown on 10 to 12
EPISODES = 5_000_000  # seed of the first that is shown: none that RLPD is trained or judged on
ENTRY, UNIT = 2, 0.02  # of the state: height over the nominal goal, and m of its unit (docs/ids.md)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run that a classifier rewarded."""

    seed: int
    strict: float  # success of the last policy, by the rule
    episodes: int  # of training
    ended: int  # of them, by the classifier's success
    false: int  # of these, where the peg was not deep enough
    cpu: float  # s of training


def record(folder: Path, episodes: int) -> float:
    """Fill a buffer with episodes of hands of all kinds; the share that succeeded."""
    successes = 0
    with closing(gymnasium.make(ID, robot=ROBOT)) as inner, Buffer.open(folder, durability="kill") as buffer:
        env = Record(inner, ChunkBuilder("hands", ROBOT, "PegInsert", "demo", max_seconds=1e6, env_id=ID), buffer.append)
        env.action_space.seed(EPISODES)
        rng = np.random.default_rng(EPISODES)
        hands = {noise: hand(inner, noise, EPISODES) for noise in NOISES if noise is not None}
        for episode in range(episodes):
            noise, speed = NOISES[episode % len(NOISES)], np.float32(rng.uniform(SLOWEST, 1.0))
            env.reset(seed=EPISODES + episode)
            if noise is not None:
                hands[noise].reset()
            over, info = False, {}
            while not over:
                state: Any = inner.unwrapped.state  # pyright: ignore[reportAttributeAccessIssue]
                action = env.action_space.sample() if noise is None else speed * hands[noise].action(state)
                _, _, terminated, truncated, info = env.step(action)
                over = terminated or truncated
            successes += info["is_success"]
    return successes / episodes


def trained(config: Config) -> Outcome:
    """A run, and what its classifier took for success."""
    summary = rlpd.main(config)
    assert summary is not None, "interrupted"
    with Buffer.open(config.folder / "buffer", read_only=True) as buffer:
        own = buffer.view(OWN)
        numbers = own.numbers()
        steps = buffer.steps(numbers, ("terminated", "truncated", "reward_source"))
        assert {*np.unique(steps["reward_source"])} == {"classifier"}, "somebody else gave a reward"
        ends = numbers[steps["terminated"]]
        height = own.read(ends).next_obs["state"][:, ENTRY] * UNIT if len(ends) else np.empty(0)
        # A tip below the rim is in the hole: the board is wider than the workspace. So the rule is one of depth alone.
        deep = peg_insert.HOLE_DEPTH - height >= peg_insert.DEPTH_SHARE * peg_insert.HOLE_DEPTH
        over = int((steps["terminated"] | steps["truncated"]).sum())
    return Outcome(config.seed, summary["success_rate"], over, len(ends), int((~deep).sum()), summary["train_cpu_s"])


def table(told: dict[str, Any], shown: str, outcomes: Sequence[Outcome], episodes: int, began: str) -> str:
    """What is kept."""
    reached = reward_classifier.Quality(**told["held_out"])
    learned = told["learned_from"]
    rows = [
        f"| {o.seed} | {o.strict:.2f} | {o.episodes} | {o.ended} | {o.false} | {o.cpu:.0f} |" for o in outcomes
    ]  # fmt: skip
    return "\n".join(
        [
            "# A learned reward", "",
            f"Began: {began}. Ended: {describe()}. torch {torch.__version__}.",
            "The machine is shared with others: trust seconds of CPU, not of wall. One process, one torch thread.", "",
            f"{ID}, {ROBOT}. Shown: {shown}.",
            f"Learned from {learned['frames']} frames, {learned['success_frames']} of them success; a fifth of the episodes",
            f"chose the threshold ({told['threshold']:.4f}).", "",
            f"| of {reached.frames} frames of {reached.episodes} held-out episodes | |", "| --- | --- |",
            f"| accuracy | {reached.accuracy:.4f} |",
            f"| false positives, of frames without success | {reached.false_positives:.4f} |",
            f"| false positives, of episodes: one such frame is enough | {reached.false_episodes:.4f} |",
            f"| success not seen, of success frames | {reached.missed:.4f} |", "",
            "RLPD with its defaults, rewarded by that classifier alone, demonstrations included; `strict`: success of the",
            f"last policy over {episodes} deterministic episodes by the rule, which training never asked. `false`: training",
            "episodes that the classifier ended as a success where the peg was not deep enough for the rule.", "",
            "| seed | strict | episodes of training | ended by the classifier | false | training, s CPU |",
            "| --- | --- | --- | --- | --- | --- |", *rows,
        ]
    )  # fmt: skip


def main() -> None:
    """Record, learn, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000, help="that the classifier is shown")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where runs are kept; default: a temporary one")
    arguments = parser.parse_args()
    began = describe()
    with tempfile.TemporaryDirectory(prefix="bench-rewards-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        succeeded = record(folder / "shown", arguments.episodes)
        noises = ", ".join("random actions" if noise is None else f"{noise:g}" for noise in NOISES)
        shown = f"{arguments.episodes} episodes, {succeeded:.2f} of which succeed: in turn the expert with noise {noises};"
        shown += f" the expert at {SLOWEST:g} to 1 of its speed ({time.process_time() - start:.0f} s CPU)"
        file = folder / "reward.npz"
        options = reward_classifier.Options(buffer=folder / "shown", out=file)
        start = time.process_time()
        told = reward_classifier.main(options)
        shown += f"; the classifier took {time.process_time() - start:.0f} s CPU"
        reward_classifier.report(options, told)
        outcomes: list[Outcome] = []
        base = Config(env_id=ID, robot=ROBOT, reward=f"classifier:{file}", film=False)
        keep("rewards", table(told, shown, outcomes, base.eval_episodes, began))
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            outcomes.append(trained(replace(base, seed=seed, run_dir=folder / f"seed{seed}")))
            keep("rewards", table(told, shown, outcomes, base.eval_episodes, began))


if __name__ == "__main__":
    main()
