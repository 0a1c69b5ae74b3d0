"""Do robots and the learner wait for each other, and what does it cost? Synchronous and asynchronous, by the published costs.

    python -m benchmarks.bench_async                        # all parts, 12 min
    python -m benchmarks.bench_async --parts virtual        # seconds
    python -m benchmarks.bench_async --times 5 --parts wall # medians of five runs, and their least

An episode has 100 steps and never ends early. gen = elapsed / episodes with resets and all waits, train = elapsed / updates
with waits and publishing, both in one window after a warm-up. Synchronous is the same code with the limiter strict. On the wall
clock it is a run of several processes: `async_run`. The table goes to benchmarks/results/async.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.async_parts import PERIOD, PUBLISHED, STEPS, Costs, Episodes, Journal, Large, Window, window
from benchmarks.async_run import Noted, measured
from benchmarks.machine import describe, keep
from user_gym.system import Buffer, train
from user_gym.system.virtual import Costed, VirtualClock

WARM, WALL_EPISODES, VIRTUAL_EPISODES, WALL_SCALE = 2, 20, 200, 0.2
PARTS = ("virtual", "wall", "sync", "pace")
RESET, UPDATE, PUBLISH_EVERY = 2.0, 0.025, 4  # of the part "pace": s, s, updates
ON_TIME = 0.005  # s


def simulated(costs: Costs, *, synchronous: bool, other: float, episodes: int) -> Window:
    """Train on the virtual clock for the warm-up and the window, through a buffer on disk, published every K updates.

    Args:
        costs: what robot and updates take.
        synchronous: the limiter is strict: one episode, then its K updates. Else neither side ever waits for the other.
        other: s per episode that are neither robot nor update; they hold the learner up where it publishes.
        episodes: of the window.
    """
    clock = VirtualClock()
    env = Journal(Episodes(), clock, period=PERIOD, reset_time=costs.robot - STEPS * PERIOD)
    agent = Costed(Large(), clock, update_time=costs.update, weights_time=other)
    with tempfile.TemporaryDirectory() as folder, Buffer.open(Path(folder) / "buffer", durability="kill") as buffer:
        train(
            env, agent, buffer, steps=STEPS * (WARM + episodes + 1), updates_per_step=costs.per_episode / STEPS,
            synchronous=synchronous, tolerance=math.inf, publish_every=costs.per_episode, batch_size=256,
            max_seconds=STEPS if synchronous else 1.0, runs_on=clock,
        )  # fmt: skip
    return window(env.resets, agent.updated, costs.update, WARM, episodes, synchronous)


def real(costs: Costs, *, synchronous: bool, spins: bool) -> Window:
    """The same in processes of a run, in real time and five times as fast.

    Args:
        costs: as published.
        synchronous: as of `simulated`.
        spins: an update keeps one core busy; else it sleeps.
    """
    fast = costs.scaled(WALL_SCALE)
    noted = measured(
        period=PERIOD * WALL_SCALE, reset_time=fast.robot - STEPS * PERIOD * WALL_SCALE, update_time=fast.update, spins=spins,
        episodes=WARM + WALL_EPISODES + 1, updates_per_step=costs.per_episode / STEPS, synchronous=synchronous,
        publish_every=costs.per_episode,
    )  # fmt: skip
    _complete(noted)
    return window(noted.resets, noted.updated, fast.update, WARM, WALL_EPISODES, synchronous)


def _complete(noted: Noted) -> None:
    """Every step that the robot took is in the buffer."""
    taken = STEPS * len(noted.resets)
    if noted.stored != taken:
        raise AssertionError(f"{taken} steps were taken, {noted.stored} are in the buffer")


def row(what: str, costs: Costs, windows: Sequence[Window], factor: float = 1.0, bounds: bool = True) -> str:
    """A line of the table, in seconds of the published set-up; speed-ups against what was published for synchronous."""
    middles = [statistics.median(column) for column in list(zip(*windows, strict=True))[1:]]
    generation, training, (robot_idle, learner_idle) = middles[0] / factor, middles[1] / factor, middles[2:]
    faster = f"{costs.published[0] / generation:.2f} | {costs.published[1] / training:.2f}"
    of_bound = (
        f"{_spread([costs.robot * factor / w.generation for w in windows])} | "
        f"{_spread([costs.update * factor / w.training for w in windows])}"
        if bounds
        else "- | -"
    )
    idle = " | ".join(f"{max(0.0, share):.2%}" for share in (robot_idle, learner_idle))
    return f"| {what} | {generation:.2f} | {training:.4f} | {faster} | {of_bound} | {idle} |"


def _spread(shares: Sequence[float]) -> str:
    """The median; of several the least and the greatest, too."""
    middle = f"{statistics.median(shares):.4f}"
    return middle if len(shares) == 1 else f"{middle} ({min(shares):.4f} .. {max(shares):.4f})"


def bound(costs: Costs) -> str:
    """The bounds by the costs: a robot that never waits, a learner that never waits."""
    cycle = costs.cycle
    speed = f"{cycle / costs.robot:.2f} | {cycle / (costs.per_episode * costs.update):.2f}"
    return f"| {costs.name}: bound, C/R and C/(K u) | {costs.robot:.2f} | {costs.update:.4f} | {speed} | 1 | 1 | 0 % | 0 % |"


def published(costs: Costs) -> str:
    """What was published for synchronous, as it is."""
    one, two = costs.published
    return f"| {costs.name}: sync, published | {one:.2f} | {two:.4f} | 1.00 | 1.00 | - | - | - | - |"


def virtual(costs: Costs) -> list[str]:
    """The clock's own test: what the model says, it shows."""
    lines = []
    for synchronous, other in ((True, costs.other), (False, 0.0)):
        seen = simulated(costs, synchronous=synchronous, other=other, episodes=VIRTUAL_EPISODES)
        model = (costs.cycle, costs.cycle / costs.per_episode) if synchronous else (costs.robot, costs.update)
        off = max(abs(seen.generation / model[0] - 1), abs(seen.training / model[1] - 1))
        name = "sync, published emulation" if synchronous else "async"
        lines.append(
            row(f"{costs.name}: {name}, virtual clock ({off:.4%} off the model)", costs, [seen], bounds=not synchronous)
        )
    return lines


