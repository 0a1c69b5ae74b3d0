"""How long until peg insertion succeeds 19 times of 20? Synchronous and asynchronous, by the published costs of CNN + SAC.

    python -m benchmarks.time_to_success                                  # virtual clock, all modes, 5 seeds
    python -m benchmarks.time_to_success --scale 0.2 --modes async 32     # on the wall's clock, five times as fast
    python -m benchmarks.time_to_success --table                          # benchmarks/results/time_to_success.md

RLPD learns for real, on the simulated twin; what it costs is declared: 0.1 s a step, 3.11 s a reset, 0.1388 s an update. A mode
"K" is synchronous: K updates for each 100 steps, robot and learner in turns, and 2.78 s of other overhead whenever weights are
published, once in K updates. "async" lets both run free; its weights arrive 2.78 s after they were published, and nobody waits.
All modes have the same seeds, demonstrations and hyperparameters, the learning rate is constant. Every 60 s the deterministic
policy is looked at, off the clock. Each outcome is a line of outcomes.jsonl in --folder: what is there is not run again, and
several processes may share the work.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import torch

from baselines.config import Config
from baselines.episodes import GLANCE_SEED, demonstrate, evaluate, make
from baselines.experience import mixture
from baselines.online import frozen
from baselines.rlpd import Rlpd
from benchmarks.async_parts import PERIOD, PUBLISHED, STEPS
from benchmarks.machine import describe, keep
from user_gym.core import Policy
from user_gym.system import Buffer, Progress, train
from user_gym.system.clock import WALL, Clock
from user_gym.system.virtual import Costed, Delayed, Paced, VirtualClock

COSTS = PUBLISHED[0]
ASYNC, MODES = "async", ("async", "8", "32", "100", "200", "400")
SEEDS = range(60, 65)  # held out: no choice was made on them
LOOK, EPISODES, LEAST = 60.0, 20, 19  # s between two looks, episodes of one, and successes among them
LIMIT = 40_000.0  # s after which a run has failed
FOLDER = Path(tempfile.gettempdir()) / "user-gym-time-to-success"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run went; times in s of the published set-up."""

    scale: float  # of all costs on the wall's clock; 0: the virtual clock
    mode: str
    seed: int
    seconds: float  # to the first good look; inf: there was none
    env_steps: int
    updates: int
    episodes: int
    confirmed: float  # success of that policy in 100 other episodes
    generation: float  # s of an episode, on average
    training: float  # s from update to update, on average
    load: float  # of the machine, 1 min, at the end


