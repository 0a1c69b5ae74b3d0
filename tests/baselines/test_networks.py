from __future__ import annotations

import torch

from baselines.networks import Encoder, Ensemble, shifted, spec_hash


def test_a_spec_hash_is_of_names_shapes_and_dtypes_and_of_nothing_else():
    net = Ensemble(1, (3, 8, 2), normalise=False)
    encoder = Encoder({"a": (64, 64)}, features=5)
    own = spec_hash({"actor": net}, encoder)
    assert len(own) == 64
    assert own == spec_hash({"actor": Ensemble(1, (3, 8, 2), normalise=False)}, Encoder({"a": (64, 64)}, features=5))
    double = Encoder({"a": (64, 64)}, features=5).double()
    others = [
        spec_hash({"critic": net}, encoder), spec_hash({"actor": Ensemble(1, (3, 9, 2), False)}, encoder),
        spec_hash({"actor": net}, None), spec_hash({"actor": net}, Encoder({"a": (64, 64)}, features=6)),
        spec_hash({"actor": net}, double), spec_hash({"actor": Ensemble(1, (4, 8, 2), False)}, encoder),
    ]  # fmt: skip
    assert len({own, *others}) == 1 + len(others)


def test_pictures_are_shifted_whole_and_by_at_most_the_pad():
    picture = torch.arange(12 * 12 * 3, dtype=torch.uint8).reshape(1, 12, 12, 3).expand(50, -1, -1, -1)
    moved = shifted(picture, torch.Generator().manual_seed(0), pad=2)
    assert moved.shape == picture.shape
    offsets = set()
    for one in moved:
        fits = [
            (dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)
            if torch.equal(one[2:-2, 2:-2], picture[0, 2 + dy : 10 + dy, 2 + dx : 10 + dx])
        ]  # fmt: skip
        assert fits
        offsets.update(fits)
    assert len(offsets) > 10


def test_the_encoder_sees_every_camera():
    encoder = Encoder({"a": (64, 64), "b": (64, 64)}, features=5)
    black = {name: torch.zeros(1, 64, 64, 3, dtype=torch.uint8) for name in "ab"}
    for name in "ab":
        other = black | {name: torch.full((1, 64, 64, 3), 200, dtype=torch.uint8)}
        assert not torch.equal(encoder(black), encoder(other))
