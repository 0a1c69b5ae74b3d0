"""A channel loses nothing, bounds its queue and may be closed from either end at each moment."""

import threading

import pytest

from user_gym.errors import BadOption, Closed
from user_gym.system import Channel
from user_gym.system.clock import WallClock


def in_thread(call):
    """Start `call`; returns (thread, results) where an exception is a result."""
    results = []

    def body():
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, results


def test_items_come_out_in_order_under_two_threads():
    channel = Channel(3)
    thread, _ = in_thread(lambda: [channel.put(i) for i in range(500)])
    assert [channel.get(timeout=5) for _ in range(500)] == list(range(500))
    thread.join(5)


def test_a_full_channel_makes_the_putter_wait():
    channel = Channel(1)
    channel.put(1)
    with pytest.raises(TimeoutError, match="1 of 1"):
        channel.put(2, timeout=0)
    thread, results = in_thread(lambda: channel.put(3, timeout=5))
    assert channel.get(timeout=5) == 1
    thread.join(5)
    assert results == [None]
    assert channel.get(timeout=0) == 3  # the item that timed out was not queued


def test_a_waiting_putter_is_released_by_close():
    channel = Channel(1)
    channel.put(1)
    thread, results = in_thread(lambda: channel.put(2))
    channel.close()
    thread.join(5)
    assert isinstance(results[0], Closed)
    assert channel.get() == 1
    with pytest.raises(Closed, match="drained"):
        channel.get()


def test_a_waiting_getter_is_released_by_close():
    channel = Channel(1)
    thread, results = in_thread(channel.get)
    channel.close()
    thread.join(5)
    assert isinstance(results[0], Closed)


def test_after_close_the_getter_drains_and_the_putter_is_refused():
    channel = Channel(4)
    channel.put(1)
    channel.put(2)
    channel.close()
    channel.close()
    with pytest.raises(Closed):
        channel.put(3)
    assert [channel.get(), channel.get()] == [1, 2]
    with pytest.raises(Closed):
        channel.get(timeout=0)


@pytest.mark.parametrize("moment", range(12))
def test_close_at_any_moment_neither_loses_nor_hangs(moment):
    channel, accepted = Channel(2), []

    def produce():
        for i in range(10):
            channel.put(i)
            accepted.append(i)

    thread, _ = in_thread(produce)
    taken = [channel.get(timeout=5) for _ in range(min(moment, 10))]
    channel.close()
    thread.join(5)
    assert not thread.is_alive()
    while True:
        try:
            taken.append(channel.get(timeout=5))
        except Closed:
            break
    assert taken == accepted


def test_the_putters_waits_are_measured_by_the_clock_that_was_given():
    class Reading(WallClock):
        seconds = iter(range(0, 1000, 10))

        def now(self):
            return next(self.seconds)

    channel = Channel(1, clock=Reading())
    with pytest.raises(TimeoutError):
        channel.get(timeout=1)
    assert channel.stats() == (0, 0)
    channel.put(1, timeout=1)
    with pytest.raises(TimeoutError):
        channel.put(2, timeout=1)
    assert channel.stats() == (1, 50)  # the clock goes on 10 s each time it is read: 20 s for one put, 30 s for the other


def test_a_channel_without_room_is_refused():
    with pytest.raises(BadOption, match="capacity 0"):
        Channel(0)
