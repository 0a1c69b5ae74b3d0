"""A relay carries the newest weights on, out of the learner's way."""

import threading

import numpy as np
import pytest
from weight_cases import moved, policy, same

from user_gym.errors import BadOption, Closed, NoSpace
from user_gym.system.cap import MemoryCopier
from user_gym.system.weights import BF16, Broadcaster, Narrowed, Relay, SharedPublisher, SharedSubscriber

WAIT = 30.0  # s
SLOW, FAST = 1_000_000, 1 << 30  # bytes/s


class Gate:
    """A carry that tells what it was given and returns when it may."""

    def __init__(self):
        self.given, self.began, self.free = [], threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, weights):
        self.given.append(weights.version)
        self.began.release()
        assert self.free.acquire(timeout=WAIT)


def into(publisher):
    return lambda weights: publisher.publish(weights.arrays, weights.spec_hash, version=weights.version)


def test_the_newest_is_carried_and_what_was_overwritten_meanwhile_is_not():
    broadcaster, gate = Broadcaster(), Gate()
    with Relay(broadcaster, gate) as relay:
        assert relay.carried == -1
        broadcaster.publish({"w": np.zeros(2)}, "h")
        assert gate.began.acquire(timeout=WAIT)
        for _ in range(5):  # returns at once, though a version is under way
            broadcaster.publish({"w": np.zeros(2)}, "h")
        assert not relay.wait(0, 0.0)
        gate.free.release(2)
        assert relay.wait(5, WAIT)
    assert gate.given == [0, 5]


def test_its_memory_is_free_once_it_is_carried():
    broadcaster = Broadcaster()
    with Relay(broadcaster, lambda _: None) as relay:
        for version in range(8):
            broadcaster.publish({"w": np.zeros(100)}, "h")
            assert relay.wait(version, WAIT)
    assert len(broadcaster._arena) <= 3


@pytest.mark.parametrize("bf16", [False, True])
def test_weights_go_through_a_copier_into_shared_memory_bit_for_bit(bf16, tmp_path):
    broadcaster, arrays, nbytes = Broadcaster(), policy(), 0
    source = Narrowed(broadcaster) if bf16 else broadcaster
    with (
        MemoryCopier((FAST,)) as copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as shared,
        Relay(source, into(shared), copier) as relay,
        SharedSubscriber("w", folder=tmp_path) as subscriber,
    ):
        for version in range(4):
            arrays = moved(arrays, version)
            broadcaster.publish(arrays, "h")
            assert relay.wait(version, WAIT)
            got = subscriber.newest(version - 1)
            assert (got.version, got.spec_hash) == (version, "h")
            assert same(got, (Narrowed(broadcaster) if bf16 else broadcaster).newest().arrays)
            assert (got.arrays["body"].dtype == BF16) is bf16
            nbytes += sum(array.nbytes for name, array in got.arrays.items() if name != "head")  # tied: it lies there once
            del got
        assert copier.copied == nbytes


def test_a_learner_publishes_while_the_copier_is_held_and_close_ends_the_copy(tmp_path):
    broadcaster, began = Broadcaster(), threading.Event()

    def carry(weights):
        if weights.version:
            began.set()
        into(shared)(weights)

    with MemoryCopier((SLOW, FAST), FAST) as copier, SharedPublisher("w", folder=tmp_path, copier=copier) as shared:
        relay = Relay(broadcaster, carry, copier, patience=0.0).open()
        subscriber = SharedSubscriber("w", folder=tmp_path)
        broadcaster.publish({"w": np.zeros(5000)}, "h")
        assert relay.wait(0, WAIT)
        copier.limit = 0
        for version in range(1, 4):
            broadcaster.publish({"w": np.full(5000, float(version))}, "h")
        assert began.wait(WAIT)
        relay.close()
        relay.close()
        assert relay.carried == 0
        weights = subscriber.newest()
        assert (weights.version, set(weights.arrays["w"].tolist())) == (0, {0.0}), "the ones before, whole"
        subscriber.close()
        with pytest.raises(Closed, match="make another one"):
            relay.open()


def test_what_is_under_way_at_the_end_is_brought_to_its_end(tmp_path):
    broadcaster, arrays = Broadcaster(), policy()
    with (
        MemoryCopier((SLOW,)) as copier,
        SharedPublisher("w", folder=tmp_path, copier=copier) as shared,
        SharedSubscriber("w", folder=tmp_path) as subscriber,
    ):
        relay = Relay(broadcaster, into(shared), copier, patience=WAIT).open()
        broadcaster.publish(arrays, "h")
        while not copier.copied:
            relay.wait(0, 0.001)
        relay.close()
        assert same(subscriber.newest(), arrays)
        copier.copy(bytes(4), bytearray(4))  # still open


def test_what_ends_it_is_told_once():
    def full(_):
        raise NoSpace("no room")

    broadcaster = Broadcaster()
    broadcaster.publish({"w": np.zeros(2)}, "h")
    with Relay(broadcaster, full) as relay:
        with pytest.raises(NoSpace):
            relay.wait(0, WAIT)
        with pytest.raises(NoSpace):
            _ = relay.carried
    silent = Relay(broadcaster, full).open()
    silent._thread.join(WAIT)
    with pytest.raises(NoSpace):
        silent.close()


def test_a_copier_that_somebody_else_closed_is_an_error(tmp_path):
    broadcaster = Broadcaster()
    with MemoryCopier((FAST,)) as copier, SharedPublisher("w", folder=tmp_path, copier=copier) as shared:
        copier.close()
        broadcaster.publish({"w": np.zeros(2)}, "h")
        with Relay(broadcaster, into(shared), copier) as relay, pytest.raises(Closed, match="open"):
            relay.wait(0, WAIT)


def test_a_patience_that_is_no_time_is_refused():
    with pytest.raises(BadOption, match="patience"):
        Relay(Broadcaster(), lambda _: None, patience=-1.0)
