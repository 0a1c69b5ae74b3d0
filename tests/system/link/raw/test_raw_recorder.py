"""Recording beside a robot: all samples of its episodes, none of others; and what is too fast is dropped, counted, and seen."""

from __future__ import annotations

import time
from threading import Event

import numpy as np
import pytest
from fleet import wait
from streams import SOURCE, Scripted, image, number_of

from user_gym.errors import BadOption, NoSpace
from user_gym.robots.tap import Tap
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.link.raw import Archive, Recorder
from user_gym.system.link.raw.marking import Marking
from user_gym.system.link.raw.rows import Labels


@pytest.fixture
def kept(tmp_path):
    with Archive.open(tmp_path / "raw", spare_bytes=0) as made:
        yield made


def numbers(kept, episode, name="wrist"):
    return [number_of(picture) for picture in kept.stream(SOURCE, episode, name).columns["image"]]


def record(kept, *sources, **options):
    return Recorder(kept, Labels(SOURCE, "toy"), sources, **options)


def test_each_episode_has_its_own_samples_from_the_observation_it_began_with_to_its_last_step(kept):
    wrist = Scripted()
    with record(kept, wrist) as recorder:
        number = 0
        for episode in range(3):
            for _ in range(4):  # while the robot goes to its start
                wrist.say(number := number + 1, 900.0 + number)
            wrist.say(number := number + 1, 0.0)
            first = number
            recorder.begin(episode)
            for step in range(1, 40):
                wrist.say(number := number + 1, step / 30)
            recorder.end()
            spans = (first, number)
            wait(lambda episode=episode: kept.is_whole(SOURCE, episode))
            assert numbers(kept, episode) == list(range(spans[0], spans[1] + 1))
    assert recorder.facts()["streams"] == {"wrist": {"kept": 120, "dropped": 0}}
    assert recorder.facts()["episodes"] == [0, 2]


def test_an_old_picture_is_no_part_of_the_episode_that_begins(kept):
    wrist = Scripted()
    with record(kept, wrist) as recorder:
        wrist.say(0, -0.5)
        recorder.begin(0, 0.0)
        wrist.say(1, 0.02)
        wrist.say(2, 0.05)
    assert numbers(kept, 0) == [1, 2]


def test_episodes_that_follow_each_other_without_a_pause_are_not_mixed(kept):
    """As in a simulation: the recorder is behind by whole episodes."""
    wrist, number = Scripted(), 0
    with record(kept, wrist) as recorder:
        for episode in range(30):
            wrist.say(number, 0.0)
            recorder.begin(episode)
            for step in range(1, 5):
                wrist.say(number + step, step * 0.1)
            recorder.end()
            number += 5
    for episode in range(30):
        assert numbers(kept, episode) == list(range(5 * episode, 5 * episode + 5))


def test_a_sample_that_comes_right_after_an_episode_is_not_of_it(kept):
    """The recorder waits for the next sample while the episode ends and the robot's clock begins anew."""
    wrist = Scripted()
    with record(kept, wrist) as recorder:
        recorder.begin(0)
        wrist.say(0, 0.0)
        wrist.say(1, 0.1)
        wait(lambda: wrist.read_to == 1)
        recorder.end()
        wrist.say(2, 0.2)  # on the old clock
        wrist.say(3, 0.0)
        recorder.begin(1)
        wrist.say(4, 0.1)
    assert numbers(kept, 0) == [0, 1]
    assert numbers(kept, 1) == [3, 4]
    assert recorder.facts()["streams"]["wrist"] == {"kept": 4, "dropped": 0}


