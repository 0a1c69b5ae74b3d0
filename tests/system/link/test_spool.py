"""Blocks on the edge's disk: what is there after a kill, what leaves, and what happens when there is no room."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Thread

import numpy as np
import pytest
from toy_training import chunk

from user_gym.errors import BadOption, Busy, Closed, NoSpace, WrongRun
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.segment import FIRST, Segment
from user_gym.system.link.edge.spool import Spool
from user_gym.system.link.wire.words import Key

SOURCE = "edge/arm"


def block(episode=0, sequence=0, source=SOURCE, steps=3):
    rng = np.random.default_rng(episode * 1000 + sequence)
    pictures = {"camera": rng.integers(0, 255, (steps + 1, 8192), np.uint8)}
    return Encoder().encode(chunk(steps, source=source, episode=episode, sequence=sequence, obs=pictures))


def keys(spool):
    """All that wait, in their order."""
    found, last = [], -1
    while (item := spool.after(last)) is not None:
        found.append(tuple(item[0].key)[1:])
        last = item[0].number
    return found


def first(spool, after=-1):
    found = spool.after(after)
    assert found is not None
    return found


def disk(folder):
    return sum(path.stat().st_size for path in folder.glob("*.segment"))


def test_blocks_come_back_in_order_and_bit_for_bit(tmp_path):
    with Spool.open(tmp_path) as spool:
        for episode in range(3):
            spool.append(block(episode))
        assert keys(spool) == [(0, 0), (1, 0), (2, 0)]
        assert first(spool)[1].data == block(0).data
        assert (len(spool), spool.steps) == (3, 9)


def test_what_was_appended_is_there_after_the_next_open(tmp_path):
    with Spool.open(tmp_path) as spool:
        for episode in range(5):
            spool.append(block(episode))
        spool.acknowledge(Key(SOURCE, 4, 0))
    with Spool.open(tmp_path) as spool:
        assert set(keys(spool)) >= {(n, 0) for n in range(4)}
        assert spool.next_episode(SOURCE) == 5


def test_a_block_is_kept_once(tmp_path):
    with Spool.open(tmp_path) as spool:
        spool.append(block())
        spool.append(block())
        assert len(spool) == 1


def test_what_is_acknowledged_leaves_the_disk_and_its_number_is_never_given_again(tmp_path):
    size = len(block().data)
    with Spool.open(tmp_path, segment_bytes=4 * size) as spool:
        for episode in range(40):
            spool.append(block(episode))
            spool.append(block(episode, source="edge/other"))
        assert disk(tmp_path) > 60 * size
        for episode in range(40):
            assert spool.acknowledge(Key(SOURCE, episode, 0))
            assert spool.acknowledge(Key("edge/other", episode, 0))
        assert not spool.acknowledge(Key(SOURCE, 3, 0))
        assert disk(tmp_path) <= FIRST + 4 * size
        assert (len(spool), spool.nbytes, spool.steps) == (0, 0, 0)
    with Spool.open(tmp_path) as spool:
        assert keys(spool) == [] or len(keys(spool)) < 5
        assert spool.next_episode(SOURCE) == spool.next_episode("edge/other") == 40
        assert spool.next_episode("edge/unknown") is None


def test_all_up_to_what_the_hub_has_leaves(tmp_path):
    with Spool.open(tmp_path) as spool:
        for episode, sequence in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)):
            spool.append(block(episode, sequence))
        spool.append(block(0, 0, "edge/other"))
        spool.acknowledge_up_to(SOURCE, 1, 0)
        assert keys(spool) == [(1, 1), (2, 0), (0, 0)]
        spool.acknowledge_up_to("edge/new", 7, 0)
        assert spool.next_episode("edge/new") == 8


def test_a_torn_end_is_dropped_and_all_before_it_is_kept(tmp_path):
    with Spool.open(tmp_path) as spool:
        spool.append(block(0))
        spool.append(block(1))
    (path,) = tmp_path.glob("0*.segment")
    os.truncate(path, path.stat().st_size - 100)
    with Spool.open(tmp_path) as spool:
        assert keys(spool) == [(0, 0)]
        spool.append(block(1))
        assert keys(spool) == [(0, 0), (1, 0)]


def test_a_damaged_block_is_reported_and_does_not_stop_the_others(tmp_path, caplog):
    with Spool.open(tmp_path) as spool:
        for episode in range(3):
            spool.append(block(episode))
        middle = first(spool, 0)[0]
    (path,) = tmp_path.glob("0*.segment")
    with path.open("r+b") as file:
        file.seek(middle.offset + 70)
        file.write(b"\xff\xff\xff\xff")
    with Spool.open(tmp_path) as spool:
        assert keys(spool) == [(0, 0), (2, 0)]
    assert "damaged" in caplog.text


def test_a_full_spool_makes_the_robot_wait_until_something_leaves(tmp_path):
    size = len(block().data)
    with Spool.open(tmp_path, most_bytes=2 * size) as spool:
        spool.append(block(0))
        spool.append(block(1))
        with pytest.raises(TimeoutError, match="full"):
            spool.append(block(2), timeout=0.01)
        waiting = Thread(target=spool.append, args=(block(2),))
        waiting.start()
        spool.acknowledge(Key(SOURCE, 0, 0))
        waiting.join(10.0)
        assert keys(spool) == [(1, 0), (2, 0)]
        with pytest.raises(BadOption, match="size of the spool"):
            spool.append(block(3, steps=10))


def test_who_waits_hears_of_the_close(tmp_path):
    spool = Spool.open(tmp_path, most_bytes=len(block().data))
    spool.append(block(0))
    failures = []

    def wait():
        try:
            spool.append(block(1))
        except Closed as error:
            failures.append(error)

    waiting = Thread(target=wait)
    waiting.start()
    spool.close()
    spool.close()
    waiting.join(10.0)
    assert len(failures) == 1


def test_what_the_hub_refuses_is_kept_aside(tmp_path):
    with Spool.open(tmp_path) as spool:
        spool.append(block(0))
        spool.append(block(1))
        spool.set_aside(Key(SOURCE, 0, 0))
        spool.set_aside(Key(SOURCE, 1, 0))
        assert keys(spool) == []
    with Segment.open(tmp_path / "refused.segment") as aside:
        assert [found.head.episode for found in aside.scan() if found.head] == [0, 1]


def test_a_spool_has_one_owner(tmp_path):
    with Spool.open(tmp_path), pytest.raises(Busy):
        Spool.open(tmp_path)
    Spool.open(tmp_path).close()


@pytest.fixture
def small(tmp_path):
    """A file system of 2 MB of our own."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def filled(spool):
    """Append until the disk is full: how many there was room for."""
    for count in range(1000):
        try:
            spool.append(block(count))
        except NoSpace:
            return count
    raise AssertionError("the disk is not small")


