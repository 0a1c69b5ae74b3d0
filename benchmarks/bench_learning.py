"""Does RLPD learn peg insertion, how fast, and what do policies reach that do not search?

    python -m benchmarks.bench_learning

Every figure is the success rate over the same deterministic episodes. One process, one thread, one run after the other. The
table goes to benchmarks/results/learning.md.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from baselines.config import Config
from baselines.episodes import EVALUATION_SEED, demonstrate, evaluate, make
from baselines.networks import squashed
from baselines.online import GLANCE, frozen
from baselines.rlpd import Rlpd, main
from benchmarks.machine import describe, keep
from user_gym.core import F32, RobotState
from user_gym.system import Buffer
from user_gym.tasks.expert import PegInsertExpert

FIRST_SEED = 10  # hyperparameters were chosen on 0 to 4
FRANKA, ARX = "franka-fr3", "arx-x5"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    robot: str
    seed: str
    success: str
    steps_to_95: str = "-"
    wall: str = "-"
    cpu: str = "-"


class Extent(NamedTuple):
    """How many training seeds each part gets, from FIRST_SEED on."""

    franka: int = 5
    arx: int = 3
    asynchronous: int = 1
    undemonstrated: int = 1  # SAC


def scripted(
    config: Config, episodes: int, action: Callable[[RobotState, Any], F32], begin: Callable[[], None] = lambda: None
) -> float:
    """Success rate of a rule that maps a robot's state and a task to an action."""
    successes = 0
    with closing(make(config)) as env:
        for episode in range(episodes):
            env.reset(seed=EVALUATION_SEED + episode)
            begin()
            over, info = False, {}
            while not over:
                *_, terminated, truncated, info = env.step(action(env.unwrapped.state, env.unwrapped.task))
                over = terminated or truncated
            successes += info["is_success"]
    return successes / episodes


def random_actions(config: Config, episodes: int) -> float:
    rng = np.random.default_rng(config.seed)
    return scripted(config, episodes, lambda state, task: rng.uniform(-1, 1, 6).astype(np.float32))


def straight_down(config: Config, episodes: int) -> float:
    down = np.array([0, 0, -1, 0, 0, 0], np.float32)
    return scripted(config, episodes, lambda state, task: down)


def to_the_nominal_goal(config: Config, episodes: int) -> float:
    """A P-controller, all six axes at once, gain 1 per step: it knows the goal and does not search."""
    return scripted(config, episodes, lambda state, task: steps_to(task.goal, state, task))


def align_then_down(config: Config, episodes: int) -> float:
    """The same, but above the nominal hole first. Not asked for; it shows what the hidden offset alone does."""
    aligned = False

    def begin() -> None:
        nonlocal aligned
        aligned = False

    def action(state: RobotState, task: Any) -> F32:
        nonlocal aligned
        error = np.abs(task.goal - state.tcp)
        aligned = aligned or bool(error[:2].max() < 0.0005 and error[5] < 0.01)
        return steps_to(task.goal + [0, 0, 0.0 if aligned else 0.028, 0, 0, 0], state, task)

    return scripted(config, episodes, action, begin)


def expert(config: Config, episodes: int) -> float:
    with closing(make(config)) as env:
        hand = PegInsertExpert(env.unwrapped.task)  # pyright: ignore[reportAttributeAccessIssue]
    return scripted(config, episodes, lambda state, task: hand.action(state), hand.reset)


def steps_to(goal: Any, state: RobotState, task: Any) -> F32:
    return np.clip((goal - state.tcp) / task.action_scale, -1, 1).astype(np.float32)


