"""Neither side gets further ahead than the tolerance."""

import math
import threading

import pytest

from user_gym.errors import BadOption, Closed
from user_gym.system import LimiterState, SamplesPerInsert
from user_gym.system.clock import WallClock


def sampled(limiter):
    limiter.sample(timeout=0)
    limiter.done()


def test_strict_makes_them_take_turns():
    limiter = SamplesPerInsert(ratio=2, tolerance=0)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)
    with pytest.raises(TimeoutError):
        limiter.insert(1, timeout=0)
    sampled(limiter)
    with pytest.raises(TimeoutError):
        limiter.insert(0, timeout=0)
    sampled(limiter)
    limiter.insert(0, timeout=0)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)


def test_a_permission_counts_only_when_the_update_is_done():
    limiter = SamplesPerInsert(ratio=1, tolerance=0)
    with pytest.raises(TimeoutError):
        limiter.insert(1, timeout=0)
    limiter.sample(timeout=0)
    with pytest.raises(TimeoutError):
        limiter.insert(0, timeout=0)  # the learner may sample, but its weights are not out yet
    limiter.done()
    limiter.insert(0, timeout=0)


def test_a_ratio_below_one_waits_for_a_whole_update():
    limiter = SamplesPerInsert(ratio=0.1, tolerance=0)
    for _ in range(9):
        limiter.insert(1, timeout=0)
    with pytest.raises(TimeoutError):
        limiter.insert(1, timeout=0)
    sampled(limiter)
    limiter.insert(9, timeout=0)


def test_warm_up_steps_ask_for_no_updates():
    limiter = SamplesPerInsert(ratio=1, tolerance=5, min_inserted=100)
    limiter.insert(99, timeout=0)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)
    assert math.isnan(limiter.reached)
    limiter.insert(3, timeout=0)
    assert limiter.owed == 2
    for _ in range(7):
        sampled(limiter)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)
    assert limiter.reached == 3.5


def test_an_infinite_tolerance_lets_both_run_once_there_is_something():
    limiter = SamplesPerInsert(ratio=1, tolerance=math.inf)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)
    limiter.insert(10, timeout=0)
    for _ in range(50):
        sampled(limiter)


def test_close_wakes_both_sides():
    limiter, results = SamplesPerInsert(ratio=1, tolerance=0), []

    def body(call):
        try:
            call()
        except Closed as error:
            results.append(error)

    limiter.restore(LimiterState(5, 5))
    threads = [
        threading.Thread(target=body, args=(c,), daemon=True) for c in (lambda: limiter.insert(1), lambda: limiter.sample())
    ]
    threads[0].start()
    threads[0].join(0.02)
    limiter.close()
    threads[0].join(5)
    assert len(results) == 1
    with pytest.raises(Closed):
        limiter.sample()
    with pytest.raises(Closed):
        limiter.insert(1)


@pytest.mark.parametrize(("ratio", "tolerance", "block"), [(1, 0, 5), (2.5, 4, 3), (0.3, 1, 7), (4, 10, 1)])
def test_the_bounds_hold_under_two_threads(ratio, tolerance, block):
    limiter, steps, broken = SamplesPerInsert(ratio, tolerance, min_inserted=10), 400, []
    counts = {"inserted": 0, "sampled": 0}

    def target(inserted):
        return ratio * max(0, inserted - 10)

    def collect():
        for _ in range(steps // block):
            counts["inserted"] += block
            limiter.insert(block, timeout=20)
            if not target(counts["inserted"]) < counts["sampled"] + tolerance + 1 + 1e-6:
                broken.append(dict(counts))
        limiter.close()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        while True:
            limiter.sample(timeout=20)
            counts["sampled"] += 1  # before `done`: so the collector's check can only see too many, never too few
            if not counts["sampled"] <= target(counts["inserted"]) + tolerance + 1e-6:
                broken.append(dict(counts))
            limiter.done()
    except Closed:
        thread.join(20)
    assert not thread.is_alive()
    assert not broken
    assert abs(limiter.state().sampled - target(limiter.state().inserted)) <= tolerance + 1


def test_waits_are_counted_for_each_side():
    class Reading(WallClock):
        seconds = 0.0

        def now(self):
            self.seconds += 1.0
            return self.seconds

    limiter = SamplesPerInsert(ratio=1, tolerance=0, clock=Reading())
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)
    assert limiter.waited[0] == 0
    assert limiter.waited[1] > 0
    with pytest.raises(TimeoutError):
        limiter.insert(1, timeout=0)
    assert limiter.waited[0] > 0


def test_state_and_restore_go_on_where_it_was():
    one = SamplesPerInsert(ratio=1, tolerance=3)
    one.insert(3, timeout=0)
    sampled(one)
    two = SamplesPerInsert(ratio=1, tolerance=3)
    two.restore(one.state())
    assert two.owed == one.owed == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((0, 1), "ratio"),
        ((math.inf, 1), "ratio"),
        ((1, -1), "tolerance"),
        ((1, math.nan), "tolerance"),
        ((1, 1, -1), "min_ins"),
    ],
)
def test_numbers_that_make_no_limit_are_refused(options, says):
    with pytest.raises(BadOption, match=says):
        SamplesPerInsert(*options)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("tolerance", [0, 1, 7.5, 100])
@pytest.mark.parametrize("least", [0, 10])
def test_room_is_the_most_steps_after_which_nobody_waits(ratio, tolerance, least):
    limiter = SamplesPerInsert(ratio, tolerance, least)
    for updates in (0, 3, 40):
        limiter.restore(LimiterState(12, updates))
        room = limiter.room
        if room < 0:
            with pytest.raises(TimeoutError):
                limiter.insert(0, timeout=0)
            continue
        limiter.insert(int(room), timeout=0)
        with pytest.raises(TimeoutError):
            limiter.insert(1, timeout=0)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("tolerance", [0, 1, 7.5])
def test_so_many_updates_are_allowed_as_can_be_sampled(ratio, tolerance):
    limiter = SamplesPerInsert(ratio, tolerance, min_inserted=5)
    assert limiter.allowed == 0
    limiter.restore(LimiterState(30, 2))
    allowed = int(limiter.allowed)
    for _ in range(allowed - 2):
        sampled(limiter)
    with pytest.raises(TimeoutError):
        limiter.sample(timeout=0)


def test_a_learner_that_counts_for_itself_may_have_lost_some():
    limiter = SamplesPerInsert(ratio=1, tolerance=0)
    limiter.restore(LimiterState(10, 10))
    limiter.reached_updates(7)
    assert (limiter.owed, limiter.allowed, limiter.room) == (3, 10, -1)


def test_without_a_bound_there_is_always_room():
    limiter = SamplesPerInsert(ratio=1, tolerance=math.inf)
    limiter.restore(LimiterState(10, 0))
    assert limiter.room == limiter.allowed == math.inf
