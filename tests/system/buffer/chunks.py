"""Chunks to store: with pictures, with every kind of column, and any that hypothesis makes."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy_training import chunk

from user_gym.core import Chunk

SIDE = 40  # pictures of 40 x 40 x 3 bytes are heavy: 4800


def pictures(rows, seed=0, noise=False):
    """A bright square that wanders over a still, coloured ground; every camera has a seed."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    made = np.repeat(ground[None], rows, 0)
    for row in range(rows):
        made[row, row : row + 6, row : row + 6] = 250
    return rng.integers(0, 256, made.shape, dtype=np.uint8) if noise else made


def filmed(steps=10, base=0, **changes) -> Chunk:
    """Two cameras, one of them noisy, and a state."""
    rows = steps + 1
    state = np.arange(base, base + rows, dtype=np.float32)[:, None] * np.ones(5, np.float32)
    obs = {"wrist": pictures(rows, 1), "state": state, "side": pictures(rows, 2, noise=True)}
    return chunk(steps, **{"base": base, "obs": obs, "reward_source": ("rule",) * (steps - 1) + ("human",)} | changes)


def equal(one: Chunk, other: Chunk) -> None:
    """Assert that two chunks are the same, bit for bit and in the same order of columns."""
    for name in Chunk.__slots__:
        a, b = getattr(one, name), getattr(other, name)
        if name in ("obs", "extra"):
            assert list(a) == list(b)
            for key in a:
                same(a[key], b[key])
        elif isinstance(a, np.ndarray):
            same(a, b)
        elif name == "reward_source":
            assert tuple(a) == b
        elif isinstance(a, float):
            assert np.float64(a).tobytes() == np.float64(b).tobytes()
        else:
            assert a == b
            assert type(b) in (int, str)


def same(a, b) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
DTYPES = hnp.scalar_dtypes() | st.sampled_from(["S3", "U2", ">f4", "float16", "bool", "c8"]).map(np.dtype)


def columns(rows: int, dtypes=DTYPES):
    """Named columns of any kind and size, some of them heavy."""
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4) | st.sampled_from(
        [(40, 40, 3), (4096,), (3, 700)]
    )
    column = st.tuples(dtypes, shapes, st.integers(0, 3), st.integers(0, 2**32 - 1)).map(lambda args: _column(rows, *args))
    return st.dictionaries(TEXT, column, max_size=3)


def _column(rows, dtype, shape, kind, seed):
    rng = np.random.default_rng(seed)
    count = rows * int(np.prod(shape))
    row = rng.integers(0, 256, count * dtype.itemsize, dtype=np.uint8) if kind else np.zeros(count * dtype.itemsize, np.uint8)
    if dtype.kind == "b":
        row &= 1
    if dtype.kind == "U":  # bytes that are no characters would not survive being looked at
        row = np.zeros_like(row)
    if dtype.itemsize == 0:
        return np.empty((rows, *shape), dtype)
    column = row.view(dtype).reshape(rows, *shape)
    if kind == 2:
        return np.asfortranarray(column)
    return np.repeat(column, 2, axis=0)[::2] if kind == 3 else column


@st.composite
def any_chunks(draw):
    steps = draw(st.integers(1, 5))
    whole = st.sampled_from(["uint8", "int64", "bool", ">u2", "m8[us]"]).map(np.dtype)
    obs = draw(columns(steps + 1, whole)) or {"state": np.zeros((steps + 1, 1), np.float32)}
    width = draw(st.sampled_from([0, 1, 7, 1200]))
    action = np.random.default_rng(steps).normal(size=(steps, width)).astype(np.float32)
    times = np.cumsum(np.full(steps, draw(st.floats(0.001, 9.0))))
    texts = {name: draw(TEXT) for name in ("source", "robot", "task", "env_id", "spec_hash", "clock")}
    return chunk(
        steps,
        obs=obs,
        action=action,
        ordered=action[::-1],
        time=times,
        reward_source=tuple(draw(st.lists(TEXT, min_size=steps, max_size=steps))),
        extra=draw(columns(steps)),
        episode=draw(st.integers(0, 2**63 - 1)),
        sequence=draw(st.integers(0, 2**63 - 1)),
        kind=draw(st.sampled_from(["policy", "demo"])),
        wall_time=draw(st.floats()),
        clock_offset=draw(st.floats()),
        **texts,
    )
