"""The newest weights win, whole."""

import threading

import numpy as np
import pytest

from user_gym.system import Broadcaster


def test_there_is_nothing_before_the_first_publication():
    assert Broadcaster().newest(-1) is None


def test_only_newer_weights_are_handed_out():
    broadcaster = Broadcaster()
    broadcaster.publish({"w": np.zeros(2)}, "h")
    second = broadcaster.publish({"w": np.ones(2)}, "h")
    assert second.version == broadcaster.version == 1
    assert broadcaster.newest(0) is second
    assert broadcaster.newest(1) is None


def test_versions_go_on_after_a_restart():
    assert Broadcaster(version=41).publish({}, "h").version == 42


def test_published_weights_neither_change_nor_can_be_changed():
    broadcaster, array = Broadcaster(), np.zeros(3)
    published = broadcaster.publish({"w": array}, "h")
    array += 1
    assert not published.arrays["w"].any()
    with pytest.raises(ValueError, match="read-only"):
        published.arrays["w"][0] = 1
    with pytest.raises(TypeError):
        published.arrays["v"] = array


def test_readers_never_see_a_torn_copy():
    broadcaster, done, torn = Broadcaster(), threading.Event(), []

    def read():
        version = -1
        while not done.is_set():
            weights = broadcaster.newest(version)
            if weights is not None:
                version = weights.version
                values = {float(v) for a in weights.arrays.values() for v in (a.min(), a.max())}
                if values != {float(version)}:
                    torn.append((version, values))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    a, b = np.empty(10_000), np.empty(10_000)
    for i in range(60):
        a[:], b[:] = i, i
        broadcaster.publish({"a": a, "b": b}, "h")
    done.set()
    thread.join(5)
    assert not torn