def run(on_wall: float, mode: str, seed: int, limit: float) -> Outcome:
    """Train until a look is good, or `limit` s have passed.

    Args:
        on_wall: as `Outcome.scale`.
        mode: one of MODES.
        seed: of the run.
        limit: s of the published set-up.
    """
    scale, clock = (on_wall, WALL) if on_wall else (1.0, VirtualClock())
    costs, synchronous = COSTS.scaled(scale), mode != ASYNC
    each = int(mode) if synchronous else COSTS.per_episode
    # So many steps that the learning rate never falls: how long a run will be is what is asked.
    config = Config(seed=seed, steps=10**9, updates_per_step=each / STEPS)
    env, judge = make(config), make(config)
    with closing(env), closing(judge), Buffer.open(":memory:") as buffer:
        demonstrate(judge, buffer, config)
        agent = Rlpd(env.observation_space, env.action_space, config)  # pyright: ignore[reportArgumentType]
        costed = Costed(agent, clock, update_time=costs.update, weights_time=costs.other if synchronous else 0.0)
        stop, began = Event(), clock.now()
        looks = _Looks(judge, lambda: frozen(agent), clock, LOOK * scale, limit * scale, stop, beside=bool(on_wall))
        robot = Paced(env, clock, period=PERIOD * scale, reset_time=costs.robot - STEPS * PERIOD * scale)
        with looks:
            result = train(
                robot, costed, buffer, steps=10**9, updates_per_step=config.updates_per_step, synchronous=synchronous,
                tolerance=math.inf, learning_starts=config.learning_starts, sampler=mixture(buffer, None, config),
                publish_every=each, max_seconds=1e3 if synchronous else 1.0, robot=config.robot, task="PegInsert", seed=seed,
                stop=stop, watch=looks.watch, runs_on=clock,
                broadcaster=None if synchronous else Delayed(clock, costs.other),
            )  # fmt: skip
        spent, seen = (clock.now() - began) / scale, looks.good
        confirmed = evaluate(judge, seen.policy, 100)[0] if seen is not None else 0.0
    progress = seen.progress if seen is not None else result.progress
    return Outcome(
        on_wall, mode, seed, seen.at / scale if seen is not None else math.inf, progress.env_steps, progress.updates,
        progress.episodes, confirmed, spent / max(1, robot.episodes), spent / max(1, len(costed.updated)), _load(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Look:
    at: float  # s since the run began
    progress: Progress
    policy: Policy


class _Looks:
    """Looks at the policy at its times, off the clock, and ends the run after a good look.

    Args:
        judge: another environment than the one that is learned in.
        policy: makes a copy of the policy as it is now.
        clock: of the run.
        period: s between two looks.
        limit: s after which the run ends in any case.
        stop: ends the run.
        beside: judge in a thread of its own, while the run goes on.
    """

    def __init__(
        self, judge: Any, policy: Callable[[], Policy], clock: Clock, period: float, limit: float, stop: Event, beside: bool
    ) -> None:
        self._judge, self._policy, self._clock = judge, policy, clock
        self._period, self._limit, self._stop = period, limit, stop
        self._began, self._due = clock.now(), period
        self._queue: SimpleQueue[_Look | None] = SimpleQueue()
        self._thread = Thread(target=self._judge_all, name="judge") if beside else None
        self.good: _Look | None = None

    def watch(self, look: Callable[[], Progress]) -> None:
        """As of `train`."""
        now = self._clock.now() - self._began
        if now < self._due or self._stop.is_set():
            return
        self._due = self._period * (now // self._period + 1)
        seen = _Look(now, look(), self._policy())
        if self._thread is not None:
            self._queue.put(seen)
        else:
            self._look(seen)
        if now >= self._limit:
            self._stop.set()

    def __enter__(self) -> _Looks:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _judge_all(self) -> None:
        while (seen := self._queue.get()) is not None:
            if self.good is None:
                self._look(seen)

    def _look(self, seen: _Look) -> None:
        failures = 0
        for episode in range(EPISODES):
            failures += evaluate(self._judge, seen.policy, 1, first_seed=GLANCE_SEED + episode)[0] < 1
            if failures > EPISODES - LEAST:
                return
        self.good = seen
        self._stop.set()


def _load() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])


def outcomes(folder: Path) -> list[Outcome]:
    """All that are there."""
    file = folder / "outcomes.jsonl"
    return [Outcome(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def work(folder: Path, on_wall: float, modes: Sequence[str], seeds: Sequence[int], limit: float) -> None:
    """One run after the other, except those that are done."""
    torch.set_num_threads(1)
    sys.setswitchinterval(5e-4)  # s: who looks beside a run may hold the interpreter no longer than that
    for seed in seeds:
        for mode in modes:
            if (on_wall, mode, seed) in {(done.scale, done.mode, done.seed) for done in outcomes(folder)}:
                continue
            began = time.monotonic()
            outcome = run(on_wall, mode, seed, limit)
            with (folder / "outcomes.jsonl").open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
            print(f"{outcome}, took {time.monotonic() - began:.0f} s", flush=True)


HEAD = ("clock", "mode", "seeds", "s to 0.95, median", "worst", "each", "env steps", "updates", "updates per step", "s/episode",
        "s/update", "100 other episodes", "over async")  # fmt: skip


def table(done: Sequence[Outcome]) -> str:
    """As markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    for scale in sorted({one.scale for one in done}):
        of = {mode: [one for one in done if (one.scale, one.mode) == (scale, mode)] for mode in MODES}
        clock = f"wall x {scale}" if scale else "virtual"
        lines += [f"| {clock} | {' | '.join(cells(rows, of[ASYNC]))} |" for rows in of.values() if rows]
    return "\n".join(lines)


def cells(rows: Sequence[Outcome], base: Sequence[Outcome]) -> list[str]:
    """One mode against the asynchronous one: the ratio of medians, over the seeds that both have."""
    rows = sorted(rows, key=lambda one: one.seed)
    times, confirmed = [one.seconds for one in rows], [one.confirmed for one in rows]
    seeds = {one.seed for one in rows} & {one.seed for one in base}
    middles = [statistics.median(one.seconds for one in some if one.seed in seeds) for some in (rows, base) if seeds]

    def middle(name: str) -> float:
        return statistics.median(getattr(one, name) for one in rows)

    return [
        "async" if rows[0].mode == ASYNC else f"sync, K = {rows[0].mode}", f"{rows[0].seed} .. {rows[-1].seed}",
        f"{statistics.median(times):.0f}", f"{max(times):.0f}", ", ".join(f"{seconds:.0f}" for seconds in times),
        f"{middle('env_steps'):.0f}", f"{middle('updates'):.0f}", f"{middle('updates') / middle('env_steps'):.2f}",
        f"{middle('generation'):.2f}", f"{middle('training'):.4f}",
        f"{statistics.median(confirmed):.2f} ({min(confirmed):.2f})", f"{middles[0] / middles[1]:.2f}" if middles else "-",
    ]  # fmt: skip


def report(folder: Path) -> None:
    """Write benchmarks/results/time_to_success.md."""
    done = outcomes(folder)
    loads, updates = [one.load for one in done], COSTS.per_episode * COSTS.update
    text = f"""# Time to 0.95 success on peg insertion, synchronous and asynchronous

{describe()}. Runs ended under loads of {min(loads):.1f} .. {max(loads):.1f}.

PegInsert, franka-fr3, RLPD from the state, 20 demonstrations, constant learning rate. Declared costs, CNN + SAC's as published:
0.1 s a step, 3.11 s a reset, 0.1388 s an update, and for the synchronous modes 2.78 s of other overhead whenever weights are
published, once in K updates; K updates for each 100 steps. Asynchronous weights arrive 2.78 s after they were published, which
delays nobody. Time is that of the run's clock at the first look with at least {LEAST} of {EPISODES} deterministic episodes
successful, a look every {LOOK:.0f} s, off the clock. "100 other episodes": success of that policy in others, median (least).
Times of runs on the wall's clock are multiplied back.
While episodes have 100 steps, asynchronous can be {COSTS.cycle / COSTS.robot:.2f} times as fast as K = 32 where steps are what
is short, {COSTS.cycle / updates:.2f} times where updates are. A mode with fewer updates per step has seen more steps at each
update, and needs fewer of them: so it loses less than its pace says.

{table(done)}"""
    keep("time_to_success", text)


def main() -> None:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.0, help="run on the wall's clock, with costs times this")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--limit", type=float, default=LIMIT, help="s of the published set-up after which a run has failed")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what is there")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.table:
        report(chosen.folder)
    else:
        work(chosen.folder, chosen.scale, chosen.modes, chosen.seeds, chosen.limit)


if __name__ == "__main__":
    main()
