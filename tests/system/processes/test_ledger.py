"""The counters of a run, without a process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from running import plan_words
from toy_training import chunk

from user_gym.system import Buffer
from user_gym.system.buffer.block import read_block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.processes import from_words
from user_gym.system.processes.ledger import Ledger


@pytest.mark.parametrize("damage", [b"", b'{"ever": 3, "rob', b"\xff\xfe", b"[1, 2]"])
def test_damaged_counters_are_said_and_counted_anew_in_the_buffer(tmp_path, capfd, damage):
    path = tmp_path / "owner.json"
    path.write_bytes(damage)
    with Buffer.open(":memory:") as buffer:
        buffer.append(chunk(3, source="left", episode=4))
        ledger = Ledger(from_words(plan_words()), path)
        ledger.load(buffer)
        assert (ledger.steps, ledger.robots["left"].next_episode, ledger.version) == (3, 5, 0)
    assert "owner.json is damaged" in capfd.readouterr().err
    assert json.loads(path.read_text())["robots"]["left"]["steps"] == 3


def over(n):
    return np.arange(n) == n - 1


def put(buffer, ledger, made):
    """As the owner does with a block of a collector."""
    block = read_block(Encoder().encode(made).data)
    ledger.stored(block, buffer.append(block))


def test_an_episode_succeeds_by_any_of_its_chunks_and_by_none_of_another(tmp_path):
    with Buffer.open(":memory:") as buffer:
        ledger = Ledger(from_words(plan_words()), tmp_path / "owner.json")
        ledger.load(buffer)
        left = ledger.robots["left"]
        put(buffer, ledger, chunk(3, source="left", episode=0, success=over(3)))
        put(buffer, ledger, chunk(3, source="left", episode=0, sequence=1, base=3, truncated=over(3)))
        assert (left.episodes, left.success) == (1, 1)  # said in the first chunk, over in the second
        put(buffer, ledger, chunk(3, source="left", episode=1, success=over(3)))  # cut: its end never came
        put(buffer, ledger, chunk(3, source="left", episode=2, truncated=over(3)))
        assert (left.episodes, left.success) == (2, 1)


def test_a_learner_that_lost_updates_is_counted_lower_and_its_versions_never(tmp_path):
    ledger = Ledger(from_words(plan_words(updates_per_step=1.0, learning_starts=4, tolerance=2)), tmp_path / "owner.json")
    with Buffer.open(":memory:") as buffer:
        ledger.load(buffer)
        put(buffer, ledger, chunk(9, source="left"))
        assert ledger.permission() == {"allowed": 7, "target": 5, "inserted": 9, "closed": False}
        ledger.learner(6, 6)
        assert ledger.updates == 6
        ledger.learner(2, 3)  # another one, from a checkpoint
        assert (ledger.updates, ledger.version) == (2, 6)
        ledger.write()
        again = Ledger(ledger.plan, tmp_path / "owner.json")
        again.load(buffer)
        assert (again.updates, again.version, again.steps) == (2, 6, 9)


def test_robots_share_the_room_and_one_less_than_the_run_needs_is_under_way(tmp_path):
    ledger = Ledger(from_words(plan_words(steps=100, tolerance=1000, updates_per_step=1.0)), tmp_path / "owner.json")
    assert ledger.room(1) == {"room": 99, "enough": False}
    assert ledger.room(3) == {"room": 33, "enough": False}
    assert ledger.room(0) == {"room": 99, "enough": False}


def test_a_run_that_is_given_more_steps_wants_its_robots_again(tmp_path):
    with Buffer.open(":memory:") as buffer:
        first = Ledger(from_words(plan_words(steps=3)), tmp_path / "owner.json")
        first.load(buffer)
        put(buffer, first, chunk(3, source="left"))
        for name in ("left", "right"):
            first.end(name)
        assert first.closed
        for steps, closed in ((3, True), (4, False)):
            ledger = Ledger(from_words(plan_words(steps=steps)), tmp_path / "owner.json")
            ledger.load(buffer)
            assert ledger.closed is closed
        ledger._insert(1)
        assert not ledger.closed  # enough, and both robots may still say so
