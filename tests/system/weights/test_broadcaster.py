"""The newest weights win, whole."""

import threading

import numpy as np
import pytest

from user_gym.errors import BadOption
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


def test_memory_is_used_again_once_nobody_holds_it():
    broadcaster, array = Broadcaster(), np.zeros(1000)
    for i in range(10):
        array[:] = i
        broadcaster.publish({"w": array}, "h")
    assert len(broadcaster._arena) == 2
    held = broadcaster.newest().arrays["w"][3:5]  # a view of a view holds all of it
    for _ in range(10):
        broadcaster.publish({"w": array}, "h")
    assert len(broadcaster._arena) == 3
    assert held.tolist() == [9, 9]
    del held
    kept = [broadcaster.publish({"w": array}, "h") for _ in range(5)]
    assert len(broadcaster._arena) == 5
    del kept


def test_some_tensors_may_be_published_alone_and_the_others_stay_as_they_were():
    broadcaster = Broadcaster()
    broadcaster.publish({"base": np.zeros(3), "adapter": np.zeros(2)}, "h")
    broadcaster.publish({"base": np.ones(3), "adapter": np.ones(2)}, "h")
    for i in range(2, 6):
        newest = broadcaster.publish({"adapter": np.full(2, float(i))}, "h", partial=True) if i != 4 else None
        newest = newest or broadcaster.publish({"base": np.full(3, 4.0)}, "h", partial=True)
    assert newest.arrays["base"].tolist() == [4, 4, 4]
    assert newest.arrays["adapter"].tolist() == [5, 5]


def test_a_first_publication_of_some_tensors_is_refused():
    broadcaster = Broadcaster(version=3)
    with pytest.raises(BadOption, match="partial True; allowed: False in the first publication; publish all of them once"):
        broadcaster.publish({"adapter": np.ones(2)}, "h", partial=True)
    assert (broadcaster.version, broadcaster.newest()) == (3, None)
    whole = {"base": np.ones(3), "adapter": np.ones(2)}
    assert set(broadcaster.publish(whole, "h").arrays) == set(whole)


def test_other_arrays_another_policy_and_an_old_version_are_refused():
    broadcaster = Broadcaster()
    broadcaster.publish({"w": np.zeros(2)}, "h")
    for arrays, spec_hash, options in (
        ({"w": np.zeros(3)}, "h", {}),
        ({"w": np.zeros(2), "v": np.zeros(2)}, "h", {}),
        ({}, "h", {}),
        ({"w": np.zeros(2)}, "g", {}),
        ({"w": np.zeros(2)}, "h", {"version": 0}),
    ):
        with pytest.raises(BadOption):
            broadcaster.publish(arrays, spec_hash, **options)
    assert broadcaster.version == 0
    assert broadcaster.publish({"w": np.zeros(2)}, "h", version=7).version == 7
