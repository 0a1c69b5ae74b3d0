"""Weights that go into shared memory under a cap are the same, arrive at the cap's rate, and are whole or not there."""

import numpy as np
import pytest
from weight_cases import moved, policy, same

from user_gym.errors import Closed
from user_gym.system.cap import MemoryCopier
from user_gym.system.weights import BF16, SharedPublisher, SharedSubscriber

RATE = 1_000_000  # bytes/s
FAST = (1 << 40,)


class Clock:
    """Goes on when somebody sleeps; then calls `what` once it is `due`."""

    def __init__(self):
        self.now, self.due, self.what = 0.0, float("inf"), None

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        if self.now > self.due:
            self.due = float("inf")
            self.what()


def test_a_publication_takes_as_long_as_the_cap_says(tmp_path):
    clock = Clock()
    with (
        MemoryCopier((RATE,), clock=clock, sleep=clock.sleep) as copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as publisher,
    ):
        arrays = {f"{k}": np.zeros(10_000, np.float32) for k in range(50)}
        publisher.publish(arrays, "h")
        assert clock.now == pytest.approx(50 * 40_000 / RATE, rel=0.02)


def test_arrays_of_every_kind_and_order_arrive(tmp_path):
    wide = np.arange(24, dtype=np.float64).reshape(4, 6)
    arrays = {
        "columns": wide[:, ::2],
        "turned": wide.T,
        "big": wide.astype(">f8"),
        "bits": np.arange(5, dtype=np.uint16).view(BF16),
        "complex": np.array([1 + 2j], np.complex64),
        "mask": np.array([True, False]),
        "steps": np.array(7),
        "none": np.zeros((0, 3), np.float32),
    }
    with (
        MemoryCopier(FAST) as copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as publisher,
        SharedSubscriber("w", folder=tmp_path) as subscriber,
    ):
        publisher.publish(arrays, "h")
        got = subscriber.newest().arrays
        for name, array in arrays.items():
            assert np.array_equal(got[name], array), name


def test_some_tensors_may_be_published_alone(tmp_path):
    with (
        MemoryCopier(FAST) as copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as publisher,
        SharedSubscriber("w", folder=tmp_path) as subscriber,
    ):
        arrays = policy()
        publisher.publish(arrays, "h")
        for version in range(4):
            arrays = moved(arrays, version, names=("adapter",))
            publisher.publish({"adapter": arrays["adapter"], "steps": arrays["steps"]}, "h", partial=True)
            assert same(subscriber.newest(), arrays)


def test_a_publication_that_ends_in_the_middle_leaves_the_weights_before_and_nothing_of_its_own(tmp_path):
    clock, a, b = Clock(), np.zeros(20, np.float32), np.zeros(200_000, np.float32)
    copier = MemoryCopier((RATE,), clock=clock, sleep=clock.sleep)
    with (
        copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as publisher,
        SharedSubscriber("w", folder=tmp_path) as subscriber,
    ):
        publisher.publish({"a": a, "b": b}, "h")
        held = subscriber.newest()
        publisher.publish({"a": a + 1, "b": b + 1}, "h")
        clock.due, clock.what = clock.now + 0.1, copier.close
        with pytest.raises(Closed):
            publisher.publish({"a": a + 666, "b": b + 666}, "h")  # `a` is there, and a part of `b`
        copier.open()
        assert (publisher.version, subscriber.newest(1)) == (1, None)
        assert same(subscriber.newest(), {"a": a + 1, "b": b + 1})

        del held  # the same version again, elsewhere; then into the memory that was left
        publisher.publish({"a": a + 2, "b": b + 2}, "h")
        second = subscriber.newest()
        publisher.publish({"b": b + 3}, "h", partial=True)
        third = subscriber.newest()
        publisher.publish({"b": b + 4}, "h", partial=True)
        assert publisher._head.slots == 3
        for weights, n in ((second, 2), (third, 3), (subscriber.newest(), 4)):
            assert same(weights, {"a": a + 2, "b": b + n})