def wall(parts: Sequence[str], times: int) -> dict[str, list[str]]:
    """Rows by the name of the costs. What sleeps is run side by side, what spins after it, one run after the other."""

    def repeated(costs: Costs, synchronous: bool, spins: bool) -> list[Window]:
        return [real(costs, synchronous=synchronous, spins=spins) for _ in range(_repetitions(costs, times))]

    both = ([False] if "wall" in parts else []) + ([True] if "sync" in parts else [])
    asked = [(costs, synchronous) for costs in PUBLISHED for synchronous in both]
    with ThreadPoolExecutor(len(asked) or 1) as pool:
        sleeping = dict(zip(asked, pool.map(lambda one: repeated(one[0], one[1], False), asked), strict=True))
    rows: dict[str, list[str]] = {costs.name: [] for costs in PUBLISHED}
    for (costs, synchronous), windows in sleeping.items():
        if synchronous:
            overhead = statistics.median(w.generation for w in windows) - costs.scaled(WALL_SCALE)._replace(other=0.0).cycle
            name = f"sync, ours, processes, wall clock x {WALL_SCALE} (o as measured: {1e3 * overhead:.1f} ms per episode)"
        else:
            name = f"async, processes, wall clock x {WALL_SCALE}, the update sleeps"
        rows[costs.name].append(row(f"{costs.name}: {name}", costs, windows, WALL_SCALE, bounds=not synchronous))
    for costs in PUBLISHED if "wall" in parts else ():
        name = f"{costs.name}: async, processes, wall clock x {WALL_SCALE}, the update spins on one core"
        rows[costs.name].append(row(name, costs, repeated(costs, False, True), WALL_SCALE))
    return rows


