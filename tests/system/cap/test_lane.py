"""Few pieces in flight, behind what the caller enqueued: with streams and events that only write down what they are told."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="torch comes with the extra 'gpu'")

import torch

from user_gym.system.cap import lane
from user_gym.system.cap.lane import Lane


class Streams:
    """What a Lane needs of torch.cuda. The device finishes a piece only when somebody waits for it."""

    def __init__(self):
        self.log, self.waiting, self.most, self.current = [], 0, 0, "caller"

    def Stream(self, device):  # noqa: N802
        return SimpleNamespace(cuda_stream=0x1234, wait_stream=lambda other: self.log.append(("behind", other)))

    def current_stream(self, device):
        return self.current

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    def Event(self, blocking):  # noqa: N802
        assert blocking  # a thread that spins would keep the interpreter from the control loop

        def record():
            assert self.current != "caller"
            self.waiting += 1
            self.most = max(self.most, self.waiting)

        def synchronize():
            self.waiting -= 1

        return SimpleNamespace(record=record, synchronize=synchronize)


@pytest.fixture
def streams(monkeypatch):
    streams = Streams()
    monkeypatch.setattr(lane.torch, "cuda", streams)
    return streams


def test_at_most_two_pieces_are_in_flight_when_the_next_one_is_decided(streams):
    made = Lane(torch.device("cuda", 0))
    for _ in range(10):
        with made.piece():
            assert streams.waiting <= lane.IN_FLIGHT == 2
            assert streams.current != "caller"
        assert streams.current == "caller"
    made.drain()
    assert streams.waiting == 0
    assert streams.most == 3  # the third is enqueued, then the first is waited for


def test_copies_come_behind_what_the_caller_enqueued(streams):
    made = Lane(torch.device("cuda", 0))
    made.follow()
    assert streams.log == [("behind", "caller")]
    assert made.handle == 0x1234


def test_a_cpu_has_no_streams_and_its_pieces_run_at_once():
    made = Lane(torch.device("cpu"))
    made.follow()
    with made.piece():
        pass
    made.drain()
    assert made.handle == 0
