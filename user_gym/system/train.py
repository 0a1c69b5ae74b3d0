"""Collector and learner in one process: training, synchronous or asynchronous. It knows no algorithm, robot or task.

The two modes run the same code. They differ by one number, the limiter's tolerance: 0 makes the two sides take turns, so that
equal seeds give equal bits; more lets the collector go on while the learner learns.
"""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from user_gym.core import Agent, Chunk, Storage, whole
from user_gym.errors import UserGymError
from user_gym.system.channel import Channel
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.clock import WALL, Clock, Flag
from user_gym.system.collector import Collector
from user_gym.system.learner import Learner, Sampler
from user_gym.system.ratelimit import LimiterState, SamplesPerInsert
from user_gym.system.spaces import spec_hash
from user_gym.system.weights import Broadcaster

if TYPE_CHECKING:
    import gymnasium

_QUEUED_CHUNKS = 64
_LAST_STEP = 60.0  # s; a robot's slowest reset is shorter


@dataclass(frozen=True, slots=True)
class Counters:
    """How far a run is; hand them to `train` to go on."""

    env_steps: int = 0
    episodes: int = 0  # begun
    updates: int = 0
    version: int = -1  # of the weights published last


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a running training."""

    env_steps: int  # stored, earlier runs included
    episodes: int  # finished in this call
    updates: int
    version: int  # of the weights published last
    success_rate: float  # of the latest 20 finished episodes; nan before the first
    mean_return: float  # of the same episodes
    ratio: float  # updates per step reached; nan during warm-up
    collector_waited: float  # s, for room and for the learner
    learner_waited: float  # s, for steps
    faults: int  # RobotFaults in this call; each ended an episode
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the last update
    queued: int = 0  # chunks on their way to the storage
    room_waited: float = 0.0  # s of collector_waited that were for room on that way
    collector_waits: bool = False  # at this moment, for the learner


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a training ended."""

    counters: Counters
    progress: Progress
    interrupted: bool  # by Ctrl-C or the stop event; all that was collected is stored


