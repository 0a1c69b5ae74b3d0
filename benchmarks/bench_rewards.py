"""Is a learned reward good enough to learn a task by, judged by the strict rule?

    python -m benchmarks.bench_rewards
    python -m benchmarks.bench_rewards --obs pixels --seeds 1

Episodes of the scripted expert, with little noise to so much that it fails, and of random actions go into a buffer; a
classifier learns from it what success looks like; RLPD is rewarded by that alone, its demonstrations too; and the rule, which
training never asked, judges the last policy. One process, one thread. The table goes to benchmarks/results/rewards.md, that
of --obs pixels to rewards_pixels.md, after every seed as far as it has got. With --folder the same command goes on with what is
recorded, learned and finished there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

import user_gym  # noqa: F401  # registers the ids
from baselines import reward_classifier, rlpd
from baselines.config import Config
from baselines.episodes import hand, make
from baselines.experience import OWN, mixture
from baselines.online import Method, run
from benchmarks.machine import describe, keep
from user_gym.rewards import Classifier
from user_gym.system import Buffer, ChunkBuilder
from user_gym.system.atomic_file import write_json
from user_gym.wrappers import Record

ID, ROBOT = "User/PegInsert-sim-v0", "franka-fr3"
NOISES = (0.05, 0.1, 0.2, 0.4, None)  # standard deviations, in units of the action, in turn; None: random actions, no expert
SLOWEST = 0.4  # an episode's actions are the expert's times a number from here to 1: policies come at other speeds than it
FIRST_SEED = 20  # of RLPD; its hyperparameters were chosen on 0 to 4, and what the classifier is shown on 10 to 12
LOOKS = {"state": 500, "pixels": 2000}  # env steps between two looks, which take long where pictures are drawn
EPISODES = 5_000_000  # seed of the first that is shown: none that RLPD is trained or judged on


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run that a classifier rewarded."""

    seed: int
    strict: float  # success of the last policy, by the rule
    episodes: int  # of training
    ended: int  # of them, by the classifier's success
    false: int  # of these, where the rule saw none
    cpu: float  # s of training


class Ruled(gymnasium.Wrapper[Any, NDArray[Any], Any, NDArray[Any]]):
    """Notes what the rule says of each step, whoever rewards it outside."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.said: list[bool] = []

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step, noted."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.said.append(bool(info["is_success"]))
        return obs, float(reward), terminated, truncated, info


def record(folder: Path, episodes: int, config: Config) -> float:
    """Fill a buffer with episodes of hands of all kinds, seen as that run will see; the share that succeeded."""
    successes = 0
    with closing(make(config)) as inner, Buffer.open(folder, durability="kill") as buffer:
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


def prepared(folder: Path, episodes: int, config: Config, options: reward_classifier.Options) -> tuple[str, dict[str, Any]]:
    """What the classifier was shown, in words, and what it says of itself; made where the folder does not hold it."""
    note = folder / "shown.json"
    start = time.process_time()
    if not note.exists():
        succeeded = record(options.buffer, episodes, config)
        write_json(note, {"episodes": episodes, "succeeded": succeeded, "record_s": time.process_time() - start})
    kept = json.loads(note.read_text())
    start = time.process_time()
    if not options.out.exists():
        reward_classifier.main(options)
        write_json(note, kept := kept | {"learn_s": time.process_time() - start})
    told = dict(Classifier.load(options.out).network.told)
    reward_classifier.report(options, told)
    noises = ", ".join("random actions" if noise is None else f"{noise:g}" for noise in NOISES)
    shown = f"{kept['episodes']} episodes, {kept['succeeded']:.2f} of which succeed: in turn the expert with noise {noises};"
    shown += f" the expert at {SLOWEST:g} to 1 of its speed ({kept['record_s']:.0f} s CPU)"
    return f"{shown}; the classifier took {kept['learn_s']:.0f} s CPU", told


def trained(config: Config) -> Outcome:
    """A run, and what its classifier took for success; of one that is finished what was noted."""
    note = config.folder / "outcome.json"
    if note.exists():
        return Outcome(**json.loads(note.read_text()))
    with closing(Ruled(make(config))) as env, closing(make(config)) as judge:
        agent = rlpd.Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        summary = run(config, env, judge, Method(agent, lambda buffer: mixture(buffer, None, config)))
        said = np.array(env.said)
    assert summary is not None, "interrupted"
    with Buffer.open(config.folder / "buffer", read_only=True) as buffer:
        own = buffer.view(OWN)
        numbers = own.numbers()
        steps = buffer.steps(numbers, ("terminated", "truncated", "reward_source"))
        assert {*np.unique(steps["reward_source"])} == {"classifier"}, "somebody else gave a reward"
        assert len(said) == len(numbers), f"steps of a call that was interrupted: remove {config.folder}"
        ended = steps["terminated"]
        over = int((ended | steps["truncated"]).sum())
    false = int((~said[ended]).sum())
    outcome = Outcome(config.seed, summary["success_rate"], over, int(ended.sum()), false, summary["train_cpu_s"])
    write_json(note, asdict(outcome))
    return outcome


def table(told: dict[str, Any], shown: str, outcomes: Sequence[Outcome], config: Config, began: str) -> str:
    """What is kept."""
    reached = reward_classifier.Quality(**told["held_out"])
    learned = told["learned_from"]
    rows = [
        f"| {o.seed} | {o.strict:.2f} | {o.episodes} | {o.ended} | {o.false} | {o.cpu:.0f} |" for o in outcomes
    ]  # fmt: skip
    return "\n".join(
        [
            "# A learned reward" + ", from pictures" * (config.obs == "pixels"), "",
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
            f"RLPD with its defaults and --obs {config.obs}, rewarded by that classifier alone, demonstrations included;",
            f"`strict`: success of the last policy over {config.eval_episodes} deterministic episodes by the rule, which",
            "training never asked. `false`: training episodes that the classifier ended as a success where the rule saw",
            "none.", "",
            "| seed | strict | episodes of training | ended by the classifier | false | training, s CPU |",
            "| --- | --- | --- | --- | --- | --- |", *rows,
        ]
    )  # fmt: skip


def main() -> None:
    """Record, learn, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1000, help="that the classifier is shown")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--obs", choices=("state", "pixels"), default="state", help="what classifier and policy see")
    parser.add_argument("--folder", type=Path, default=None, help="where runs are kept; default: a temporary one")
    arguments = parser.parse_args()
    began = describe()
    with tempfile.TemporaryDirectory(prefix="bench-rewards-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        file = folder / "reward.npz"
        base = Config(env_id=ID, robot=ROBOT, obs=arguments.obs, reward=f"classifier:{file}", film=False)
        base = replace(base, eval_every=LOOKS[base.obs])
        options = reward_classifier.Options(buffer=folder / "shown", out=file, obs=arguments.obs)
        shown, told = prepared(folder, arguments.episodes, base, options)
        outcomes: list[Outcome] = []
        name = "rewards" if arguments.obs == "state" else f"rewards_{arguments.obs}"
        keep(name, table(told, shown, outcomes, base, began))
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            outcomes.append(trained(replace(base, seed=seed, run_dir=folder / f"seed{seed}")))
            keep(name, table(told, shown, outcomes, base, began))


if __name__ == "__main__":
    main()
