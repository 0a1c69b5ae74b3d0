"""Does RLPD learn peg insertion, how fast, and what do policies reach that do not search?

    python -m benchmarks.bench_learning --seeds 5

Every figure is the success rate over deterministic episodes with the same evaluation seeds. One process, one thread, one run
after the other. The table goes to benchmarks/results/learning.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
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
from baselines.rlpd import Rlpd, frozen, main
from user_gym.core import F32, RobotState
from user_gym.system import Buffer
from user_gym.tasks.expert import PegInsertExpert

RESULTS = Path(__file__).parent / "results" / "learning.md"
ROBOTS = ("franka-fr3", "arx-x5")


class Row(NamedTuple):
    """One line of the table."""

    what: str
    robot: str
    seed: str
    success: float
    steps_to_95: str = "-"
    wall: str = "-"
    cpu: str = "-"


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
    """RLPD's own actor fitted to the same demonstrations by maximum likelihood of their actions' mean, nothing else."""
    with closing(make(config)) as env:
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        demos = Buffer.open(":memory:")
        demonstrate(env, demos, config)
        rng, optimiser = np.random.default_rng(config.seed), torch.optim.Adam([agent.actor], 1e-3)
        noise = torch.zeros(config.batch_size, 6)
        for _ in range(updates):
            batch = demos.sample(config.batch_size, rng)
            action, _ = squashed(agent.actor_output(torch.from_numpy(batch.obs["state"])), noise)
            loss = (action - torch.from_numpy(batch.action)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return evaluate(env, frozen(agent), episodes)[0]


CONTROLS: Sequence[tuple[str, Callable[[Config, int], float]]] = (
    ("scripted expert", expert),
    ("random", random_actions),
    ("straight down", straight_down),
    ("P-controller to the nominal goal", to_the_nominal_goal),
    ("aligned above it, then down", align_then_down),
    ("behaviour cloning, 20 demonstrations", behaviour_cloning),
)


def learning(what: str, config: Config, folder: Path) -> Row:
    """One training run, through the same function as the command."""
    name = f"{what}-{config.robot}-{config.seed}".replace(" ", "-")
    summary = main(replace(config, run_dir=folder / name, film=False))
    assert summary is not None, "interrupted"
    return Row(
        what, config.robot, str(config.seed), summary["success_rate"],
        str(summary["steps_to_95"] or "never"), f"{summary['train_s']:.1f}", f"{summary['train_cpu_s']:.1f}",
    )  # fmt: skip


def controls(config: Config, episodes: int) -> list[Row]:
    return [Row(name, config.robot, "0", control(config, episodes)) for name, control in CONTROLS]


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | robot | seed | success | env steps to .95 | training, s wall | s CPU |", "| --- " * 7 + "|"]
    lines += [f"| {r.what} | {r.robot} | {r.seed} | {r.success:.2f} | {r.steps_to_95} | {r.wall} | {r.cpu} |" for r in rows]
    return "\n".join(lines)


def machine() -> str:
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores {platform.machine()}, load {load}, torch {torch.__version__}"


def bench(seeds: int, arx_seeds: int, config: Config, folder: Path) -> str:
    """The whole table as markdown."""
    began = machine()
    rows = [row for robot in ROBOTS for row in controls(replace(config, robot=robot), config.eval_episodes)]
    rows += [learning("RLPD", replace(config, seed=seed), folder) for seed in range(seeds)]
    rows += [learning("RLPD", replace(config, seed=seed, robot="arx-x5"), folder) for seed in range(arx_seeds)]
    rows.append(learning("SAC without demonstrations", replace(config, demos=0), folder))
    return f"""# Learning peg insertion

{began} at the start, {machine()} at the end; one process, one torch thread.
Success: the last policy, deterministic, {config.eval_episodes} episodes with fixed seeds, hidden hole offset
{config.hole_offset * 1000:g} mm, rule "strict" (tip in the hole, 80 % of its depth below the rim). Training: {config.steps}
environment steps.
"Env steps to .95": first of the looks every {config.eval_every} steps with 19 of 20 deterministic episodes successful.
Times are of training, without those looks.

{table(rows)}
"""


def test_the_table_has_a_row_for_every_control_and_run(tmp_path):
    tiny = Config(steps=40, learning_starts=10, eval_every=40, eval_episodes=1, demos=1, batch_size=8, hidden=8)
    text = bench(1, 0, tiny, tmp_path)
    assert all(name in text for name, _ in CONTROLS)
    assert text.count("| RLPD |") == 1
    assert text.count("| SAC without demonstrations |") == 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arx-seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        report = bench(given.seeds, given.arx_seeds, Config(), Path(folder))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(report)
    print(report)