def train(
    env: gymnasium.Env[Any, Any],
    agent: Agent,
    storage: Storage,
    *,
    steps: int,
    updates_per_step: float = 1.0,
    synchronous: bool = True,
    tolerance: float = 100.0,
    learning_starts: int = 0,
    random_steps: int = 0,
    batch_size: int = 256,
    sampler: Sampler | None = None,
    publish_every: int = 1,
    max_seconds: float = 1.0,
    period: float = 0.1,
    source: str = "collector-0",
    robot: str = "",
    task: str = "",
    kind: str = "policy",
    clock: str = "sim",
    extra: Mapping[str, Any] | None = None,
    max_faults: int = 3,
    seed: int = 0,
    start: Counters = Counters(),
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    progress_every: int = 1000,
    on_metrics: Callable[[int, Mapping[str, float]], None] | None = None,
    broadcaster: Broadcaster | None = None,
    ready: Callable[[], bool] = lambda: True,
    runs_on: Clock = WALL,
    watch: Callable[[Callable[[], Progress]], None] | None = None,
) -> TrainResult:
    """Train `agent` on `env` until `steps` environment steps are taken and the updates they ask for are done.

    A deep copy of `agent.policy` acts, in a thread of its own; the agent learns in the caller's thread. Ctrl-C ends the run
    like `stop`: it returns, with everything collected in the storage. A second Ctrl-C raises KeyboardInterrupt.

    Args:
        env: a single environment, used from the collector's thread only.
        agent: learns.
        storage: takes the experience; may hold some already.
        steps: environment steps of the whole run, those of `start` included.
        updates_per_step: target ratio.
        synchronous: collector and learner take turns, one chunk of steps and its updates; equal seeds give equal bits.
        tolerance: updates either side may be ahead, where not synchronous; math.inf: no bound, and no updates are made up for
            at the end.
        learning_starts: steps before the first update; they ask for no updates.
        random_steps: the first steps take uniform actions.
        batch_size: transitions in a batch, where sampler is None.
        sampler: draws batches, e.g. a `Mixture`.
        publish_every: updates between two publications of weights.
        max_seconds: longest chunk, s of robot time: how old experience is when the learner sees it.
        period: s per step, where info has no "time".
        source: name of the collector; with `start` it must be the earlier one, so that episodes go on counting.
        robot: written into each chunk.
        task: written into each chunk.
        kind: "policy" or "demo", written into each chunk.
        clock: which clock info["time"] is on, written into each chunk.
        extra: further columns of each step, filled from `ActionChunk.extra`; see `ChunkBuilder`.
        max_faults: this many episodes in a row that a RobotFault ended, and it is raised.
        seed: of environment, policy, random steps and sampling.
        start: counters of an earlier run to go on from.
        stop: set it from anywhere to end; `train` sets it too when it ends early.
        on_progress: called in the caller's thread about every `progress_every` steps of the whole run.
        progress_every: environment steps.
        on_metrics: called after each update with (updates, metrics).
        broadcaster: carries the weights; one that holds some already goes on with them. None: a new one.
        ready: as of `Learner`.
        runs_on: what everything waits on: real time, or a `VirtualClock` made by this thread.
        watch: called in the caller's thread between updates and while it waits, many times a second, with what makes a
            Progress; for those who look by the clock, as `metrics.TrainingWatch`. It changes nothing of the training.

    Raises:
        BadOption: an option that is not allowed.
        Exception: whatever environment, policy or agent raise; all threads have ended by then.
    """
    whole("steps", steps, start.env_steps, f"a whole number, {start.env_steps} or more, the steps already taken")
    whole("progress_every", progress_every, 1)
    stop = stop or threading.Event()
    limiter = SamplesPerInsert(updates_per_step, 0.0 if synchronous else tolerance, learning_starts, runs_on)
    limiter.restore(LimiterState(start.env_steps, start.updates))
    channel: Channel[Chunk] = Channel(_QUEUED_CHUNKS, runs_on)
    broadcaster = broadcaster or Broadcaster(start.version)
    builder = ChunkBuilder(
        source, robot, task, kind, max_seconds=max_seconds, period=period, clock=clock, extra=extra,
        env_id=env.spec.id if env.spec is not None else "", spec_hash=spec_hash(env.observation_space, env.action_space),
        wall_clock=runs_on.epoch,
    )  # fmt: skip
    policy = copy.deepcopy(agent.policy)
    collector = Collector(
        env, policy, channel, limiter=limiter, broadcaster=broadcaster, builder=builder, seed=seed,
        random_steps=random_steps, env_steps=start.env_steps, episodes=start.episodes,
        max_faults=max_faults,
    )  # fmt: skip
    learner = Learner(
        agent, storage, channel, limiter=limiter, broadcaster=broadcaster, sampler=sampler, batch_size=batch_size,
        publish_every=publish_every, seed=seed, updates=start.updates, on_metrics=on_metrics, ready=ready,
    )  # fmt: skip

    def look() -> Progress:
        (insert_waited, sample_waited), way = limiter.waited, channel.stats()
        return Progress(
            env_steps=start.env_steps + learner.stored_steps,
            episodes=learner.scores.finished,
            updates=learner.updates,
            version=broadcaster.version,
            success_rate=learner.scores.success_rate,
            mean_return=learner.scores.mean_return,
            ratio=limiter.reached,
            collector_waited=insert_waited + way.put_waited,
            learner_waited=sample_waited,
            faults=collector.faults,
            metrics=learner.metrics,
            queued=way.depth,
            room_waited=way.put_waited,
            collector_waits=limiter.owed > limiter.tolerance,
        )

    due = progress_every * (start.env_steps // progress_every + 1)  # the same steps, whether or not a run was interrupted

    def report() -> None:
        nonlocal due
        if on_progress is not None and start.env_steps + learner.stored_steps >= due:
            due += progress_every * ((start.env_steps + learner.stored_steps - due) // progress_every + 1)
            on_progress(look())
        if watch is not None:
            watch(look)

    if broadcaster.newest() is None:
        learner.publish()
    with _interrupts(stop), _collecting(collector, stop, steps, learner, limiter, channel, runs_on) as ended:
        learner.run(stop, ended, report)
    counters = Counters(collector.env_steps, collector.episodes, learner.updates, broadcaster.version)
    return TrainResult(counters, look(), interrupted=stop.is_set())


@contextmanager
def _collecting(
    collector: Collector,
    stop: threading.Event,
    steps: int,
    learner: Learner,
    limiter: SamplesPerInsert,
    channel: Channel[Chunk],
    clock: Clock,
) -> Iterator[Flag]:
    """Run the collector in a thread while the body runs; afterwards it has ended, and what it put is stored."""
    ended, failures = clock.flag(), []

    def body() -> None:
        try:
            collector.run(stop, steps)
        except BaseException as error:  # re-raised below, in the caller's thread
            failures.append(error)
            stop.set()
        finally:
            ended.set()

    thread = clock.start("collector", body)
    try:
        yield ended
    except BaseException:
        stop.set()
        raise
    finally:
        limiter.close()
        waited = 0.0
        try:
            while not ended.wait(0.01) and waited < _LAST_STEP:
                learner.drain()  # the collector may be waiting for room
                waited += 0.01
        except BaseException:  # such as NoSpace; the collector ends all the same
            stop.set()
            raise
        finally:
            channel.close()
            ended.wait(_LAST_STEP - waited)
            thread.join(1.0)
        learner.drain()
    if thread.is_alive():
        raise UserGymError(f"the collector has not ended {_LAST_STEP} s after it was told to; env.step or env.reset hangs")
    if failures:
        raise failures[0]


@contextmanager
def _interrupts(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C sets `stop` while the body runs; the second one is as it was before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
