"""What robots put on its way to the hub: who waits for what, and what becomes of it when the edge ends."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from threading import Event, Thread

import numpy as np
import pytest
from fleet import TIMEOUT, episode, wait
from toy_training import Toy, ToyPolicy

from user_gym.errors import BadChunk, Closed
from user_gym.system import weights as versions
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.segment import Segment
from user_gym.system.link.edge import Edge, Spool, outlet
from user_gym.system.link.edge.collecting import Robot
from user_gym.system.link.edge.outlet import Outlet

STEPS = 4  # of a chunk
SMALL = 3 * len(Encoder().encode(episode("e1", "arm", 0, chunks=1, steps=STEPS)[0]).data) // 2  # bytes: one block fits


class Parts:
    """An outlet and its spool, without a hub."""

    def __init__(self, path, **spool):
        self._opened = ExitStack()
        self.spool = self._opened.enter_context(Spool.open(path, durability="kill", **spool))
        self.outlet = Outlet("e1", self.spool, None, False, lambda: None)
        self.outlet.open()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.outlet.close()
        self._opened.close()


def chunks(count, robot="arm"):
    return [chunk for number in range(count) for chunk in episode("e1", robot, number, chunks=1, steps=STEPS)]


class Call:
    """A robot's call, on a thread of its own."""

    def __init__(self, call, *arguments):
        self._raised = []
        self._thread = Thread(target=self._run, args=(call, *arguments), daemon=True)
        self._thread.start()

    def _run(self, call, *arguments):
        try:
            self._raised.append(call(*arguments))
        except Exception as error:
            self._raised.append(error)

    @property
    def waits(self):
        self._thread.join(0.05)
        return self._thread.is_alive()

    @property
    def raised(self):
        """None: it returned."""
        self._thread.join(TIMEOUT / 2)
        assert self._raised, "it waits for ever"
        return self._raised[0]


def full(parts, monkeypatch, capacity=2):
    """No chunk has room any more: not in the spool, and not before it."""
    monkeypatch.setattr(outlet, "_CAPACITY", capacity)
    made = chunks(10)
    for chunk in made[: capacity + 2]:
        parts.outlet.put(chunk)
    wait(lambda: len(parts.spool) == 1 and len(parts.outlet._queue) == capacity)
    return made[capacity + 2 :]


def test_a_robot_that_waits_for_the_hubs_word_ends_when_it_is_told_to(tmp_path):
    with Parts(tmp_path) as parts:
        stop = Event()
        call = Call(parts.outlet.insert, 1, stop)
        assert call.waits
        stop.set()
        assert isinstance(call.raised, Closed)


def test_what_a_robot_has_when_it_ends_is_taken_however_much_waits(tmp_path, monkeypatch):
    with Parts(tmp_path, most_bytes=SMALL) as parts:
        last, stop = full(parts, monkeypatch)[0], Event()
        call = Call(parts.outlet.put, last, stop)
        assert call.waits
        stop.set()
        assert call.raised is None
        assert len(parts.outlet._queue) == 3
        parts.outlet.close()
        assert len(parts.spool) == 5


@pytest.mark.parametrize("what", ["put", "insert"])
def test_robots_that_wait_hear_that_the_edge_is_closed(tmp_path, monkeypatch, what):
    with Parts(tmp_path, most_bytes=SMALL) as parts:
        more = full(parts, monkeypatch)[0]
        call = Call(getattr(parts.outlet, what), more if what == "put" else 1)
        assert call.waits
        parts.outlet.close()
        assert isinstance(call.raised, Closed)


def test_all_that_was_put_is_in_the_spool_after_close_though_it_is_full(tmp_path, caplog):
    with Parts(tmp_path, most_bytes=SMALL) as parts:
        made = chunks(20)
        for chunk in made:
            parts.outlet.put(chunk)
        parts.outlet.close()
        assert len(parts.spool) == 20
        assert parts.outlet.under_way == parts.spool.steps == 20 * STEPS
        assert "lost" not in caplog.text
    with Spool.open(tmp_path) as spool:
        assert len(spool) == 20


def test_what_a_full_disk_loses_at_close_is_said(tmp_path, monkeypatch, caplog):
    with Parts(tmp_path) as parts:
        first, second, third = chunks(3)
        parts.outlet.put(first)
        wait(lambda: len(parts.spool) == 1)

        def refuse(segment, data):
            raise OSError(errno.ENOSPC, "no space left on device")

        monkeypatch.setattr(Segment, "append", refuse)
        parts.outlet.put(second)
        parts.outlet.put(third)
        wait(lambda: parts.outlet.full)
        parts.outlet.close()
        assert caplog.text.count(f"{STEPS} steps of e1/arm are lost") == 2
        assert parts.outlet.under_way == 3 * STEPS  # nobody says that all is well


def test_a_chunk_that_cannot_be_kept_ends_the_robots_and_what_others_have_put_is_kept(tmp_path, caplog):
    with Parts(tmp_path) as parts:
        (broken,) = chunks(1)
        broken.obs["state"] = np.array([object()] * (STEPS + 1))[:, None]  # type: ignore[index]
        for chunk in (broken, *chunks(2, "other")):
            parts.outlet.put(chunk)
        wait(lambda: parts.outlet._failure)
        assert Call(parts.outlet.put, chunks(1)[0]).raised is parts.outlet._failure
        wait(lambda: len(parts.spool) == 2)
        assert "4 steps of e1/arm are lost" in caplog.text
        with pytest.raises(BadChunk, match="e1/ROBOT"):
            parts.outlet.put(episode("e2", "arm", 0)[0])


@pytest.mark.parametrize("room", [0, 25])
def test_a_robot_ends_when_it_is_told_to_though_its_hub_is_away_and_its_steps_are_kept(tmp_path, room):
    weights, receiver, stop = versions.Broadcaster(), versions.Receiver("toy"), Event()
    weights.publish({"mean": np.zeros(1, np.float32)}, "toy")
    blob = versions.Encoder(weights).blob()
    assert blob is not None
    receiver.apply(blob)
    with Spool.open(tmp_path, durability="kill") as spool, Edge("127.0.0.1:1", spool, name="e1", robots=("arm",)) as edge:
        edge.outlet.allow(room, False)
        robot = Robot("arm", Toy(), ToyPolicy(), period=0.1)
        call = Call(robot.collect, edge, receiver, stop)
        wait(lambda: edge.outlet.under_way > room)  # and now it waits
        assert call.waits
        stop.set()
        assert call.raised is None
        edge.close()
        assert spool.steps == robot.taken > 0
