"""The same weights in bfloat16."""

import numpy as np
import pytest
from weight_cases import moved, policy

from user_gym.system.weights import BF16, Broadcaster, Narrowed, SharedPublisher, SharedSubscriber, widen


def test_float32_becomes_bfloat16_and_the_rest_stays():
    broadcaster, arrays = Broadcaster(), policy()
    view = Narrowed(broadcaster)
    assert view.newest() is None
    broadcaster.publish(arrays, "h")
    weights = view.newest()
    assert {name: array.dtype for name, array in weights.arrays.items()} == {
        name: array.dtype if name == "steps" else BF16 for name, array in arrays.items()
    }
    np.testing.assert_allclose(widen(weights.arrays["body"]), arrays["body"], rtol=2**-8)
    assert weights.arrays["steps"] == 3
    assert view.newest(0) is None
    assert view.newest(-1) is weights


def test_only_named_tensors_become_bfloat16():
    broadcaster = Broadcaster()
    broadcaster.publish(policy(), "h")
    arrays = Narrowed(broadcaster, {"body"}).newest().arrays
    assert [name for name in arrays if arrays[name].dtype == BF16] == ["body"]


def test_what_is_bfloat16_already_is_copied():
    broadcaster = Broadcaster()
    broadcaster.publish({"w": np.array([1, 2, 3], np.uint16).view(BF16)}, "h")
    assert Narrowed(broadcaster).newest().arrays["w"].view(np.uint16).tolist() == [1, 2, 3]


def test_one_rounds_for_all_processes_of_a_host(tmp_path):
    broadcaster, arrays = Broadcaster(), policy()
    view = Narrowed(broadcaster)
    with SharedPublisher("rounded", folder=tmp_path) as publisher, SharedSubscriber("rounded", folder=tmp_path) as subscriber:
        for version in range(5):
            broadcaster.publish(arrays, "h")
            arrays = moved(arrays)
            if version % 2 == 0:  # some are skipped
                weights = view.newest(publisher.version)
                publisher.publish(weights.arrays, weights.spec_hash, version=weights.version)
                got = subscriber.newest()
                assert got.version == version
                assert got.arrays["body"].tobytes() == weights.arrays["body"].tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats_stay_what_they_are(dtype):
    broadcaster = Broadcaster()
    broadcaster.publish({"w": np.array([0.1], dtype)}, "h")
    assert Narrowed(broadcaster).newest().arrays["w"].dtype == dtype
