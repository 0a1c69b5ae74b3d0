"""A learner stores what was collected, or says that it could not; and its updates count once their weights are out."""

import errno

import numpy as np
import pytest
from toy_training import ToyAgent, chunk

from user_gym.errors import Closed
from user_gym.system import Broadcaster, Buffer, Channel, Learner, SamplesPerInsert


@pytest.fixture
def storage():
    with Buffer.open(":memory:") as buffer:
        yield buffer


def queued(storage, *chunks):
    """A learner, and these chunks on their way to it."""
    channel = Channel(4)
    for one in chunks:
        channel.put(one)
    return Learner(ToyAgent(), storage, channel, limiter=SamplesPerInsert(1, 0), broadcaster=Broadcaster())


def test_a_chunk_that_comes_twice_counts_once(storage):
    learner = queued(storage, *[chunk(3, truncated=np.array([False, False, True]))] * 2)
    learner.drain()
    assert (learner.stored_steps, learner.scores.finished) == (3, 1)


def test_what_was_queued_before_the_channel_closed_is_stored(storage):
    channel = Channel(4)
    channel.put(chunk(3))
    channel.close()
    Learner(ToyAgent(), storage, channel, limiter=SamplesPerInsert(1, 0), broadcaster=Broadcaster()).drain()
    assert len(storage) == 3


def test_a_storage_that_is_closed_is_no_empty_channel(storage):
    learner = queued(storage, chunk(3))
    storage.close()
    with pytest.raises(Closed, match="buffer"):
        learner.drain()
    assert learner.stored_steps == 0


def test_a_disk_that_does_not_answer_in_time_is_no_empty_channel(storage, monkeypatch):
    def silent(_):
        raise OSError(errno.ETIMEDOUT, "Connection timed out")  # of a network's disk; Python makes a TimeoutError of it

    learner = queued(storage, chunk(3))
    monkeypatch.setattr(storage, "append", silent)
    with pytest.raises(TimeoutError, match="Connection timed out"):
        learner.drain()


def test_weights_are_out_before_the_limiter_counts_the_update(storage):
    published = []

    class Watching(SamplesPerInsert):
        def done(self):
            published.append(broadcaster.version)
            super().done()

    broadcaster = Broadcaster()
    storage.append(chunk(3))
    learner = Learner(ToyAgent(), storage, Channel(1), limiter=Watching(1, 0), broadcaster=broadcaster, batch_size=2)
    learner.update()
    learner.update()
    assert published == [0, 1]
