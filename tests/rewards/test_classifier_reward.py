"""A network as a reward: what it says, what its file may hold, and what it refuses."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from user_gym.core import RewardSignal
from user_gym.errors import BadOption, WrongRun
from user_gym.rewards import Classifier, Network

RULE = RewardSignal(0.0, False, "rule")


def network(**changes):
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    made = {
        "mean": draw(3), "scale": np.abs(draw(3)) + 0.5, "weights": (draw(2, 3, 4), draw(2, 4, 1)),
        "biases": (draw(2, 1, 4), draw(2, 1, 1)), "threshold": 0.5, "told": {"task": "T"},
    }  # fmt: skip
    return Network(**(made | changes))


def test_the_most_doubtful_network_counts() -> None:
    both = network()
    states = np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
    alone = []
    for i in range(2):
        weights, biases = (tuple(array[i : i + 1] for array in arrays) for arrays in (both.weights, both.biases))
        one = replace(both, weights=weights, biases=biases)
        x = np.maximum((states - both.mean) / both.scale @ weights[0][0] + biases[0][0], 0)
        logit = (x @ weights[1][0] + biases[1][0])[:, 0]
        assert one.score(states) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
        alone.append(one.score(states))
    assert np.array_equal(both.score(states), np.minimum(*alone))
    assert not np.array_equal(both.score(states), alone[0])
    assert both.score(states[7]) == pytest.approx(both.score(states)[7], abs=1e-6)  # one state and a batch
    assert np.isfinite(both.score(np.full(3, 1e30, np.float32)))


def test_above_the_threshold_is_success() -> None:
    state = np.zeros(3, np.float32)
    score = float(network().score(state))
    for threshold, success in ((score - 1e-6, True), (score + 1e-6, False)):
        said = Classifier(network(threshold=threshold))({"state": state}, None, None, RULE)
        assert said == RewardSignal(float(success), success, "classifier", False)


def test_it_is_the_same_after_the_file(tmp_path) -> None:
    path, made = tmp_path / "reward.npz", network()
    made.save(path)
    states = np.random.default_rng(2).standard_normal((9, 3)).astype(np.float32)
    kept = Classifier.load(path).network
    assert np.array_equal(kept.score(states), made.score(states))
    assert (kept.threshold, kept.told) == (0.5, {"task": "T"})


@pytest.mark.parametrize("obs", [{"state": np.zeros(4, np.float32)}, {"wrist": np.zeros((2, 2, 3), np.uint8)}])
def test_another_observation_is_refused(obs) -> None:
    with pytest.raises(BadOption, match=r"\(3,\)"):
        Classifier(network())(obs, None, None, RULE)


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": np.zeros(3, np.float32)}, {"mean": np.full(3, np.nan, np.float32)}, {"threshold": 1.5},
        {"mean": np.zeros(3, complex)}, {"mean": np.zeros(3, "datetime64[s]")},
        {"threshold": float("nan")}, {"weights": ()}, {"mean": np.zeros(4, np.float32)},
        {"biases": (np.zeros((2, 1, 4), np.float32), np.zeros((3, 1, 1), np.float32))},
        {"biases": (np.zeros((2, 1, 4), np.float32), np.zeros((2, 1, 2), np.float32))},
        {"biases": (np.zeros((2, 4), np.float32), np.zeros((2, 1), np.float32))},
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_together_is_refused(changes) -> None:
    with pytest.raises(BadOption):
        network(**changes)


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "text",
        "cut",
        "pickle",
        "array",
        "later",
        "partial",
        "method",
        "encrypted",
        "shape",
        "deep",
        "list",
        "complex",
    ],
)
def test_a_file_that_holds_none_is_refused_by_name(tmp_path, kind) -> None:
    path = tmp_path / "reward.npz"
    network().save(path)
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "text":
        path.write_text("no network")
    elif kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"mean": 0}))
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "later":
        np.savez(path, format=np.int64(2))
    elif kind == "partial":
        np.savez(path, format=np.int64(1), mean=np.zeros(3))
    elif kind in ("method", "encrypted"):  # a byte of each entry in the directory at the end
        at, value = (10, 99) if kind == "method" else (8, 1)
        damaged = bytearray(whole)
        for entry in re.finditer(b"PK\x01\x02", whole):
            damaged[entry.start() + at] = value
        path.write_bytes(damaged)
    else:
        arrays = dict(np.load(path))
        arrays |= {
            "shape": {"format": np.zeros((0,), np.int64)},
            "deep": {"told": np.frombuffer(b"[" * 100_000, np.uint8)},
            "list": {"told": np.frombuffer(b"[1]", np.uint8)},
            "complex": {"mean": np.zeros(3, complex)},
        }[kind]
        np.savez(path, **arrays)
    with pytest.raises(WrongRun, match=r"reward\.npz.*reward_classifier") as refused:
        Classifier.load(path)
    assert "pickle" not in str(refused.value)
