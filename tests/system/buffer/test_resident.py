"""Light columns in memory: what they take."""

import numpy as np
import pytest
from stores import block

from user_gym.system.buffer.kinds import Kinds
from user_gym.system.buffer.resident import Resident

EVER = 5_000_000  # transitions that left before it was opened


@pytest.mark.parametrize("way", ["add", "skip", "drop"])
def test_transitions_that_left_before_take_no_memory(way):
    head, held = block().head, Resident()
    kind = Kinds().of(head.layout)
    if way == "skip":
        held.skip(EVER)
    elif way == "drop":
        held.add(0, kind, {key: head.light(key) for key in kind.light}, False, None)
        held.drop_before(head.steps)
    held.add(EVER, kind, {key: head.light(key) for key in kind.light}, False, None)
    assert held.nbytes < 1_000_000
    assert held.end == EVER + head.steps
    places = held.positions(EVER + np.arange(head.steps), kind.number)
    assert places is not None
    rewards = np.empty(head.steps, np.float32)
    held.sets[kind.number].gather(places, {"reward": rewards})
    assert rewards.tolist() == head.light("reward").tolist()
    assert held.positions(np.array([EVER - 1]), kind.number) is None
    assert held.positions(np.array([0]), kind.number) is None


def test_a_buffer_that_keeps_its_size_keeps_its_arrays():
    """What is made anew again and again leaves holes, and memory grows though nothing more is held."""
    head, held, kept = block(n=50).head, Resident(), 5_000
    kind = Kinds().of(head.layout)
    light = {key: head.light(key) for key in kind.light}
    at = []
    for first in range(0, 20 * kept, head.steps):
        light["reward"] = np.arange(first, first + head.steps, dtype=np.float32)
        held.add(first, kind, light, False, None)
        held.drop_before(max(0, first - kept))
        assert held.positions(np.array([held.end]), 0) is None
        at.append([held._places, *held.sets[0]._columns.values()])
    assert all(now is then for arrays in at[len(at) // 4 :] for now, then in zip(arrays, at[-1], strict=True))
    assert held.nbytes < 4 * kept * (8 + sum(column.nbytes for column in head.layout.light.values()))
    numbers = np.arange(held.end - kept, held.end)
    rewards = np.empty(kept, np.float32)
    places = held.positions(numbers, 0)
    assert places is not None
    held.sets[0].gather(places, {"reward": rewards})
    assert rewards.tolist() == numbers.tolist()


def test_rows_that_left_go_though_they_are_not_spread_evenly():
    """A block that does not follow the one before has a row more: half of the transitions are not half of the rows."""
    heads = [block(n=2, follows=True).head, block(n=2).head]
    held, kept, most = Resident(), 5_000, 0
    kind = Kinds().of(heads[0].layout)
    light = [{key: head.light(key) for key in kind.light} for head in heads]
    for first in range(0, 20 * kept, 2):
        lies_alone = first // kept % 2
        columns = light[lies_alone] | {"reward": np.arange(first, first + 2, dtype=np.float32)}
        held.add(first, kind, columns, not lies_alone, first - 1 if first else None)
        held.drop_before(max(0, first - kept))
        most = max(most, held.sets[0].end - held.sets[0].begin)
    assert 2 * kept < most < 3 * kept
    numbers = np.arange(held.end - kept, held.end)
    rewards = np.empty(kept, np.float32)
    places = held.positions(numbers, 0)
    assert places is not None
    held.sets[0].gather(places, {"reward": rewards})
    assert rewards.tolist() == numbers.tolist()


def test_who_is_late_keeps_the_room_for_what_comes():
    head, held, live = block(n=50).head, Resident(), 6_000
    kind = Kinds().of(head.layout)
    light = {key: head.light(key) for key in kind.light}
    for first in range(0, 2 * live, head.steps):
        held.add(first, kind, light, False, None)
    before = [held._places, *held.sets[0]._columns.values()]
    held.drop_before(2 * live - 100, coming=live - 100)
    for first in range(2 * live, 3 * live, head.steps):
        held.add(first, kind, light, False, None)
    assert all(now is then for now, then in zip([held._places, *held.sets[0]._columns.values()], before, strict=True))


def test_memory_is_given_back_when_most_of_it_left():
    head, held = block(n=50).head, Resident()
    kind = Kinds().of(head.layout)
    for first in range(0, 50_000, head.steps):
        held.add(first, kind, {key: head.light(key) for key in kind.light}, False, None)
    most = held.nbytes, len(held._places)
    held.drop_before(45_000)
    assert held.nbytes < most[0] / 4
    assert len(held._places) < most[1] / 4
    rewards = np.empty(50, np.float32)
    places = held.positions(np.arange(49_950, 50_000), 0)
    assert places is not None
    held.sets[0].gather(places, {"reward": rewards})
    assert rewards.tolist() == head.light("reward").tolist()
