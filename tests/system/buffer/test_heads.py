"""Heads that are kept: what they take is what is counted."""

import gc
import tracemalloc

import numpy as np
import pytest
from stores import block, pictured

from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.entries import ABSENT, Entry
from user_gym.system.buffer.head import Head
from user_gym.system.buffer.heads import Heads
from user_gym.testing.storage_suite import steps

BLOCKS = 400


class Source:
    """The same prefix for each block, in bytes of its own; without files."""

    files = None

    def __init__(self, block):
        self.prefix = block.data[: block.head.prefix_bytes]

    def read_prefix(self, entry):
        return Head.parse(bytes(bytearray(self.prefix)))


def entries(count):
    return [Entry(1000 * number, 1, 0, 0, 1, ABSENT, 0) for number in range(count)]


def state(n):
    rows = np.random.default_rng(0).normal(size=(n + 1, 40)).astype(np.float32)
    return Encoder().encode(steps(n, obs={"state": rows}))


@pytest.mark.parametrize(
    ("made", "read"),
    [
        (lambda: pictured(n=1), "opened"),
        (lambda: pictured(n=10), "opened"),
        (lambda: pictured(n=50), "opened"),
        (lambda: pictured(n=10), "head"),
        (lambda: block(n=10), "head"),
        (lambda: block(n=200), "head"),  # pressed to a tenth
        (lambda: state(20), "head"),
    ],
)
def test_what_is_counted_is_what_is_taken(made, read):
    heads = Heads(Source(made()), 1 << 40)
    known, new = entries(2 * BLOCKS)[:BLOCKS], entries(2 * BLOCKS)[BLOCKS:]
    for entry in known:  # layouts, tables of the dictionaries
        getattr(heads, read)(entry)
    gc.collect()
    counted = heads.nbytes
    tracemalloc.start()
    try:
        for entry in new:
            getattr(heads, read)(entry)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.8 * taken < heads.nbytes - counted < 1.5 * taken


def test_of_blocks_without_pictures_nothing_stays_that_nobody_asks_for():
    heads = Heads(Source(block()), 1 << 40)
    for entry in entries(50):
        heads.read(entry)
    assert heads.nbytes == 0


def test_of_a_block_with_pictures_stays_what_they_need():
    heads = Heads(Source(pictured()), 1 << 40)
    (entry,) = entries(1)
    heads.read(entry)
    kept = heads.opened(entry)
    assert heads.nbytes > 0
    assert heads.opened(entry) is kept
