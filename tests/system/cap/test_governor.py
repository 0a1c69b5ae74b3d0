"""It finds the level, stays there, and the budget is kept: against simulated plants."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plants import BEST, LEVELS, PLANTS, run

from user_gym.errors import BadOption
from user_gym.system.cap import Governor, slowdown

BUDGET = 0.05


@pytest.mark.parametrize("plant", PLANTS)
def test_without_noise_it_finds_the_level_within_nine_rounds(plant):
    course = run(PLANTS[plant], steps=220)
    assert course.governor.limit == BEST[plant]
    assert course.limits.index(BEST[plant]) <= 9 * 16


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("duty", [1.0, 0.5])
def test_it_comes_to_rest_and_keeps_the_budget(plant, noise, duty):
    course = run(PLANTS[plant], steps=8000, noise=noise, duty=duty, late=0.01)
    assert course.mean() <= BUDGET
    settled = [limit for limit in course.limits[2000:] if limit]
    assert sum(limit in (BEST[plant], BEST[plant] // 2) for limit in settled) >= 0.8 * len(settled)
    assert len([t for t in course.changes if t >= 2000]) <= 14
    assert len([t for t in course.changes if t >= 6000]) <= 6


def test_heavy_noise_costs_levels_but_not_the_budget():
    for seed in range(3):
        course = run(PLANTS["linear"], steps=6000, noise=0.1, late=0.02, seed=seed)
        assert course.mean() <= BUDGET
        assert len(course.changes) <= 24


def test_a_gross_breach_ends_after_one_look():
    course = run(PLANTS["knee"], steps=2000)
    breach = [k == 32 for k in course.limits]
    longest = max(len(run_) for run_ in "".join("x" if b else " " for b in breach).split())
    assert longest <= 6 + 1  # the first step is left out, five are looked at
    assert sum(breach) <= 0.02 * len(breach)


def test_tries_of_a_level_that_broke_become_rare():
    course = run(PLANTS["knee"], steps=16_000)
    tries = [t for t, (low, high) in enumerate(pairwise(course.limits)) if low == 16 and high == 32]
    waits = [b - a for a, b in pairwise(tries)]
    assert len(waits) >= 4
    assert all(later >= 1.5 * earlier for earlier, later in pairwise(waits[:4]))
    assert len(course.changes) <= 24


def test_a_level_that_did_well_for_long_is_soon_tried_again_after_a_breach():
    course = run(lambda k, t: 0.001 * k if k <= 16 else 0.04 if 1500 <= t < 8000 else 0.5, steps=9000)
    assert course.limits[7990] == 32
    fell = next(t for t in range(8000, 9000) if course.limits[t] not in (0, 32))
    again = next(t for t in range(fell, 9000) if course.limits[t] == 32)
    assert again - fell <= 200  # a bar of eight rounds of 16 steps, and rests; before it did well the bar was of 32 and more


def test_it_goes_down_when_the_plant_gets_worse():
    course = run(lambda k, t: 0.001 * k * (6 if t > 2000 else 1), steps=2600)
    assert course.limits[1999] == 32
    assert course.limits[2060] == 8
    assert 16 not in course.limits[2000:2060]  # in proportion to the breach, not level by level
    assert [limit for limit in course.limits if limit][-1] == 8


def test_it_goes_up_again_when_the_plant_gets_better():
    course = run(lambda k, t: 0.001 * k * (6 if t < 2000 else 1), steps=6000)
    assert course.limits[1990] == 8
    assert course.governor.limit == 32


def test_a_plant_that_drifts_is_followed():
    course = run(lambda k, t: 0.0005 * k * (1 + t / 2000), steps=12_000, noise=0.01)
    assert course.mean() <= BUDGET
    assert course.mean(len(course.slowdowns) // 2) <= BUDGET
    assert max(course.limits) == 64
    assert course.governor.levels[course.governor.levels.index(8) - 1] <= [k for k in course.limits if k][-1] <= 16


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_steps_that_are_other_ones_by_themselves_are_no_breach(factor):
    """The policy got larger: the old reference is not believed, a new one is taken."""
    course = run(PLANTS["linear"], steps=2000, base=lambda t: 0.01 * (factor if t > 1000 else 1))
    assert len([t for t in course.changes if t > 1000]) == 0
    assert course.governor.limit in (0, 16)


def test_a_breach_that_the_reference_hides_is_found_when_it_is_taken_anew():
    """Steps got twice as fast, and the transfer costs 100 % of that: together they look as before."""
    course = run(lambda k, t: 0.001 * k if t < 1000 else 1.03, 1600, base=lambda t: 0.01 / (2 if t >= 1000 else 1))
    assert not course.governor.state().within
    assert [k for k in course.limits if k][-1] == 1


def test_the_transfer_waits_for_a_reference():
    governor = Governor(LEVELS, samples=15)
    for k in range(15):
        assert governor.limit == 0, k
        governor.observe(0.01, beside=True)  # a piece that was under way: not a reference
        governor.observe(0.01, beside=False)
    assert governor.limit == 1


def test_a_lowest_level_that_breaks_says_so():
    state = run(lambda k, t: 0.3, steps=400).governor.state()
    assert (state.limit, state.within) == (1, False)
    assert state.slowdown == pytest.approx(0.3)
    assert run(PLANTS["linear"], steps=400).governor.state().within


def test_it_begins_knowing_nothing():
    state = Governor(LEVELS).state()
    assert state.limit == state.rounds == state.changes == 0
    assert math.isnan(state.slowdown)
    assert state.within


@settings(deadline=None, max_examples=25)
@given(
    slope=st.floats(0.0, 0.02),
    offset=st.floats(0.0, 0.03),
    knee=st.sampled_from([*LEVELS, 1000]),
    noise=st.floats(0.0, 0.04),
    duty=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
    budget=st.sampled_from([0.03, 0.05, 0.1]),
)
def test_whatever_the_plant_the_budget_is_kept_where_it_can_be(slope, offset, knee, noise, duty, seed, budget):
    def curve(k, _):
        return offset + slope * k + (0.6 if k > knee else 0.0)

    course = run(curve, 4000, noise, duty, seed, late=0.01, governor=Governor(LEVELS, budget))
    least = curve(1, 0)
    assert set(course.limits) <= {0, *LEVELS}
    assert course.mean(len(course.slowdowns) // 4) <= max(budget, least) * 1.1
    assert len(course.changes) <= 40
    if least > 1.2 * budget + noise:
        assert not course.governor.state().within


@given(
    alone=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30),
    factor=st.floats(0.5, 3.0),
    scale=st.floats(0.01, 100.0),
)
def test_a_slowdown_is_a_ratio_of_medians(alone, factor, scale):
    found = slowdown([factor * x for x in alone], alone)
    assert found.value == pytest.approx(factor - 1)
    scaled = slowdown([factor * scale * x for x in alone], [scale * x for x in alone])
    assert scaled.value == pytest.approx(found.value, abs=1e-9)
    assert scaled.error == pytest.approx(found.error, rel=1e-6, abs=1e-12)


def test_steps_that_lie_close_together_by_chance_make_no_figure_certain():
    noisy = [0.9, 0.95, 1.0, 1.05, 1.1]
    assert slowdown([1.0] * 5, noisy).error == pytest.approx(slowdown(noisy, [1.0] * 5).error) != 0.0


def test_the_error_of_a_slowdown_is_what_repeated_samples_show():
    import random
    import statistics

    chance = random.Random(0)
    found = [
        slowdown([chance.gauss(1.05, 0.05) for _ in range(30)], [chance.gauss(1.0, 0.05) for _ in range(30)])
        for _ in range(400)
    ]
    spread = statistics.stdev(one.value for one in found)
    assert statistics.median(one.error for one in found) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"budget": 0.0}, "budget"), ({"budget": math.nan}, "budget"), ({"samples": 4}, "samples"), ({"levels": ()}, "levels")],
)
def test_options_that_make_no_governor_are_refused(options, name):
    with pytest.raises(BadOption, match=name):
        Governor(**{"levels": LEVELS, **options})


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_a_duration_that_is_none_is_refused(duration):
    with pytest.raises(BadOption, match="duration"):
        Governor(LEVELS).observe(duration, beside=False)
