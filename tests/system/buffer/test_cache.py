"""What the cache keeps, and what leaves first."""

from hypothesis import given
from hypothesis import strategies as st

from user_gym.system.buffer.cache import Cache


def kept(cache, keys):
    return {key for key in keys if cache.get(key) is not None}


def test_of_rows_that_nobody_wants_the_least_recently_used_leaves_first():
    cache = Cache(3)
    for key in "abc":
        cache.put(key, key, 1)
    cache.get("a")
    cache.put("d", "d", 1)
    assert kept(cache, "abcd") == {"a", "c", "d"}


def test_a_row_that_is_wanted_stays_and_the_one_wanted_latest_leaves_first():
    cache = Cache(3)
    cache.put("soon", 1, 1, due=5)
    cache.put("late", 2, 1, due=9)
    cache.put("nobody", 3, 1)
    cache.put("next", 4, 1, due=6)
    assert cache.get("nobody") is None
    cache.put("last", 5, 1, due=7)
    assert cache.get("late", due=9) is None
    assert {cache.get("soon"), cache.get("next"), cache.get("last")} == {1, 4, 5}


def test_a_newcomer_that_is_wanted_latest_makes_no_room_for_itself():
    cache = Cache(1)
    cache.put("soon", 1, 1, due=5)
    cache.put("late", 2, 1, due=9)
    assert cache.get("soon", due=5) == 1
    assert cache.get("late") is None


def test_a_value_larger_than_the_bound_is_not_kept_and_moves_nothing():
    cache = Cache(3)
    cache.put("small", 1, 2)
    cache.put("large", 2, 4)
    assert kept(cache, ["small", "large"]) == {"small"}
    assert cache.stats().nbytes == 2


def test_what_was_dropped_is_gone_and_its_bytes_are_free():
    cache = Cache(3)
    cache.put("a", 1, 2, due=3)
    cache.drop("a")
    cache.drop("a")
    assert cache.get("a") is None
    cache.put("b", 1, 3)
    assert cache.get("b") == 1
    cache.clear()
    assert cache.stats().nbytes == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4), st.none() | st.integers(0, 99)), max_size=200))
def test_the_bound_holds_and_the_bytes_are_those_of_what_is_kept(events):
    cache, sizes = Cache(10), {}
    for key, nbytes, due in events:
        if cache.get(key, due) is None:
            cache.put(key, key, nbytes, due)
            sizes[key] = nbytes
        stats = cache.stats()
        assert stats.nbytes <= 10
    assert cache.stats().nbytes == sum(sizes[key] for key in kept(cache, range(10)))
