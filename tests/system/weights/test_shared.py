"""Weights in memory that several processes see: never torn, whoever dies."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from weight_cases import moved, policy, same

from user_gym.errors import BadBlock, BadOption, Busy, Closed, NoSpace, Unwritable
from user_gym.system.weights import Publisher, SharedPublisher, SharedSubscriber, Subscriber, remove_abandoned
from user_gym.system.weights.shared_file import MOST_SLOTS, PREFIX

CHILD = Path(__file__).with_name("shared_child.py")


@pytest.fixture
def folder(tmp_path):
    return tmp_path  # any file system will do


@contextmanager
def child(role, folder, name="w"):
    process = subprocess.Popen([sys.executable, CHILD, role, folder, name], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def versions(process, n):
    """The next n versions that a child speaks of."""
    found = []
    for _ in range(n):
        line = process.stdout.readline()
        assert line.strip().isdigit(), line or "the child has ended"
        found.append(int(line))
    return found


def names(folder):
    return sorted(path.name.removeprefix(PREFIX) for path in folder.iterdir())


def test_a_subscriber_sees_what_is_published_and_nothing_twice(folder):
    arrays = policy()
    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        assert isinstance(publisher, Publisher)
        assert isinstance(subscriber, Subscriber)
        assert subscriber.newest() is None
        for version in range(5):
            arrays = moved(arrays, version)
            assert same(publisher.publish(arrays, "h"), arrays)
            weights = subscriber.newest(version - 1)
            assert (weights.version, weights.spec_hash) == (version, "h")
            assert same(weights, arrays)
            assert subscriber.newest(version) is None
            del weights
        assert publisher._head.slots == 2


def test_what_a_reader_holds_stays_and_costs_one_slot(folder):
    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        publisher.publish({"w": np.zeros(5000)}, "h")
        held = subscriber.newest().arrays["w"][7:9]
        for version in range(1, 9):
            publisher.publish({"w": np.full(5000, float(version))}, "h")
            assert subscriber.newest().arrays["w"][0] == version
        assert held.tolist() == [0, 0]
        assert publisher._head.slots == 3
        with pytest.raises(ValueError, match="read-only"):
            held[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            held.flags.writeable = True
        subscriber.close()
        assert held.tolist() == [0, 0]
        publisher.publish({"w": np.full(5000, 9.0)}, "h")
        assert held.tolist() == [0, 0], "also after close"


def test_readers_that_hold_every_slot_make_the_publisher_refuse_not_wait(folder):
    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        held = []
        for _ in range(MOST_SLOTS):
            publisher.publish({"w": np.zeros(2)}, "h")
            held.append(subscriber.newest())
        with pytest.raises(Busy, match="64 versions"):
            publisher.publish({"w": np.zeros(2)}, "h")
        del held[3]
        assert publisher.publish({"w": np.zeros(2)}, "h").version == MOST_SLOTS


def test_some_tensors_may_be_published_alone(folder):
    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        arrays = policy()
        publisher.publish(arrays, "h")
        for version in range(4):
            arrays = moved(arrays, version, names=("adapter", "embedding") if version == 1 else ("adapter", "body"))
            given = {n: a for n, a in arrays.items() if n != "body"} if version == 1 else arrays
            publisher.publish(given, "h", partial=True)
            assert same(subscriber.newest(), arrays)


def test_a_publisher_that_was_restarted_takes_all_tensors_first_and_readers_keep_theirs(folder):
    with child("publish", folder) as killed:
        last = versions(killed, 2)[-1]
    with SharedPublisher("w", version=last, folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        with pytest.raises(BadOption, match="partial True; allowed: False in the first publication"):
            publisher.publish({"b": np.ones(7, np.float32)}, "h", partial=True)
        assert set(subscriber.newest().arrays) == {"a", "b", "c"}
        assert publisher.version == last


def test_a_publisher_that_was_closed_and_opened_again_takes_all_tensors_first(folder):
    publisher, whole = SharedPublisher("w", folder=folder), {"base": np.ones(3), "adapter": np.ones(2)}
    with SharedSubscriber("w", folder=folder) as subscriber:
        for version in range(2):
            with publisher:
                with pytest.raises(BadOption, match="partial"):
                    publisher.publish({"adapter": np.zeros(2)}, "h", partial=True)
                publisher.publish(whole, "h")
                assert same(subscriber.newest(version - 1), whole)


def test_two_publishers_of_one_name_are_refused(folder):
    with SharedPublisher("w", folder=folder), pytest.raises(Busy, match=f"process {os.getpid()}"):
        SharedPublisher("w", folder=folder).open()


def test_a_closed_publisher_leaves_nothing_and_readers_keep_what_they_have(folder):
    publisher = SharedPublisher("w", folder=folder).open()
    publisher.publish({"w": np.ones(3)}, "h")
    with SharedSubscriber("w", folder=folder) as subscriber:
        weights = subscriber.newest()
        publisher.close()
        publisher.close()
        assert names(folder) == []
        assert weights.arrays["w"].tolist() == [1, 1, 1]
        assert subscriber.newest() is None
        with pytest.raises(Closed):
            publisher.publish({"w": np.ones(3)}, "h")
        with SharedPublisher("w", folder=folder) as again:
            again.publish({"w": np.full(3, 2.0)}, "h")
            assert subscriber.newest(5).arrays["w"].tolist() == [2, 2, 2], "of another learner, so its version does not count"
            assert subscriber.newest(5) is None
    with pytest.raises(Closed):
        subscriber.newest()


def test_names_sizes_and_foreign_files_are_refused(folder):
    for name in ("", "a/b", "../w", ".w", "x" * 101, 3):
        with pytest.raises(BadOption, match="shared weights"):
            SharedPublisher(name, folder=folder)
    (folder / f"{PREFIX}w").write_bytes(b"something else, and long enough" * 1000)
    (folder / f"{PREFIX}w").chmod(0o600)
    with pytest.raises(BadBlock, match="magic"):
        SharedSubscriber("w", folder=folder).newest()
    with SharedPublisher("v", folder=folder) as publisher:
        publisher.publish({"w": np.zeros(3)}, "h")
        with pytest.raises(BadOption):
            publisher.publish({"w": np.zeros(4)}, "h")


def test_weights_that_others_may_write_are_refused_at_both_ends(folder):
    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        publisher.publish({"w": np.zeros(3)}, "h")
        os.fchmod(publisher._descriptor, 0o666)
        with pytest.raises(Unwritable, match=rf"{PREFIX}w .*mode 0666; allowed: .*mode 0600; remove the file"):
            subscriber.newest()
        with pytest.raises(Unwritable, match="mode 0666"):
            SharedPublisher("w", folder=folder).open()
        os.fchmod(publisher._descriptor, 0o600)
        assert subscriber.newest().version == 0


def test_weights_of_another_user_are_refused_at_both_ends_and_left_there(folder, monkeypatch):
    mine = os.geteuid()
    with child("publish", folder) as publisher:
        versions(publisher, 1)
    with monkeypatch.context() as patch, SharedSubscriber("w", folder=folder) as subscriber:
        patch.setattr(os, "geteuid", lambda: mine + 1)
        for end in (subscriber.newest, SharedPublisher("w", folder=folder).open):
            with pytest.raises(Unwritable, match=f"of user {mine} .*allowed: of user {mine + 1}"):
                end()
        assert remove_abandoned(folder) == []
    assert [path.name.removeprefix(PREFIX) for path in remove_abandoned(folder)] == ["w"]


def test_no_memory_left_is_said_and_the_weights_before_stay(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with SharedPublisher("w", folder=folder) as publisher, SharedSubscriber("w", folder=folder) as subscriber:
        publisher.publish({"w": np.zeros(3)}, "h")
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(NoSpace, match="--shm-size"):
            publisher.publish({"w": np.ones(3)}, "h")
        assert subscriber.newest().version == 0
        monkeypatch.undo()
        assert publisher.publish({"w": np.ones(3)}, "h").version == 1
        assert subscriber.newest().version == 1


def test_readers_of_a_fast_publisher_never_see_a_torn_version(folder):
    with child("publish", folder) as publisher, child("read", folder) as one, child("read", folder) as other:
        versions(publisher, 1)
        for seen in (versions(one, 30), versions(other, 30)):
            assert seen == sorted(set(seen))
        versions(publisher, 5)


def test_kill_9_of_publisher_and_readers_leaves_weights_that_are_whole_and_a_name_to_take(folder):
    seen = -1
    for life in range(4):
        with child("publish", folder) as publisher, child("read", folder) as reader:
            begin = versions(publisher, 3 + 2 * life)[0]
            assert begin > seen, "goes on where it was killed"
            seen = versions(reader, 3)[-1]
            os.kill((reader if life % 2 else publisher).pid, signal.SIGKILL)
        with SharedSubscriber("w", folder=folder) as late:
            weights = late.newest()
            seen = max(seen, weights.version)
            assert all((array == np.float32(weights.version)).all() for array in weights.arrays.values())
    assert names(folder) == ["w"]


def test_readers_go_on_after_a_publisher_was_killed_and_another_began(folder):
    with child("read", folder) as reader:
        with child("publish", folder) as publisher:
            versions(publisher, 3)
            versions(reader, 2)
        with child("publish", folder) as publisher:
            first = versions(publisher, 3)[0]
            while versions(reader, 1)[0] < first:
                pass


def test_weights_of_another_shape_under_the_same_name_reach_old_readers(folder):
    subscriber = SharedSubscriber("w", folder=folder)
    with child("publish", folder) as publisher:
        versions(publisher, 2)
        assert set(subscriber.newest().arrays) == {"a", "b", "c"}
    with SharedPublisher("w", folder=folder) as again:
        again.publish({"d": np.ones(2)}, "g")
        weights = subscriber.newest(10**9)
        assert (weights.spec_hash, list(weights.arrays)) == ("g", ["d"])
    subscriber.close()


def test_what_the_dead_left_is_removed_and_what_is_in_use_is_not(folder):
    with child("publish", folder, "dead") as publisher:
        versions(publisher, 1)
    with child("publish", folder, "orphan") as publisher:
        versions(publisher, 1)
    with SharedSubscriber("orphan", folder=folder) as reader:
        assert reader.newest() is not None
        with SharedPublisher("alive", folder=folder) as publisher:
            assert names(folder) == ["alive", "orphan"]
            publisher.publish({"w": np.zeros(2)}, "h")
            assert remove_abandoned(folder) == []
    assert [path.name.removeprefix(PREFIX) for path in remove_abandoned(folder)] == ["orphan"]
    assert names(folder) == []
