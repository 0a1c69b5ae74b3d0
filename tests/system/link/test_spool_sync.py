"""A disk that takes long: whoever only wants to know, or to let go, does not wait for it."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from test_spool import SOURCE, block, first, keys

from user_gym.errors import Closed
from user_gym.system.buffer.segment import Segment
from user_gym.system.link.edge.spool import Spool
from user_gym.system.link.wire.words import Key

TIMEOUT = 10.0  # s


@pytest.fixture
def slow(monkeypatch):
    """Each sync of a segment waits for `go`; `begun` says that one does."""

    class Slow:
        begun, go, sync = Event(), Event(), Segment.sync

    def sync(segment):
        Slow.begun.set()
        assert Slow.go.wait(TIMEOUT)
        Slow.sync(segment)

    monkeypatch.setattr(Segment, "sync", sync)
    yield Slow
    Slow.go.set()


def begun(spool, slow, made):
    """An append that is being synced, on a thread of its own."""
    slow.begun.clear()
    slow.go.clear()
    thread = Thread(target=spool.append, args=(made,))
    thread.start()
    assert slow.begun.wait(TIMEOUT)
    return thread


def in_time(call):
    """What it returns, while nothing else moves."""
    found = []
    thread = Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(TIMEOUT / 4)
    assert found, "it waits for the disk"
    return found[0]


def test_nobody_waits_for_a_block_that_is_being_synced(tmp_path, slow):
    with Spool.open(tmp_path) as spool:
        slow.go.set()
        spool.append(block(0))
        thread = begun(spool, slow, block(1))
        assert in_time(lambda: (spool.steps, len(spool), spool.nbytes > 0, spool.next_episode(SOURCE))) == (3, 1, True, 1)
        assert in_time(lambda: first(spool)[0].key) == Key(SOURCE, 0, 0)
        assert in_time(lambda: spool.acknowledge(Key(SOURCE, 0, 0)))
        assert in_time(lambda: spool.after(-1)) is None  # not before it is safe
        slow.go.set()
        thread.join(TIMEOUT)
        assert keys(spool) == [(1, 0)]


@pytest.mark.parametrize("segments", [1, 2])
def test_the_file_of_a_block_that_is_being_synced_is_not_freed(tmp_path, slow, segments):
    with Spool.open(tmp_path, segment_bytes=10_000) as spool:
        slow.go.set()
        for episode in range(segments):
            spool.append(block(episode))
        thread = begun(spool, slow, block(segments))
        for episode in range(segments):
            assert in_time(lambda episode=episode: spool.acknowledge(Key(SOURCE, episode, 0)))
        slow.go.set()
        thread.join(TIMEOUT)
        assert first(spool)[1].data == block(segments).data
    with Spool.open(tmp_path) as spool:
        assert (segments, 0) in keys(spool)


def test_close_waits_for_what_is_being_synced_and_it_is_there_afterwards(tmp_path, slow):
    spool = Spool.open(tmp_path)
    thread = begun(spool, slow, block(0))
    closing = Thread(target=spool.close)
    closing.start()
    slow.go.set()
    for one in (thread, closing):
        one.join(TIMEOUT)
    with pytest.raises(Closed):
        spool.append(block(1))
    with Spool.open(tmp_path) as spool:
        assert keys(spool) == [(0, 0)]


def test_what_cannot_wait_is_taken_beyond_the_bound(tmp_path):
    size = len(block().data)
    with Spool.open(tmp_path, most_bytes=size) as spool:
        spool.append(block(0))
        with pytest.raises(TimeoutError):
            spool.append(block(1), 0.01)
        spool.append(block(1), 0.01, beyond=True)
        assert keys(spool) == [(0, 0), (1, 0)]
