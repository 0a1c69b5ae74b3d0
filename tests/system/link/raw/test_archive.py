"""Raw episodes on a disk: what is bounded, what survives, and what is said of what is not there."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from streams import SOURCE, blocks, fill, number_of

from user_gym.errors import BadBlock, BadOption, Busy, Closed, Gone, NoSpace, UnknownName, Unwritable
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.link.edge import Spool
from user_gym.system.link.raw import Archive, archive


@pytest.fixture
def kept(tmp_path):
    with Archive.open(tmp_path / "raw", spare_bytes=0) as made:
        yield made


def numbers(kept, episode):
    return [number_of(picture) for picture in kept.stream(SOURCE, episode, "wrist").columns["image"]]


def test_what_was_recorded_is_read_as_it_was(kept):
    fill(kept, 3)
    stream = kept.stream(SOURCE, 3, "wrist")
    assert numbers(kept, 3) == list(range(20))
    np.testing.assert_allclose(stream.time, np.arange(20) / 30)
    assert kept.episodes() == kept.episodes(SOURCE)
    (one,) = kept.episodes()
    assert one[:2] == (SOURCE, 3)
    assert one.whole
    assert kept.nbytes == one.nbytes == os.path.getsize(kept.folder / "e1" / "arm" / "00000003.segment")


def test_samples_are_joined_with_the_steps_of_the_training_group_by_the_robots_clock(kept):
    fill(kept, 0)
    stream = kept.stream(SOURCE, 0, "wrist")
    assert stream.at([0.1, 0.2, 0.35]).tolist() == [3, 6, 10]
    assert stream.at([-0.1]).tolist() == [-1]


def test_a_killed_writer_leaves_all_blocks_that_were_appended(tmp_path, kept):
    made = blocks(5)
    for block in made[:3]:
        kept.append(block)
    shutil.copytree(kept.folder, tmp_path / "after")  # as a kill leaves it: with half a block at its end
    part = tmp_path / "after" / "e1" / "arm" / "00000005.part"
    with part.open("ab") as file:
        file.write(made[3].data[: len(made[3].data) // 2 + 13])
    with Archive.open(tmp_path / "after") as after:
        assert not after.is_whole(SOURCE, 5)
        assert after.append(made[3])
        assert not after.append(made[0])
        after.settle()
        assert numbers(after, 5) == list(range(20))
        assert after.is_whole(SOURCE, 5)
    with Archive.open(tmp_path / "after", read_only=True) as later:
        assert numbers(later, 5) == list(range(20))


def test_an_episode_that_was_killed_before_its_first_block_is_none(tmp_path, kept):
    kept.append(blocks(5)[0])
    shutil.copytree(kept.folder, tmp_path / "after")
    part = tmp_path / "after" / "e1" / "arm" / "00000005.part"
    os.truncate(part, 64)
    with Archive.open(tmp_path / "after") as after:
        after.settle()
        assert after.episodes() == ()
    assert not part.exists()


def test_an_episode_that_begins_again_takes_the_place_of_the_one_that_was_killed(kept):
    kept.append(blocks(5)[0])
    kept.begin(SOURCE, 5)
    fill(kept, 5, count=1)
    assert numbers(kept, 5) == list(range(5))


def test_above_the_quota_the_oldest_episodes_leave_whole_and_nothing_else_does(tmp_path):
    size = sum(len(block.data) for block in blocks(0)) + 64
    with Archive.open(tmp_path / "raw", most_bytes=3 * size, spare_bytes=0) as kept:
        for episode in range(7):
            fill(kept, episode)
        assert [one.episode for one in kept.episodes()] == [4, 5, 6]
        assert kept.nbytes <= 3 * size
        assert sorted(path.stem for path in (kept.folder / "e1" / "arm").iterdir()) == ["00000004", "00000005", "00000006"]
    with Archive.open(tmp_path / "raw", most_bytes=3 * size, spare_bytes=0) as kept:  # and after a restart
        fill(kept, 7)
        assert [one.episode for one in kept.episodes()] == [5, 6, 7]


def test_on_a_disk_that_is_nearly_full_raw_episodes_leave_and_the_spool_stays(tmp_path, monkeypatch):
    from fleet import episode as training

    size = sum(len(block.data) for block in blocks(0)) + 64
    free = {"bytes": 10 * size}
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free["bytes"]))
    encoder = Encoder()
    with Spool.open(tmp_path / "spool", durability="kill") as spool, Archive.open(tmp_path / "raw", spare_bytes=size) as kept:
        for chunk in training("e1", "arm", 0):
            spool.append(encoder.encode(chunk))
        fill(kept, 0)
        fill(kept, 1)
        free["bytes"] = size  # what has to stay free: for the next block something has to leave
        with pytest.raises(NoSpace, match="stay so"):
            kept.append(blocks(2)[0])
        assert kept.episodes() == ()
        assert len(spool) == 3
        free["bytes"] = 10 * size
        fill(kept, 2)
        assert [one.episode for one in kept.episodes()] == [2]


def test_an_episode_that_is_larger_than_the_quota_is_refused_in_words(tmp_path):
    made = blocks(0)
    with Archive.open(tmp_path / "raw", most_bytes=2 * len(made[0].data), spare_bytes=0) as kept:
        kept.append(made[0])
        with pytest.raises(NoSpace, match="bytes more of episode 0 of e1/arm"):
            kept.append(made[1])
        assert numbers(kept, 0) == list(range(5))


def test_what_is_not_there_is_named_with_what_is(kept):
    with pytest.raises(UnknownName, match="known: none; nothing was recorded"):
        kept.places(SOURCE, 0)
    for episode in range(8):
        fill(kept, episode, count=1)
    with pytest.raises(UnknownName, match=r"unknown raw episode of e1/arm 9; known: 0 .. 7 \(8 of them\)"):
        kept.places(SOURCE, 9)
    with pytest.raises(Gone, match="no block 4"):
        kept.read(SOURCE, 0, 4)


def test_a_damaged_block_is_not_read_as_if_it_were_sound(kept):
    fill(kept, 0)
    (path,) = kept.folder.glob("*/*/*.segment")
    place = kept.places(SOURCE, 0)[1]
    with path.open("r+b") as file:
        file.seek(place.offset + place.nbytes - 200)
        file.write(b"\xff\x00\xff")
    with pytest.raises(BadBlock):
        kept.read(SOURCE, 0, 1)
    assert number_of(kept.read(SOURCE, 0, 0).chunk().extra["wrist.image"][0]) == 0


def test_one_process_writes_and_others_read(kept):
    fill(kept, 0)
    with pytest.raises(Busy):
        Archive.open(kept.folder)
    with Archive.open(kept.folder, read_only=True) as seen:
        assert numbers(seen, 0) == list(range(20))
        with pytest.raises(Unwritable, match="read_only"):
            seen.append(blocks(1)[0])
    with pytest.raises(Unwritable, match="no archive"):
        Archive.open(kept.folder / "nothing", read_only=True)


def test_only_raw_blocks_of_a_robot_of_an_edge_are_taken_and_never_a_path(kept):
    from fleet import episode as training

    with pytest.raises(BadOption, match="group 'raw'"):
        kept.append(Encoder().encode(training("e1", "arm", 0)[0]))
    for source in ("../../etc/x", "e1/../x", "e1", "/e1/arm"):
        with pytest.raises(BadOption, match="EDGE/ROBOT"):
            kept.append(blocks(0, source=source)[0])
    fill(kept, 1)
    with pytest.raises(BadOption, match="of which more is to come"):
        kept.append(blocks(1)[0])


def test_a_closed_archive_says_so(kept):
    kept.close()
    kept.close()
    with pytest.raises(Closed):
        kept.append(blocks(0)[0])


def test_a_path_that_is_no_folder_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(Unwritable, match="choose another folder"):
            Archive.open(path)
    assert (tmp_path / "file").read_text() == "mine"