def _repetitions(costs: Costs, times: int) -> int:
    """As many runs as last as long as `times` runs of the fastest set-up."""
    return max(1, round(times * PUBLISHED[0].robot / costs.robot))


def pace(minutes: float) -> str:
    """Control periods of a robot at its own pace while the learner keeps one thread busy."""
    episodes = max(1, round(minutes * 60 / (STEPS * PERIOD + RESET)))
    noted = measured(
        period=PERIOD, reset_time=RESET, update_time=UPDATE, spins=True, episodes=episodes, publish_every=PUBLISH_EVERY
    )
    _complete(noted)
    late = noted.lateness.ravel()
    met, (p50, p99) = float((late <= ON_TIME).mean()), 1e3 * np.percentile(late, [50, 99])
    return (
        f"Real-time pace, {late.size} periods of {1e3 * PERIOD:.0f} ms, resets of {RESET:.0f} s, and a learner that spins on "
        f"one core in updates of {1e3 * UPDATE:.0f} ms and publishes 2.6 million parameters every {PUBLISH_EVERY}th: {met:.2%} "
        f"of the periods began at most {1e3 * ON_TIME:.0f} ms late; late by p50 {p50:.2f}, p99 {p99:.2f}, at most "
        f"{1e3 * late.max():.2f} ms. {noted.versions} versions acted. Processes of a run."
    )


def main(parts: Sequence[str], times: int, minutes: float) -> str:
    """The table of these parts."""
    began = describe()
    real_rows = wall(parts, times)
    rows: list[str] = []
    for costs in PUBLISHED:
        rows += [published(costs), bound(costs), *(virtual(costs) if "virtual" in parts else []), *real_rows[costs.name]]
    head = ["| | gen, s/episode | train, s/update | gen, times the published sync | train, times | of the bound, gen | train | "
            "robot idle | learner outside updates |", "|" + " --- |" * 9]  # fmt: skip
    text = ["# Throughput, synchronous and asynchronous", "", f"Began: {began}. Ended: {describe()}.", "", *head, *rows]
    text += [
        "",
        f"Windows of {VIRTUAL_EPISODES} episodes on the virtual clock and {WALL_EPISODES} on the wall's, after {WARM}; times "
        f"of wall runs are multiplied back. Wall rows are runs of several processes (buffer's owner, learner, collector, "
        f"supervisor): medians of {', '.join(f'{_repetitions(c, times)} ({c.name})' for c in PUBLISHED)}, with the least and "
        "the greatest where there are several. Those whose updates sleep ran side by side, those that spin alone. Experience "
        "goes to a buffer on disk, 2.6 million parameters are published every K updates, and every step that the robot took "
        "was found in the buffer. Idle: the robot neither moves nor resets, the learner is outside updates.",
    ]
    if "pace" in parts:
        text += ["", pace(minutes)]
    return "\n".join(text)


def arguments() -> Any:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--times", type=int, default=3, help="runs of the faster set-up; the slower one gets as much time")
    parser.add_argument("--minutes", type=float, default=2.0, help="of the part 'pace'")
    return parser.parse_args()


def bench_the_virtual_clock_keeps_the_model() -> None:
    """Run once as a test: within 0.1 % of the arithmetic."""
    for costs in PUBLISHED:
        seen = simulated(costs, synchronous=False, other=0.0, episodes=20)
        assert abs(seen.generation / costs.robot - 1) < 1e-3
        assert abs(seen.training / costs.update - 1) < 1e-3


def bench_the_processes_note_what_they_did() -> None:
    """Run once as a test: of a short run every step is noted, timed and stored."""
    noted = measured(period=0.002, reset_time=0.01, update_time=0.001, spins=False, episodes=3, publish_every=8)
    _complete(noted)
    assert len(noted.resets) >= 3
    assert noted.lateness.shape == (len(noted.resets), STEPS)
    assert noted.updated == sorted(noted.updated)
    assert noted.versions > 1


if __name__ == "__main__":
    given = arguments()
    keep("async", main(given.parts, given.times, given.minutes))
