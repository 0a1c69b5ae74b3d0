"""On a virtual clock actors run one at a time, in order of due time and actor, and time passes only while all wait."""

import math
import os
import signal
import threading
import time

import pytest

from user_gym.errors import BadOption, Closed, UserGymError
from user_gym.system import Channel, SamplesPerInsert
from user_gym.system.clock import WallClock
from user_gym.system.virtual import VirtualClock


def test_sleepers_wake_in_the_order_of_their_due_times():
    clock, seen = VirtualClock(), []

    def sleeper(name, period):
        def body():
            for n in range(1, 4):
                clock.sleep_until(n * period)
                seen.append((name, clock.now()))

        return clock.start(name, body)

    for actor in (sleeper("a", 0.5), sleeper("b", 0.2), sleeper("c", 0.7)):
        actor.join()
    assert seen == sorted(seen, key=lambda item: item[1])
    assert [name for name, _ in seen] == ["b", "b", "a", "b", "c", "a", "c", "a", "c"]
    assert clock.now() == 3 * 0.7


def test_of_actors_that_are_due_together_the_one_started_first_comes_first():
    clock, seen = VirtualClock(10.0), []

    def body(name):
        for _ in range(3):
            clock.sleep_until(clock.now() + 1)
            seen.append((name, clock.now()))

    actors = [clock.start(name, lambda name=name: body(name)) for name in "zay"]
    clock.sleep_until(11)
    seen.append(("first", clock.now()))
    for actor in actors:
        actor.join()
    assert seen == [("first", 11), *((name, t) for t in (11, 12, 13) for name in "zay")]


def test_an_hour_passes_at_once_and_a_time_that_is_over_does_not_turn_it_back():
    clock, began = VirtualClock(), time.monotonic()
    clock.sleep_until(3600)
    clock.sleep_until(1800)
    assert (clock.now(), clock.epoch()) == (3600, 3600)
    assert time.monotonic() - began < 10


def test_a_wait_ends_when_it_is_notified_or_when_its_time_is_over():
    clock = VirtualClock()
    changed, seen = clock.condition(), []

    def waiter():
        with changed:
            seen.append((changed.wait(), clock.now()))
            seen.append((changed.wait(timeout=2.5), clock.now()))
            seen.append((changed.wait(timeout=2.5), clock.now()))

    actor = clock.start("waiter", waiter)
    for due in (1.0, 3.0):
        clock.sleep_until(due)
        with changed:
            changed.notify_all()
        assert clock.now() == due  # whoever notifies goes on; the others come when it waits
    actor.join()
    assert seen == [(True, 1.0), (True, 3.0), (False, 5.5)]


def test_a_flag_is_waited_for():
    clock = VirtualClock()
    flag = clock.flag()

    def setter():
        clock.sleep_until(4)
        flag.set()

    actor = clock.start("setter", setter)
    assert not flag.wait(timeout=3)
    assert actor.is_alive()
    assert flag.wait()
    assert flag.wait(0)
    assert clock.now() == 4
    actor.join()
    assert not actor.is_alive()


def test_a_join_gives_up_after_its_time():
    clock = VirtualClock()
    actor = clock.start("sleeper", lambda: clock.sleep_until(9))
    actor.join(5)
    assert actor.is_alive()
    assert clock.now() == 5
    actor.join()
    assert clock.now() == 9


def test_actors_that_all_wait_for_each_other_are_told_at_once():
    clock = VirtualClock(7)
    channel = Channel(1, clock)
    taken = []

    def getter():
        try:
            taken.append(channel.get())
        except Closed:
            taken.append("closed")

    actor = clock.start("getter", getter)
    with pytest.raises(UserGymError, match="stands still at 7"):
        SamplesPerInsert(1, 0, clock=clock).sample()
    channel.close()
    actor.join()
    assert taken == ["closed"]


def test_where_the_last_one_ends_whoever_waits_is_told():
    clock = VirtualClock()
    actor = clock.start("short", lambda: clock.sleep_until(1))
    with pytest.raises(UserGymError, match="stands still at 1"):
        clock.flag().wait()
    assert not actor.is_alive()


def test_a_thread_that_is_no_actor_may_not_wait():
    clock, errors = VirtualClock(), []

    def body():
        try:
            clock.sleep_until(1)
        except UserGymError as error:
            errors.append(str(error))

    stranger = threading.Thread(target=body, name="stranger", daemon=True)
    stranger.start()
    stranger.join(10)
    assert "'stranger'" in errors[0]
    assert clock.now() == 0


def test_a_body_that_raises_lets_the_others_go_on():
    clock, seen = VirtualClock(), []

    def failing():
        try:
            clock.sleep_until(1)
            raise RuntimeError("cable")
        except RuntimeError as error:
            seen.append(str(error))

    actor = clock.start("failing", failing)
    clock.sleep_until(2)
    assert not actor.is_alive()
    assert seen == ["cable"]


def test_what_a_signal_raises_comes_when_it_is_the_actors_turn():
    clock, seen = VirtualClock(), []

    def busy():
        clock.sleep_until(1)
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:  # the other one may not run meanwhile, whatever it was sent
            seen.append(clock.now())
        clock.sleep_until(5)

    actor = clock.start("busy", busy)
    with pytest.raises(KeyboardInterrupt):
        clock.sleep_until(3)
    assert clock.now() == 3
    assert set(seen) == {1}
    actor.join()


class _Interrupted:
    """A lock, in which a signal comes together with the wake-up: once, and after the lock was taken."""

    def __init__(self, lock):
        self.lock, self.left = lock, 1

    def acquire(self, timeout):
        taken = self.lock.acquire(timeout=timeout)
        if taken and self.left:
            self.left = 0
            raise KeyboardInterrupt
        return taken

    def locked(self):
        return self.lock.locked()

    def release(self):
        self.lock.release()


def test_what_a_signal_raises_together_with_the_turn_does_not_lose_the_turn():
    clock = VirtualClock()
    first = clock._actors[0]
    first._asleep = _Interrupted(first._asleep)  # type: ignore[assignment]

    def other():
        clock.sleep_until(1)
        clock.sleep_until(5)

    actor = clock.start("other", other)
    with pytest.raises(KeyboardInterrupt):
        clock.sleep_until(3)
    assert clock.now() == 3
    actor.join()
    assert clock.now() == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, "0"])
def test_a_time_that_is_none_is_refused(bad):
    with pytest.raises(BadOption, match="now"):
        VirtualClock(bad)
    if isinstance(bad, float) and math.isnan(bad):
        with pytest.raises(BadOption, match="due"):
            VirtualClock().sleep_until(bad)


def test_the_wall_clock_keeps_the_same_contract():
    clock = WallClock()
    flag, changed, began = clock.flag(), clock.condition(), clock.now()

    def setter():
        clock.sleep_until(began + 0.02)
        flag.set()

    actor = clock.start("setter", setter)
    assert flag.wait(10)
    assert clock.now() >= began + 0.02
    actor.join(10)
    assert not actor.is_alive()
    with changed:
        assert not changed.wait(timeout=0.001)
    assert abs(clock.epoch() - time.time()) < 10
