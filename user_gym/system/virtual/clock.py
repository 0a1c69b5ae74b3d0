"""Time that passes only while everybody waits: a pipeline runs on it as fast as it can, and every run is the same.

Actors are threads that hold a baton, one at a time, in order of (due time, actor): the code that runs on it is that of the wall
clock, unchanged. An actor keeps the baton until it sleeps or waits; computing costs no virtual time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from heapq import heappop, heappush
from types import TracebackType

from user_gym.core import real
from user_gym.errors import BadOption, UserGymError

_GLANCE = 60.0  # s of the wall; others may hold the baton for longer, as while a policy is evaluated


class VirtualClock:
    """A `Clock`. The thread that makes it is its first actor, the others come from `start`; nobody else may wait on it.

    Between two waits an actor is alone, so equal actors make equal runs. Where several are due at the same moment, the one
    that was started first comes first.

    Args:
        now: s, where time begins.

    Attributes:
        events: sleeps and waits that have ended.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = real("now", now, -1e15, 1e15, "s, finite")
        self._due: list[tuple[float, int, int]] = []  # (due, actor, ticket); void where the actor has another ticket by now
        self._actors = [VirtualActor(self, 0)]
        self._by_thread = {threading.get_ident(): self._actors[0]}
        self._running = self._actors[0]
        self.events = 0

    def now(self) -> float:
        """As `Clock.now`."""
        return self._now

    def epoch(self) -> float:
        """As `Clock.epoch`: `now`, so that equal runs write equal data."""
        return self._now

    def sleep_until(self, due: float) -> None:
        """As `Clock.sleep_until`; others that are due earlier run meanwhile."""
        me = self._me()
        self._plan(me, due)
        self._pass_on(me)

    def condition(self) -> VirtualCondition:
        """As `Clock.condition`."""
        return VirtualCondition(self)

    def flag(self) -> VirtualFlag:
        """As `Clock.flag`."""
        return VirtualFlag(self)

    def start(self, name: str, body: Callable[[], None]) -> VirtualActor:
        """As `Clock.start`: its turn comes now, once the caller waits."""
        actor = VirtualActor(self, len(self._actors))
        self._actors.append(actor)
        self._plan(actor, self._now)
        threading.Thread(target=actor.run, args=(body,), name=name, daemon=True).start()
        return actor

    def wait(self, waiting: list[VirtualActor], timeout: float) -> bool:
        """The caller is one of `waiting` until `wake`, at most `timeout` s. False after a time-out."""
        me = self._me()
        self._plan(me, self._now + timeout)
        waiting.append(me)
        try:
            self._pass_on(me)
        finally:
            woken = me not in waiting
            if not woken:
                waiting.remove(me)
        return woken

    def wake(self, waiting: list[VirtualActor]) -> None:
        """All of `waiting` go on now, once the caller waits."""
        for actor in waiting:
            self._plan(actor, self._now)
        waiting.clear()

    def began(self, actor: VirtualActor) -> None:
        """The caller's thread is this actor."""
        self._by_thread[threading.get_ident()] = actor

    def ended(self, actor: VirtualActor) -> None:
        """The caller's thread, this actor's, ends."""
        actor.ended.set()
        del self._by_thread[threading.get_ident()]
        following = self._next()
        self._running = following
        following.hand_baton()

    def _me(self) -> VirtualActor:
        me = self._by_thread.get(threading.get_ident())
        if me is None or me is not self._running:
            raise UserGymError(
                f"thread {threading.current_thread().name!r} waits on a virtual clock of which it is no actor; allowed: the "
                "thread that made the clock, and those that its start made"
            )
        return me

    def _plan(self, actor: VirtualActor, due: float) -> None:
        """The actor's turn comes at `due`, and no more at an earlier plan."""
        if math.isnan(due):
            raise BadOption("due", due, "s")
        actor.ticket += 1
        if due < math.inf:
            heappush(self._due, (max(due, self._now), actor.number, actor.ticket))

    def _pass_on(self, me: VirtualActor) -> None:
        """Let whoever is due first go on, and come back when it is `me`."""
        following = self._next()
        if following is not me:
            self._running = following
            following.hand_baton()
            me.await_baton()
        self.events += 1
        if me.stuck:
            me.stuck = False
            raise UserGymError(f"the virtual clock stands still at {self._now} s: all actors wait for each other")

    def _next(self) -> VirtualActor:
        while self._due:
            due, number, ticket = heappop(self._due)
            actor = self._actors[number]
            if actor.ticket == ticket:
                self._now = due
                return actor
        # Nothing will ever happen again. Whoever came first is told, and on its way out it may wake the others.
        actor = next((actor for actor in self._actors if actor.is_alive()), self._actors[0])
        actor.stuck = True
        return actor


class VirtualActor:
    """An `Actor` of a virtual clock. Made by `VirtualClock.start`."""

    def __init__(self, clock: VirtualClock, number: int) -> None:
        self.number = number
        self.ticket, self.stuck = 0, False
        self.ended = VirtualFlag(clock)
        self._clock = clock
        self._turn = False  # has the baton; the lock below only lets it sleep until then
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def run(self, body: Callable[[], None]) -> None:
        """The body of its thread."""
        self.await_baton()
        self._clock.began(self)
        try:
            body()
        finally:
            self._clock.ended(self)

    def hand_baton(self) -> None:
        """It is this actor's turn."""
        self._turn = True
        if self._asleep.locked():
            self._asleep.release()

    def await_baton(self) -> None:
        """Return when it is this actor's turn; what a signal's handler raises meanwhile, such as Ctrl-C, is raised then."""
        interrupted: BaseException | None = None
        while not self._turn:
            try:
                while not self._turn:
                    self._asleep.acquire(timeout=_GLANCE)
            except BaseException as error:  # without the baton, nothing may be done about it; it may have come with the baton
                interrupted = error
        self._turn = False
        if interrupted is not None:
            raise interrupted

    def join(self, timeout: float | None = None) -> None:
        """As `Actor.join`."""
        self.ended.wait(timeout)

    def is_alive(self) -> bool:
        """As `Actor.is_alive`."""
        return not self.ended.is_set()


class VirtualCondition:
    """A `Condition`. Whoever runs is alone, so its lock is the baton."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waiting: list[VirtualActor] = []

    def __enter__(self) -> bool:
        return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def wait(self, timeout: float | None = None) -> bool:
        """As `Condition.wait`."""
        return self._clock.wait(self._waiting, math.inf if timeout is None else timeout)

    def notify_all(self) -> None:
        """As `Condition.notify_all`."""
        self._clock.wake(self._waiting)


class VirtualFlag:
    """A `Flag`."""

    def __init__(self, clock: VirtualClock) -> None:
        self._condition = VirtualCondition(clock)
        self._set = False

    def is_set(self) -> bool:
        """As `Flag.is_set`."""
        return self._set

    def set(self) -> None:
        """As `Flag.set`."""
        self._set = True
        self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """As `Flag.wait`."""
        if not self._set:
            self._condition.wait(timeout)
        return self._set