def test_a_full_disk_makes_the_robot_wait_and_is_freed_by_what_leaves(small):
    with Spool.open(small / "spool", segment_bytes=400_000) as spool:
        kept = filled(spool)
        assert keys(spool) == [(n, 0) for n in range(kept)]
        found = os.statvfs(small)
        (small / "ballast").write_bytes(bytes(found.f_bavail * found.f_bsize))
        for number in range(kept):
            spool.acknowledge(Key(SOURCE, number, 0))
        spool.append(block(kept))
        assert keys(spool) == [(kept, 0)]
    with Spool.open(small / "spool") as spool:
        assert spool.next_episode(SOURCE) == kept + 1


def test_damaged_numbers_are_an_error_and_not_a_fresh_start(tmp_path):
    Spool.open(tmp_path).close()
    (tmp_path / "numbers.json").write_text("{")
    with pytest.raises(WrongRun, match="damaged"):
        Spool.open(tmp_path)
    (tmp_path / "numbers.json").unlink()
    Spool.open(tmp_path).close()


@pytest.mark.parametrize("options", [{"most_bytes": 0}, {"segment_bytes": 0}, {"durability": "none"}])
def test_options_are_checked(tmp_path, options):
    with pytest.raises(BadOption):
        Spool.open(tmp_path, **options)


def test_what_was_said_to_be_kept_survives_a_kill(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_spool import Spool, block\n"
        "spool = Spool.open(Path(sys.argv[1]), segment_bytes=100_000, durability='kill')\n"
        "for episode in range(10_000):\n"
        "    spool.append(block(episode))\n"
        "    print(episode, flush=True)\n"
    )
    here = os.path.dirname(__file__)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), here, os.path.dirname(here)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = -1
    for line in child.stdout:
        said = int(line)
        if said >= 40:
            break
    child.kill()
    rest = child.stdout.read().split()
    child.stdout.close()
    child.wait(10.0)
    said = max([said, *map(int, rest)])
    with Spool.open(tmp_path) as spool:
        assert keys(spool)[: said + 1] == [(n, 0) for n in range(said + 1)]
        assert len(spool) <= said + 2
