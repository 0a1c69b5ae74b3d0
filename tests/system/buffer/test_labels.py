"""Labels are written later than the steps they are of; nothing else changes, and none that was committed is lost."""

import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import chunk

from user_gym.errors import BadOption, Closed, Unwritable, WrongRun
from user_gym.system import Buffer
from user_gym.system.buffer.label_column import LabelColumn
from user_gym.system.buffer.label_file import NAME
from user_gym.system.buffer.labels import Labelled, Labels


@pytest.fixture
def buffer():
    with Buffer.open(":memory:") as opened:
        opened.extend([chunk(4, base=10 * e, episode=e, source="ab"[e % 2]) for e in range(6)])
        yield opened


def every(view):
    """The rewards of all transitions of a view."""
    numbers = view.numbers()
    return set(view.read(numbers).reward.tolist()) if len(numbers) else set()


def test_a_classifier_scores_stored_frames_and_its_scores_are_a_column_and_a_reward(buffer):
    made = buffer.view("source = 'a'").relabel("score", lambda c: c.obs["state"][1:, 0] / 100, source="classifier 3")
    assert (made.name, made.version, made.source, made.chunks, made.steps) == ("score", 1, "classifier 3", 3, 12)
    assert every(buffer.view("score > 0.2")) == {20, 21, 22, 23, 40, 41, 42, 43}
    assert len(buffer.view("score IS NULL AND source = 'b'")) == 12
    view = buffer.view("episode < 4", reward="score")
    assert every(view) == {np.float32((10 * e + i + 1) / 100) for e in (0, 2) for i in range(4)}
    batch = view.sample(50, np.random.default_rng(0))
    np.testing.assert_allclose(batch.reward, batch.next_obs["state"][:, 0] / 100, rtol=1e-6)
    assert every(buffer.view("episode = 0")) == {0, 1, 2, 3}  # as stored


def test_a_person_labels_single_steps_late_and_views_follow(buffer):
    good, rest = None, buffer.view("reward >= 50")
    rest.relabel("good", 0, source="ann")
    good = buffer.view("good = 1")
    assert len(good) == 0
    buffer.view("reward IN (51, 52) OR reward = 3").relabel("good", 1, source="bob")
    assert every(good) == {51, 52, 3}
    assert every(buffer.view("good = 0")) == {50, 53}
    buffer.view("reward = 52").relabel("good", 0, source="ann")
    assert every(good) == {51, 3}
    history = buffer.labels.versions("good")
    assert [(v.version, v.source, v.chunks) for v in history] == [(1, "ann", 1), (2, "bob", 2), (3, "ann", 1)]


def test_a_run_ends_before_a_step_without_a_label(buffer):
    buffer.view("reward IN (0, 1, 3)").relabel("score", 7.0, source="x")
    batch = buffer.view("reward = 0", reward="score").sample(3, np.random.default_rng(0), horizon=4)
    assert batch.valid.tolist() == [[True, True, False, False]] * 3
    assert batch.reward.tolist() == [[7, 7, 0, 0]] * 3
    assert batch.next_obs["state"][:, 0].tolist() == [2] * 3


def test_labels_are_read_beside_a_batch(buffer):
    buffer.view("episode < 3").relabel("score", lambda c: c.reward / 100, source="classifier 3")
    buffer.view("reward >= 50").relabel("good", 1, source="ann")
    view, rng = buffer.view("episode != 1"), np.random.default_rng(0)
    numbers = view.draw(200, rng)
    batch, score, good = view.read(numbers), buffer.labels.at("score", numbers), buffer.labels.at("good", numbers)
    np.testing.assert_array_equal(score, np.where(batch.reward < 30, batch.reward / 100, np.nan))
    np.testing.assert_array_equal(good, np.where(batch.reward >= 50, 1, np.nan))
    assert score.dtype == np.float32
    with pytest.raises(BadOption, match=r"label 'bad'; allowed: one of \['good', 'score'\]"):
        buffer.labels.at("bad", numbers)


def test_a_view_of_a_view_keeps_its_reward(buffer):
    buffer.view("TRUE").relabel("score", 7.0, source="x")
    assert every(buffer.view("TRUE", reward="score").view("episode = 1")) == {7}


@pytest.mark.parametrize(
    ("name", "values", "source", "says"),
    [
        ("reward", 1, "x", "bad name of a label 'reward'"),
        ("success", 1, "x", "bad name of a label 'success'"),
        ("a b", 1, "x", "a word of letters"),
        ("score", 1, "", "who says so"),
        ("score", np.nan, "x", "finite numbers"),
        ("score", lambda c: np.zeros(3), "x", "one number for each of its 4 steps"),
        ("score", lambda c: np.full(4, np.inf), "x", "'a', episode 0, sequence 0"),
        ("score", "good", "x", "'a', episode 0, sequence 0.* one number for each of its 4 steps"),
        ("score", lambda c: ["good"] * 4, "x", "one number for each of its 4 steps"),
        ("score", lambda c: [1.0, [2.0], 3.0, 4.0], "x", "one number for each of its 4 steps"),
        ("score", np.zeros(4), "x", r"bad values of label 'score' \(4,\); allowed: one number for all steps, or a function"),
    ],
)
def test_labels_that_are_none_are_refused_and_leave_no_trace(buffer, name, values, source, says):
    with pytest.raises(BadOption, match=says):
        buffer.view("TRUE").relabel(name, values, source)
    assert not any(version.steps for version in buffer.labels.versions())


