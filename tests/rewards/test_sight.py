"""What a classifier sees of pictures: as torch sees it, kept in its file, and refused where it does not fit."""

from dataclasses import replace

import numpy as np
import pytest

from user_gym.core import RewardSignal
from user_gym.errors import BadOption, WrongRun
from user_gym.rewards import Classifier, Network
from user_gym.rewards.sight import Eye, Sight

RULE = RewardSignal(0.0, False, "rule")
SIDE = 33


def eye(seed=0, **changes):
    """Two convolutions, 33 -> 15 -> 7, and three features."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    made = {
        "shape": (SIDE, SIDE), "kernels": (draw(4, 3, 5, 5), draw(2, 4, 3, 3)), "biases": (draw(4), draw(2)),
        "strides": np.array([2, 2]), "weight": draw(3, 98), "bias": draw(3), "gain": draw(3), "shift": draw(3),
    }  # fmt: skip
    return Eye(**(made | changes))


def network(**changes):
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    made = {
        "mean": draw(2), "scale": np.ones(2, np.float32), "weights": (draw(2, 8, 4), draw(2, 4, 1)),
        "biases": (draw(2, 1, 4), draw(2, 1, 1)), "threshold": 0.5,
        "sights": tuple(Sight({"a/b": eye(2 * i), "side": eye(2 * i + 1)}) for i in range(2)),
    }  # fmt: skip
    return Network(**(made | changes))


def observed(n=5):
    rng = np.random.default_rng(2)
    pictures = {name: rng.integers(0, 256, (n, SIDE, SIDE, 3), np.uint8) for name in ("a/b", "side")}
    return {"state": rng.standard_normal((n, 2)).astype(np.float32), **pictures}


def test_it_sees_what_an_encoder_of_torch_sees() -> None:
    torch = pytest.importorskip("torch")
    from baselines.networks import Encoder
    from baselines.reward_classifier import sight

    torch.manual_seed(0)
    shapes = {"wrist": (64, 64), "side": (48, 64)}
    encoder = Encoder(shapes)
    for value in encoder.parameters():  # none of them where it begins: ones and zeros hide mistakes
        torch.nn.init.normal_(value, 0.1, 0.3)
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (4, *shape, 3), np.uint8) for name, shape in shapes.items()}
    with torch.no_grad():
        seen = encoder({name: torch.from_numpy(of) for name, of in pictures.items()}).numpy()
    np.testing.assert_allclose(sight(encoder, shapes)(pictures), seen, atol=2e-4)
    assert seen.std() > 0.1


def test_one_observation_and_a_batch_are_scored_alike_by_what_is_seen() -> None:
    made, obs = network(), observed()
    together = made.score(obs["state"], obs)
    alone = [made.score(obs["state"][i], {name: of[i] for name, of in obs.items()}) for i in range(5)]
    assert together == pytest.approx(np.array(alone), abs=1e-6)
    black = obs | {"a/b": np.zeros_like(obs["a/b"])}
    assert not np.allclose(made.score(obs["state"], black), together)


def test_it_sees_the_same_after_the_file(tmp_path) -> None:
    made, obs = network(), observed()
    made.save(tmp_path / "reward.npz")
    kept = Classifier.load(tmp_path / "reward.npz").network
    assert np.array_equal(kept.score(obs["state"], obs), made.score(obs["state"], obs))
    assert kept.pictures == {"a/b": (SIDE, SIDE, 3), "side": (SIDE, SIDE, 3)}


def test_pictures_that_it_does_not_know_are_refused() -> None:
    judge, obs = Classifier(network()), {name: of[0] for name, of in observed().items()}
    assert judge(obs, None, None, RULE).source == "classifier"
    for changes, word in (
        ({"side": np.zeros((64, 64, 3), np.uint8)}, r"uint8 'side' of shape \(64, 64, 3\)"),
        ({"side": obs["side"].astype(np.float32)}, "float32 'side'"),
    ):
        with pytest.raises(BadOption, match=rf"{word}.*allowed: uint8 'side' of shape \(33, 33, 3\).*--obs pixels"):
            judge(obs | changes, None, None, RULE)
    with pytest.raises(BadOption, match=r"\['state'\].*allowed: uint8 'a/b'"):
        judge({"state": obs["state"]}, None, None, RULE)


@pytest.mark.parametrize(
    "changes",
    [
        {"kernels": ()}, {"shape": (8, 8)}, {"strides": np.array([2])}, {"strides": np.array([2, 0])},
        {"weight": np.zeros((3, 97), np.float32)}, {"gain": np.zeros(2, np.float32)}, {"bias": np.full(3, np.nan, np.float32)},
        {"biases": (np.zeros((4, 1), np.float32), np.zeros(2, np.float32))}, {"shift": np.zeros(3, complex)},
        {"kernels": (np.zeros((4, 3, 5, 4), np.float32), np.zeros((2, 4, 3, 3), np.float32))},
    ],
)  # fmt: skip
def test_an_eye_that_does_not_fit_together_is_refused(changes) -> None:
    with pytest.raises(BadOption, match="eye"):
        eye(**changes)


def test_each_network_has_a_sight_of_the_same_pictures() -> None:
    one, other = Sight({"a": eye()}), Sight({"b": eye()})
    for sights in ((one,), (one, other)):
        with pytest.raises(BadOption, match="sights"):
            network(sights=sights)
    with pytest.raises(BadOption, match="network"):
        network(sights=(one, one))  # narrower than the first layer


def test_a_file_that_lacks_a_part_of_a_sight_is_refused(tmp_path) -> None:
    path = tmp_path / "reward.npz"
    network().save(path)
    arrays = dict(np.load(path))
    for name in ("sight/1/side/gain", "sight/0/a/b/kernel0"):
        np.savez(path, **{kept: array for kept, array in arrays.items() if kept != name})
        with pytest.raises(WrongRun, match="holds no reward classifier"):
            Classifier.load(path)
    replaced = replace(network(), threshold=0.7)
    assert replaced.sights
