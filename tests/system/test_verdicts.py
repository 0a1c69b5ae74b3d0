"""Verdicts that come late become labels of a real buffer, and what is drawn says what they say."""

import logging
import time

import numpy as np
import pytest

from user_gym.errors import BadOption, Closed
from user_gym.system import Buffer, ChunkBuilder
from user_gym.system.verdicts import LABEL, Judged, Verdicts

OWN = "kind = 'policy'"


def store(buffer, episode, *, terminated, steps=7, source="collector-0", over=True):
    """An episode of several chunks that succeeds, by its own account, where it is terminated."""
    builder = ChunkBuilder(source, "r", "t", max_seconds=0.3)
    builder.start({"state": np.full(2, episode, np.float32)}, episode)
    for step in range(steps):
        last = step == steps - 1 and over
        chunk = builder.add(
            np.zeros(2, np.float32), float(last and terminated), last and terminated, last and not terminated,
            {"is_success": last and terminated, "reward_source": "classifier"}, {"state": np.full(2, episode, np.float32)}, 1,
        )  # fmt: skip
        if chunk is not None:
            buffer.append(chunk)
    rest = builder.flush()
    if rest is not None:
        buffer.append(rest)


def waited(condition) -> bool:
    due = time.monotonic() + 10
    while not condition() and time.monotonic() < due:
        time.sleep(0.005)
    return condition()


def labelled(buffer):
    return len(buffer.view(f"{LABEL} IS NOT NULL")) if LABEL in buffer.labels.names else 0


@pytest.fixture(params=["memory", "disk"])
def buffer(request, tmp_path):
    with Buffer.open(":memory:" if request.param == "memory" else tmp_path / "buffer") as opened:
        yield opened


def test_a_late_verdict_is_the_reward_of_what_is_drawn_from_then_on(buffer) -> None:
    store(buffer, 0, terminated=True)
    store(buffer, 1, terminated=False)
    store(buffer, 2, terminated=True)
    judged, numbers = Judged(buffer, buffer.view(OWN)), buffer.numbers()
    before = judged.read(numbers)
    assert before.reward.tolist() == [*[0.0] * 6, 1, *[0.0] * 13, 1]
    with Verdicts(buffer) as verdicts:
        verdicts.tell(0, False)  # the classifier was deceived
        verdicts.tell(1, True)  # and missed this one
        assert waited(lambda: labelled(buffer) == 14)
    after = judged.read(numbers)
    assert after.reward.tolist() == [*[0.0] * 13, 1, *[0.0] * 6, 1]
    assert np.flatnonzero(after.terminated).tolist() == [6, 13, 20]
    assert not after.truncated.any()
    assert after.reward.dtype == np.float32
    assert np.flatnonzero(before.truncated).tolist() == [13]
    drawn = judged.sample(200, np.random.default_rng(0))
    assert set(drawn.obs["state"][drawn.reward == 1, 0]) == {1.0, 2.0}
    assert len(judged.view(f"{LABEL} > 0.5")) == 1
    assert {version.source for version in buffer.labels.versions()} == {"human"}


def test_the_newest_verdict_counts(buffer) -> None:
    store(buffer, 0, terminated=True)
    with Verdicts(buffer) as verdicts:
        verdicts.tell(0, False)
        assert waited(lambda: labelled(buffer) == 7)
        verdicts.tell(0, True)
    assert Judged(buffer, buffer.view(OWN)).read(buffer.numbers()).reward.sum() == 1


def test_a_verdict_waits_until_its_episode_is_stored_whole(buffer) -> None:
    store(buffer, 0, terminated=False, source="collector-1")  # another one's episode of that number
    with Verdicts(buffer) as verdicts:
        verdicts.tell(0, True)
        time.sleep(0.3)
        assert not labelled(buffer)
        store(buffer, 0, terminated=False)
        assert waited(lambda: labelled(buffer) == 7)
    assert buffer.labels.at(LABEL, buffer.numbers())[7:].tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_what_was_told_just_before_the_end_is_written_by_closing(buffer) -> None:
    store(buffer, 0, terminated=False)
    verdicts = Verdicts(buffer)
    verdicts.open()
    verdicts.tell(0, True)
    verdicts.close()
    verdicts.close()
    assert labelled(buffer) == 7


def test_it_opens_again_after_closing(buffer) -> None:
    verdicts = Verdicts(buffer)
    for episode in range(2):
        store(buffer, episode, terminated=True)
        with verdicts:
            verdicts.tell(episode, False)
            assert waited(lambda: not verdicts._pending)  # by the thread, which closing had ended


def test_a_verdict_on_an_episode_without_an_end_is_told_of(buffer, caplog) -> None:
    store(buffer, 0, terminated=False, over=False)
    with caplog.at_level(logging.WARNING), Verdicts(buffer) as verdicts:
        verdicts.tell(0, True)
    assert "episode 0 is not kept" in caplog.text
    assert not labelled(buffer)


def test_a_buffer_that_cannot_be_written_is_not_passed_over(caplog) -> None:
    buffer = Buffer.open(":memory:")
    store(buffer, 0, terminated=True)
    verdicts = Verdicts(buffer)
    verdicts.open()
    buffer.close()
    verdicts.tell(0, True)
    assert waited(lambda: "tried again" in caplog.text)
    with pytest.raises(Closed):
        verdicts.close()


def test_judged_steps_come_one_by_one(buffer) -> None:
    store(buffer, 0, terminated=True)
    judged = Judged(buffer, buffer.view(OWN))
    assert len(judged) == 7
    with pytest.raises(BadOption, match="horizon"):
        judged.sample(4, np.random.default_rng(0), horizon=3)
