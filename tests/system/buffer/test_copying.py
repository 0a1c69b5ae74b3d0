"""Blocks that go into another store: as they are, once, and whole without those before them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chunks import equal
from pictures import episode
from stores import block, flip, pictured, segments

from user_gym.errors import BadOption
from user_gym.system import Buffer
from user_gym.system.buffer import episodes
from user_gym.system.buffer.block import read_block
from user_gym.system.buffer.copied_labels import copy_labels
from user_gym.system.buffer.copying import copy
from user_gym.system.buffer.renaming import renamed
from user_gym.system.buffer.store import Store


def made(folder: Path, episodes: int = 2, source: str = "a", base: int = 0) -> Path:
    with Buffer.open(folder, durability="kill") as buffer:
        for number in range(episodes):
            for chunk in episode(9, number, first=base + 100 * number, chunks=3, source=source, noisy=True):
                buffer.append(chunk)
    return folder


def chunks(folder: Path) -> list:
    with Store.open(folder, read_only=True) as store:
        return [chunk for found in episodes.episodes(store) for chunk in episodes.chunks(store, found)]


def test_a_copy_is_equal_byte_by_byte_and_repeating_it_adds_nothing(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Store.open(tmp_path / "one", read_only=True) as one, Store.open(tmp_path / "two") as two:
        told = []
        assert copy(one, two, progress=lambda *done: told.append(done)).blocks == 6
        assert told[-1][0] == told[-1][1] > 0
        assert (again := copy(one, two)).blocks == 0
        assert again.known == 6
        assert two.verify().sound
        for entry, other in zip(map(one.entries().entry, range(6)), map(two.entries().entry, range(6)), strict=True):
            assert one.read_block(entry).data == two.read_block(other).data


def test_a_part_keeps_the_observation_that_was_stored_before_it(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Store.open(tmp_path / "one", read_only=True) as one, Store.open(tmp_path / "two") as two:
        wanted = episodes.chosen(one, "reward BETWEEN 4 AND 6")  # the second and third chunk of the first episode
        assert len(wanted) == 2
        copied = copy(one, two, wanted)
        assert (copied.blocks, copied.recoded) == (2, 1)
        assert two.stats()["transitions"] == 6
        assert copy(one, two, wanted).known == 2
    for before, after in zip(chunks(tmp_path / "one")[1:3], chunks(tmp_path / "two"), strict=True):
        equal(before, after)


def test_what_stopped_in_the_middle_goes_on(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Store.open(tmp_path / "one", read_only=True) as one:
        with Store.open(tmp_path / "two") as two:
            copy(one, two, set(one.entries().first[:2].tolist()))
        with Store.open(tmp_path / "two") as two:
            assert (rest := copy(one, two)).blocks == 4
            assert rest.recoded == 0
    for before, after in zip(chunks(tmp_path / "one"), chunks(tmp_path / "two"), strict=True):
        equal(before, after)


def test_two_runs_with_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "other", base=5000)
    with (
        Store.open(tmp_path / "one", read_only=True) as one,
        Store.open(tmp_path / "other", read_only=True) as other,
        Store.open(tmp_path / "two") as two,
    ):
        copy(one, two)
        with pytest.raises(BadOption, match=r"chunk 0 of episode 0 of source 'a', from .*--names"):
            copy(other, two)
        assert copy(other, two, name="second").blocks == 6
        assert copy(other, two, name="second").known == 6
        assert len(two) == 36
        assert two.verify().sound
    assert {chunk.source for chunk in chunks(tmp_path / "two")} == {"a", "second/a"}


def test_a_new_source_changes_nothing_else() -> None:
    given = pictured(7)
    for source in ("b", "x" * 200, "ünïcode/1"):
        found = renamed(given, source)
        equal(replace(given.chunk(), source=source), found.chunk())
        assert read_block(found.data).data == found.data
    assert renamed(renamed(given, "b"), given.head.source).data == given.data
    assert renamed(block(sequence=1, follows=True), "b").head.follows


def test_a_damaged_block_stays_behind_and_is_named(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Store.open(tmp_path / "one", read_only=True) as one, Store.open(tmp_path / "two") as two:
        entry = one.entries().entry(3)
        flip(segments(tmp_path / "one")[0], entry.offset + entry.nbytes - 3000)
        copied = copy(one, two)
        assert (copied.blocks, [found.first for found in copied.bad]) == (5, [entry.first])
        assert two.verify().sound


def test_what_was_pruned_does_not_come_back(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Store.open(tmp_path / "one", read_only=True) as one, Store.open(tmp_path / "two") as two:
        copy(one, two)
        two.prune("episode = 0")
        assert copy(one, two).blocks == 0
        assert len(two) == 9


def test_blocks_that_are_kept_beside_come_along(tmp_path: Path) -> None:
    with Store.open(tmp_path / "one") as one, Store.open(tmp_path / "two") as two:
        one.append([block(0), block(1), block(0, group="raw"), block(1, group="raw")])
        assert copy(one, two, wanted={int(one.entries().first[1])}).blocks == 2
        with two.lookup.reading() as catalog:
            assert catalog.database.execute("SELECT episode FROM raw").fetchall() == [(1,)]


def test_an_orphan_loses_its_first_step_alone(tmp_path: Path) -> None:
    made(tmp_path / "one", episodes=1)
    before = chunks(tmp_path / "one")
    with Store.open(tmp_path / "one") as one:
        one.prune("sequence = 0")
    after = chunks(tmp_path / "one")
    assert [len(chunk) for chunk in after] == [2, 3]
    np.testing.assert_array_equal(after[0].reward, before[1].reward[1:])
    np.testing.assert_array_equal(after[0].obs["camera"], before[1].obs["camera"][1:])


def test_labels_follow_their_chunks_once(tmp_path: Path) -> None:
    made(tmp_path / "one")
    with Buffer.open(tmp_path / "one", durability="kill") as one:
        one.view("episode = 1").relabel("quality", 0.5, "a person")
    with Store.open(tmp_path / "one", read_only=True) as one, Store.open(tmp_path / "two") as two:
        copy(one, two, name="run")
        assert copy_labels(tmp_path / "one", tmp_path / "two", "run") == 3
        assert copy_labels(tmp_path / "one", tmp_path / "two", "run") == 0
    with Buffer.open(tmp_path / "two", read_only=True) as two:
        assert len(two.view("quality = 0.5")) == 9
        assert [version.source for version in two.labels.versions()] == ["a person"]


def test_a_segment_that_grew_is_verified_to_its_end(tmp_path: Path) -> None:
    with Store.open(tmp_path / "one") as one:
        one.append([block(0)])
        assert one.verify().sound
        one.append([block(1)])
        assert (report := one.verify()).sound
        assert report.blocks == 2