def behaviour_cloning(config: Config, episodes: int, updates: int = 4000) -> float:
    """RLPD's own actor fitted to the same demonstrations by least squares of what the expert ordered, nothing else."""
    with closing(make(config)) as env:
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        demos = Buffer.open(":memory:")
        demonstrate(env, demos, config)
        rng, optimiser = np.random.default_rng(config.seed), torch.optim.Adam([agent.actor], 1e-3)
        noise = torch.zeros(config.batch_size, 6)
        for _ in range(updates):
            batch = demos.sample(config.batch_size, rng)
            action, _ = squashed(agent.actor_output(torch.from_numpy(batch.obs["state"])), noise)
            loss = (action - torch.from_numpy(batch.ordered)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return evaluate(env, frozen(agent), episodes)[0]


# Rules that draw nothing but the evaluation's episodes; one row each, without a seed.
RULES: Sequence[tuple[str, Callable[[Config, int], float]]] = (
    ("scripted expert", expert),
    ("random", random_actions),
    ("straight down", straight_down),
    ("P-controller to the nominal goal", to_the_nominal_goal),
    ("aligned above it, then down", align_then_down),
)


def seeded(config: Config, count: int) -> list[Config]:
    """The configuration with each of the held-out seeds."""
    return [replace(config, seed=FIRST_SEED + i) for i in range(count)]


def spread(values: Sequence[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


def together(what: str, configs: Sequence[Config], successes: Sequence[float]) -> Row:
    """One row for several seeds."""
    seeds = dict.fromkeys(str(config.seed) for config in (configs[0], configs[-1]))
    return Row(what, configs[0].robot, " .. ".join(seeds), spread(successes))


def cloning(configs: Sequence[Config]) -> list[Row]:
    """Behaviour cloning of each seed's demonstrations, in one row."""
    successes = [behaviour_cloning(config, config.eval_episodes) for config in configs]
    return [together(f"behaviour cloning, {configs[0].demos} demonstrations", configs, successes)] if configs else []


def learning(what: str, configs: Sequence[Config], folder: Path) -> list[Row]:
    """One training run per seed, through the same function as the command; with several seeds, a row for all of them too."""
    rows, successes = [], []
    for config in configs:
        name = f"{what}-{config.robot}-{config.seed}".replace(" ", "-")
        summary = main(replace(config, run_dir=folder / name, film=False))
        assert summary is not None, "interrupted"
        successes.append(summary["success_rate"])
        steps, wall, cpu = summary["steps_to_95"] or "never", summary["train_s"], summary["train_cpu_s"]
        success = f"{summary['success_rate']:.2f}"
        rows.append(Row(what, config.robot, str(config.seed), success, str(steps), f"{wall:.1f}", f"{cpu:.1f}"))
    return [*rows, together(f"{what}, together", configs, successes)] if len(configs) > 1 else rows


def table(rows: Sequence[Row]) -> str:
    """As markdown."""
    lines = ["| what | robot | training seed | success | env steps to .95 | training, s wall | s CPU |", "| --- " * 7 + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def offset(config: Config) -> float:
    """m, of the hole."""
    with closing(make(config)) as env:
        return env.unwrapped.task.hole_offset  # pyright: ignore[reportAttributeAccessIssue]


def bench(extent: Extent, config: Config, folder: Path) -> str:
    """The whole table and what it was measured on, as markdown."""
    began, episodes = describe(), config.eval_episodes
    franka, arx = seeded(config, extent.franka), seeded(replace(config, robot=ARX), extent.arx)
    rows = [
        Row(name, c.robot, "-", f"{rule(c, episodes):.2f}")
        for c in (config, replace(config, robot=ARX))
        for name, rule in RULES
    ]
    rows += cloning(franka) + cloning(arx)
    rows += learning("RLPD", franka, folder) + learning("RLPD", arx, folder)
    rows += learning("RLPD, asynchronous", seeded(replace(config, asynchronous=True), extent.asynchronous), folder)
    rows += learning("SAC without demonstrations", seeded(replace(config, demos=0), extent.undemonstrated), folder)
    return f"""# Learning peg insertion

Began: {began}. Ended: {describe()}. torch {torch.__version__}.
The machine is shared with others: trust seconds of CPU before seconds of wall. One process, one torch thread.

Seeds: hyperparameters were chosen on the training seeds 0 to 4. Those below, from {FIRST_SEED} on, are held out: no choice was
made on them. Success is that of the last policy, deterministic, over {episodes} episodes that are the same for all rows and in
which no choice was made either; hidden hole offset {offset(config) * 1000:g} mm, rule "strict" (tip in the hole, 80 % of its
depth below the rim). Of several seeds: median (least .. greatest).
Training: {config.steps} environment steps. "Env steps to .95": the first look, one every {config.eval_every} steps, with at
least 95 % of {GLANCE} other deterministic episodes successful. Times are of training, without those looks.

{table(rows)}"""


def test_the_table_has_a_row_for_every_control_and_run(tmp_path):
    few = {"learning_starts": 10, "eval_every": 40, "eval_episodes": 1, "demos": 1, "batch_size": 8, "hidden": 8}
    text = bench(Extent(2, 1, 1, 1), Config(steps=40, **few), tmp_path)
    assert all(text.count(f"| {name} |") == 2 for name, _ in RULES)
    assert text.count("| behaviour cloning, 1 demonstrations |") == 2
    assert text.count("| RLPD |") == 3
    assert text.count("| RLPD, together | franka-fr3 | 10 .. 11 |") == 1
    assert text.count("| RLPD, asynchronous |") == text.count("| SAC without demonstrations |") == 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=Extent().franka, help=f"training seeds on {FRANKA}, from {FIRST_SEED} on")
    parser.add_argument("--arx-seeds", type=int, default=Extent().arx, help=f"the same on {ARX}")
    parser.add_argument("--async-seeds", type=int, default=Extent().asynchronous, help=f"the same, asynchronous, on {FRANKA}")
    parser.add_argument(
        "--sac-seeds", type=int, default=Extent().undemonstrated, help=f"the same, without demonstrations, on {FRANKA}"
    )
    parser.add_argument("--steps", type=int, default=Config().steps, help="environment steps of each training")
    parser.add_argument("--episodes", type=int, default=Config().eval_episodes, help="of each evaluation")
    parser.add_argument("--out", type=Path, help="where the table goes, instead of benchmarks/results/learning.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    extent = Extent(given.seeds, given.arx_seeds, given.async_seeds, given.sac_seeds)
    with tempfile.TemporaryDirectory() as folder:
        report = bench(extent, Config(robot=FRANKA, steps=given.steps, eval_episodes=given.episodes), Path(folder))
    if given.out is None:
        keep("learning", report)
    else:
        given.out.write_text(report + "\n")