def test_streams_of_unlike_rates_and_shapes_are_of_one_episode_and_one_clock(kept):
    wrist, state = Scripted(), Scripted("state", 1000.0)
    with record(kept, wrist, state) as recorder:
        recorder.begin(0)
        for tick in range(1, 2001):
            state.say(tick, tick / 1000, {"q": np.full(7, tick, np.float64), "gripper": np.asarray(0.5)})
            if tick % 33 == 0:
                wrist.say(tick // 33, tick / 1000)
    frames, ticks = kept.stream(SOURCE, 0, "wrist"), kept.stream(SOURCE, 0, "state")
    assert len(frames) == 60
    assert ticks.columns["q"][:, 3].tolist() == list(range(1, 2001))
    assert ticks.columns["gripper"].shape == (2000,)
    np.testing.assert_allclose(ticks.time[ticks.at(frames.time)], frames.time)


def test_samples_that_the_device_lost_are_counted_and_leave_a_mark(kept):
    wrist = Scripted()
    with record(kept, wrist) as recorder:
        recorder.begin(0)
        for number in (0, 1, 4, 5):
            wrist.say(number, number / 30)
    stream = kept.stream(SOURCE, 0, "wrist")
    assert stream.lost.tolist() == [0, 0, 2, 0]
    assert recorder.facts()["streams"]["wrist"] == {"kept": 4, "dropped": 2}


def test_a_disk_that_is_too_slow_costs_samples_that_are_counted_and_never_time_of_the_robot(kept, monkeypatch):
    wrist, slow, began = Scripted(), Event(), Event()
    append = kept.append

    def waits(block):
        began.set()
        assert slow.wait(20.0)
        return append(block)

    monkeypatch.setattr(kept, "append", waits)
    nbytes = image(0).nbytes
    longest = 0.0
    with record(kept, wrist, queue_bytes=60 * nbytes) as recorder:
        recorder.begin(0)
        for number in range(300):
            begin = time.perf_counter()
            wrist.say(number, number / 30)
            longest = max(longest, time.perf_counter() - begin)
        wait(began.is_set)
        wait(lambda: wrist.read_to == 299)
        slow.set()
        wait(lambda: recorder.facts()["streams"]["wrist"]["kept"] > 0)
        for number in range(300, 331):
            wrist.say(number, number / 30)
        begin = time.perf_counter()
        recorder.end()
        longest = max(longest, time.perf_counter() - begin)
    assert longest < 5.0  # the disk took longer
    facts = recorder.facts()["streams"]["wrist"]
    assert facts["kept"] + facts["dropped"] == 331
    assert facts["dropped"] >= 150
    found = numbers(kept, 0)
    assert found == sorted(set(found))
    assert len(found) == facts["kept"]
    assert found[-1] == 330
    stream = kept.stream(SOURCE, 0, "wrist")
    assert sum(stream.lost) + len(stream) == found[-1] + 1  # the marks say how many are missing before the newest


def test_a_full_disk_drops_samples_and_the_robot_goes_on(kept, monkeypatch):
    wrist = Scripted()

    def full(block):
        raise NoSpace("no room")

    with record(kept, wrist) as recorder:
        monkeypatch.setattr(kept, "append", full)
        recorder.begin(0)
        wrist.say(0, 0.0)
        recorder.end()
        wait(lambda: recorder.facts()["streams"]["wrist"]["dropped"] == 1)
        monkeypatch.undo()
        recorder.begin(1)
        wrist.say(1, 0.0)
        wrist.say(2, 0.1)
    assert recorder.failure is None
    assert numbers(kept, 1) == [1, 2]
    assert [one.episode for one in kept.episodes()] == [1]


def test_a_device_that_fails_ends_the_recording_and_says_so_and_not_the_robot(kept):
    class Broken(Scripted):
        def read(self, after, timeout):
            if self.newest >= 1:
                raise OSError("unplugged")
            return super().read(after, timeout)

    wrist = Broken()
    with record(kept, wrist) as recorder:
        recorder.begin(0)
        wrist.say(0, 0.0)
        wrist.say(1, 0.1)
        wait(lambda: recorder.failure is not None)
        recorder.end()
        recorder.begin(1)
    assert "unplugged" in recorder.facts()["failure"]


def test_a_builder_of_training_chunks_says_when_episodes_begin_and_end(kept):
    tap = Tap("state", 10.0)
    builder = ChunkBuilder(SOURCE, "toy", "T")
    with record(kept, tap) as recorder:
        marking = Marking(builder, recorder)
        for episode in range(2):
            tap.put(0.0, {"q": np.zeros(2)})
            marking.start({"state": np.zeros(2)}, episode, 0.0)
            for step in range(1, 6):
                tap.put(step / 10, {"q": np.full(2, step)})
                chunk = marking.add(
                    np.zeros(1, np.float32), 0.0, False, step == 5, {"time": step / 10}, {"state": np.zeros(2)}, 0
                )
            wait(lambda episode=episode: kept.is_whole(SOURCE, episode))
            assert chunk is not None
            stream = kept.stream(SOURCE, episode, "state")
            np.testing.assert_allclose(stream.time[1:], chunk.time)  # T + 1 rows: the first is that of the reset
            assert stream.at(chunk.time).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("names", [("a", "a"), ("a.b",), ("",)])
def test_names_of_streams_are_different_and_without_dots(kept, names):
    with pytest.raises(BadOption, match="names of streams"):
        record(kept, *(Scripted(name) for name in names))


def test_a_tap_keeps_nothing_before_somebody_reads_and_never_waits():
    tap = Tap("state", 10.0, depth=4)
    tap.put(0.0, {})
    assert tap.newest == -1
    assert tap.read(-1, 0.0) is None
    for number in range(10):
        tap.put(float(number), {})
    assert tap.newest == 9
    assert [one.number for one in iter(lambda at=[-1]: _next(tap, at), None)] == [6, 7, 8, 9]


def _next(tap, at):
    found = tap.read(at[0], 0.0)
    at[0] = found.number if found else at[0]
    return found
