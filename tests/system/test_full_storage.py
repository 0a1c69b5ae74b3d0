"""A training whose storage takes no more says so once its collector has ended."""

import threading

import pytest
from toy_training import Toy, ToyAgent

from user_gym.errors import NoSpace
from user_gym.system import Buffer, Channel, train

PATIENCE = 10.0  # s that either side waits for the other before the test fails


def test_the_collector_has_ended_when_a_storage_refuses_the_last_steps(monkeypatch):
    deep, closed = threading.Event(), threading.Event()

    class Slow(Toy):
        """In the midst of its 25th step, with two chunks of ten handed over, until the channel is closed."""

        taken = 0

        def step(self, action):
            self.taken += 1
            if self.taken == 25:
                deep.set()
                closed.wait(PATIENCE)
            return super().step(action)

    class Full(Buffer):
        def append(self, chunk):
            deep.wait(PATIENCE)
            raise NoSpace(f"no room for chunk {chunk.episode}")

    close = Channel.close
    monkeypatch.setattr(Channel, "close", lambda self: (close(self), closed.set()))
    env = Slow()
    try:
        with Full.open(":memory:") as storage, pytest.raises(NoSpace, match="no room for chunk"):
            train(env, ToyAgent(), storage, steps=1000, synchronous=False, tolerance=1e6)
        assert not [thread for thread in threading.enumerate() if thread.name == "collector"]
        assert env.taken == 25
    finally:
        closed.set()