def test_an_unknown_label_is_no_reward_and_an_unknown_chunk_takes_none(buffer):
    with pytest.raises(BadOption, match="nothing yet: no label was written; write it with relabel"):
        buffer.view("TRUE", reward="score")
    given = Labelled("z", 0, 0, np.zeros(4, np.float32), np.ones(4, bool))
    with pytest.raises(BadOption, match="no such chunk"):
        buffer.labels.write("score", "x", [given])


def test_labels_come_back_after_reopening_and_where_the_index_was_lost(tmp_path):
    path = tmp_path / "buffer"
    with Buffer.open(path, durability="kill") as buffer:
        buffer.extend([chunk(4, base=10 * e, episode=e) for e in range(4)])
        buffer.view("episode = 2").relabel("score", 0.5, source="x")
    (path / "index.sqlite").unlink()
    with Buffer.open(path, durability="kill") as buffer:
        assert every(buffer.view("score = 0.5")) == {20, 21, 22, 23}


def test_labels_of_another_process_are_seen(tmp_path):
    path = tmp_path / "buffer"
    with Buffer.open(path, durability="kill") as buffer:
        buffer.append(chunk(4))
        with Buffer.open(path, read_only=True) as reader, pytest.raises(Unwritable, match="without read_only"):
            reader.view("TRUE").relabel("score", 1, source="x")
        buffer.view("reward = 3").relabel("score", 0, source="x")
        view = buffer.view("score > 0.5")
        assert len(view) == 0
        other = Labels.open(path, buffer.query.place)
        other.write("score", "y", [Labelled("a", 0, 0, np.array([0, 0, 1, 0], np.float32), np.arange(4) == 2)])
        other.close()
        assert every(view) == {2}
        with pytest.raises(Closed):
            other.versions()


KILLED = """
import sys; import numpy as np
from user_gym.system.buffer.labels import Labelled, Labels
labels = Labels.open(sys.argv[1], lambda *key: (0, 4), durable=False)
def given():
    for episode in range(1_000_000):
        yield Labelled("a", episode, 0, np.full(4, episode, np.float32), np.ones(4, bool))
        if episode % 64 == 63: print(episode - 64, flush=True)  # those before are committed
labels.write("score", "x", given())
"""


def test_a_kill_loses_no_committed_label(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True) as writer:
        committed = [int(writer.stdout.readline()) for _ in range(9)][-1]
        os.kill(writer.pid, signal.SIGKILL)
    labels = Labels.open(tmp_path, lambda source, episode, sequence: (4 * episode, 4))
    assert labels.at("score", np.arange(0, 4 * committed + 4)).tolist() == np.repeat(np.arange(committed + 1), 4).tolist()
    assert labels.versions()[0].steps % 256 == 0
    labels.close()


def test_a_damaged_file_is_moved_aside_and_damaged_labels_count_as_none(tmp_path, caplog):
    place = {0: (0, 4), 1: (4, 4)}

    def reopened(**options):
        return Labels.open(tmp_path, lambda source, episode, sequence: place[episode], **options)

    labels = reopened()
    labels.write("score", "x", [Labelled("a", e, 0, np.ones(4, np.float32), np.ones(4, bool)) for e in (0, 1)])
    labels.close()
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("UPDATE labels SET data = zeroblob(16) WHERE episode = 0")
    database.close()
    labels = reopened(read_only=True)
    assert np.isnan(labels.at("score", np.arange(8))).tolist() == [True] * 4 + [False] * 4
    assert labels.damaged == 1
    labels.close()
    (tmp_path / NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(WrongRun, match="moves the labels aside"):
        reopened(read_only=True)
    labels = reopened()
    assert labels.names == ()
    assert "moved to" in caplog.text
    assert len(list(tmp_path.glob(f"{NAME}.damaged-*"))) == 1
    labels.close()


def test_another_programs_file_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    with pytest.raises(WrongRun, match="holds no labels of this version"):
        Labels.open(tmp_path, lambda *key: None)


values = st.lists(st.one_of(st.just(np.nan), st.sampled_from([0.0, 1.0, 2.5])), min_size=3, max_size=3)
writings = st.lists(st.lists(st.tuples(st.integers(0, 4), values), max_size=4), max_size=4)


@settings(deadline=None)
@given(writings)
def test_of_each_step_the_newest_label_counts(writings):
    column, expected = LabelColumn.empty(), {}
    for blocks in writings:
        column = column.joined([(10 * block, np.array(given, np.float32)) for block, given in blocks])
        expected |= {10 * b + i: v for b, given in blocks for i, v in enumerate(given) if not np.isnan(v)}
    numbers = np.arange(-1, 60).reshape(-1, 1)
    found = column.at(numbers)
    assert found.shape == numbers.shape
    assert {n: v for n, v in zip(numbers.ravel().tolist(), found.ravel().tolist(), strict=True) if v == v} == expected
