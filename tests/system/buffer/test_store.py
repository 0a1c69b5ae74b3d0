"""What a store promises while all goes well."""

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from threading import Barrier, Event, Thread

import numpy as np
import pytest
from stores import STEPS, block, meant, pictured, rewards, segments

from user_gym.errors import BadChunk, BadOption, Busy, Closed, Gone, Unwritable, WrongRun
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.store import Store
from user_gym.testing.storage_suite import steps


@pytest.fixture(params=["power", "kill"])
def durability(request):
    return request.param


def test_what_was_acknowledged_is_found_and_read_also_after_a_restart(tmp_path, durability):
    with Store.open(tmp_path, durability=durability) as store:
        answers = store.append([block(0), block(1, n=2)]) + store.append([block(2)])
        assert answers == [(0, 4, False), (4, 2, False), (6, 4, False)]
        before = rewards(store)
        assert before == meant((0, 0)) + meant((1, 0), n=2) + meant((2, 0))
    for read_only in (False, True):
        with Store.open(tmp_path, read_only=read_only) as store:
            assert rewards(store) == before
            assert (len(store), store.total) == (10, 10)


def test_a_repeated_chunk_is_answered_as_the_first_time(tmp_path):
    with Store.open(tmp_path) as store:
        first = store.append([block(0), block(1), block(0)])
        assert first == [(0, 4, False), (4, 4, False), (0, 4, True)]
        store.prune(firsts=[0])
    with Store.open(tmp_path) as store:
        assert store.append([block(0), block(1)]) == [(0, 4, True), (4, 4, True)]
        assert store.append([block(1, source="another")]) == [(8, 4, False)]
        assert rewards(store) == meant((1, 0), (1, 0))


def test_a_new_segment_begins_when_one_is_full(tmp_path):
    with Store.open(tmp_path, segment_bytes=5000) as store:
        for episode in range(10):
            store.append([block(episode)])
        assert len(segments(tmp_path)) > 1
        assert rewards(store) == meant(*((episode, 0) for episode in range(10)))
    with Store.open(tmp_path, segment_bytes=5000) as store:
        store.append([block(10)])
        assert rewards(store) == meant(*((episode, 0) for episode in range(11)))


def test_threads_that_append_at_once_share_commits_and_lose_nothing(tmp_path):
    threads, each = 8, 12
    with Store.open(tmp_path) as store:
        commits = []
        act = store._joining._act
        store._joining._act = lambda requests: commits.append(len(requests)) or act(requests)
        begin, answers = Barrier(threads), {}

        def collect(number):
            begin.wait(30)
            for sequence in range(each):
                answers[number, sequence] = store.append([block(number, sequence)])[0]

        running = [Thread(target=collect, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(60)
        assert sum(commits) == threads * each > len(commits)
        assert sorted(answer.first for answer in answers.values()) == list(range(0, threads * each * STEPS, STEPS))
        for (number, sequence), answer in answers.items():
            found, _ = store.locate(np.array([answer.first]))
            head = store.read_prefix(found.entry(0))
            assert (head.episode, head.sequence) == (number, sequence)


def test_threads_sample_while_others_append_prune_and_compact(tmp_path):
    done, troubles = Event(), []

    def sample(store, seed):
        rng = np.random.default_rng(seed)
        while not done.is_set():
            try:
                live = store.live
                found, step = store.locate(rng.integers(0, len(live), 4), live)
                for row in range(4):
                    head = store.read_prefix(found.entry(row))
                    said = head.light("reward")[step[row]]
                    if said != 1000 * head.episode + step[row]:
                        troubles.append((head.episode, step[row], said))
            except Gone:
                pass  # it left between drawing and reading
            except BaseException as error:
                troubles.append(error)
                return

    with Store.open(tmp_path, durability="kill", segment_bytes=5000) as store:
        store.append([block(0)])
        threads = [Thread(target=sample, args=(store, seed)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for episode in range(1, 150):
            store.append([block(episode)])
            if episode % 20 == 0:
                store.prune(f"episode < {episode - 10} AND episode > {episode - 18}")
                store.compact(0.2)
        done.set()
        for thread in threads:
            thread.join(30)
        assert not troubles
        assert store.verify().sound


def test_an_error_in_a_shared_commit_reaches_all_who_shared_it_and_nothing_is_stored(tmp_path, monkeypatch):
    with Store.open(tmp_path) as store:
        store.append([block(0)])

        def fail(*_):
            raise OSError(5, "the disk is gone")

        with monkeypatch.context() as broken:
            broken.setattr(store.files, "sync", fail)
            with pytest.raises(OSError, match="gone"):
                store.append([block(1)])
        assert rewards(store) == meant((0, 0))
        assert store.append([block(1)]) == [(4, 4, False)]
        assert rewards(store) == meant((0, 0), (1, 0))


def test_a_second_writer_hears_who_the_first_is_and_readers_are_welcome(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(0)])
        with pytest.raises(Busy, match=str(os.getpid())):
            Store.open(tmp_path)
        with Store.open(tmp_path, read_only=True) as reader:
            assert rewards(reader) == meant((0, 0))
            store.append([block(1)])
            assert rewards(reader) == meant((0, 0), (1, 0))
            with pytest.raises(Unwritable, match="read_only"):
                reader.append([block(2)])
    Store.open(tmp_path).close()


def test_a_reader_in_another_process_sees_what_is_committed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from user_gym.system.buffer.store import Store\n"
        "with Store.open(Path(sys.argv[1]), read_only=True) as store:\n"
        "    for line in sys.stdin:\n"
        "        print(len(store), flush=True)\n"
    )
    with Store.open(tmp_path) as store:
        store.append([block(0)])
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            for episode in range(1, 4):
                process.stdin.write("\n")
                process.stdin.flush()
                assert int(process.stdout.readline()) == STEPS * episode
                store.append([block(episode)])
            process.stdin.close()


def test_the_group_raw_is_kept_apart_and_never_sampled(tmp_path):
    with Store.open(tmp_path) as store:
        assert store.append([block(0), block(0, group="raw"), block(1, group="raw")]) == [
            (0, 4, False),
            (0, 4, False),
            (4, 4, False),
        ]
        assert store.append([block(0, group="raw")]) == [(0, 4, True)]
        assert rewards(store) == meant((0, 0))
        with pytest.raises(BadOption, match="training or raw"):
            store.append([block(0, group="pictures")])
        store.prune("episode = 0")
        assert store.stats()["live_bytes"] == len(block(1, group="raw").data)


def test_a_block_whose_numbers_are_none_is_refused_and_hurts_nobody(tmp_path):
    with Store.open(tmp_path) as store:
        for changes in ({"reward": np.full(STEPS, np.nan, np.float32)}, {"wall_time": float("inf")}):
            with pytest.raises(BadChunk, match="finite"):
                store.append([block(0), block(1, **changes)])
        with pytest.raises(BadChunk, match="sequence"):
            store.append([block(0), Encoder().encode(replace(steps(STEPS), sequence=(1 << 62) + 1))])
        assert len(store) == 0


def test_the_columns_of_a_condition_are_those_of_the_block(tmp_path):
    with Store.open(tmp_path) as store:
        none = np.zeros(STEPS, bool)
        over = np.array([False] * (STEPS - 1) + [True])
        store.append([block(3, 2, terminated=over, is_intervention=over, kind="demo", env_id="User/X-v0", wall_time=5.0)])
        store.append([block(3, 3, is_intervention=none)])
        with store.lookup.reading() as catalog:
            cursor = catalog.database.execute("SELECT * FROM chunks ORDER BY first")
            names = [column[0] for column in cursor.description]
            first, second = (dict(zip(names, row, strict=True)) for row in cursor)
    assert first == {
        "source": "a", "robot": "franka-fr3", "task": "peg", "kind": "demo", "env_id": "User/X-v0", "spec_hash": "",
        "episode": 3, "sequence": 2, "steps": STEPS, "success": 0, "return": 4 * 3020 + 6.0, "reward_min": 3020.0,
        "reward_max": 3023.0, "policy_version_min": 3020, "policy_version_max": 3023, "time_min": pytest.approx(302.1),
        "time_max": pytest.approx(302.4), "interventions": 1, "terminated": 1, "truncated": 0, "wall_time": 5.0, "first": 0,
    }  # fmt: skip
    assert (second["interventions"], second["terminated"], second["first"]) == (0, 0, STEPS)


def test_success_is_that_of_the_whole_episode_in_whatever_order_it_comes(tmp_path):
    won = np.array([False] * (STEPS - 1) + [True])
    with Store.open(tmp_path) as store:
        store.append([block(0, 0), block(1, 0), block(0, 2, success=won), block(0, 1)])
        with store.lookup.reading() as catalog:
            rows = catalog.database.execute("SELECT episode, sequence, success FROM chunks ORDER BY first").fetchall()
        assert rows == [(0, 0, 1), (1, 0, 0), (0, 2, 1), (0, 1, 1)]
        assert [change[1:] for change in store.changes(0) if change.kind == "success"] == [("success", 0, 0)]


def test_use_after_close_is_refused_and_close_may_come_twice(tmp_path):
    store = Store.open(tmp_path)
    store.append([block(0)])
    found, _ = store.locate(np.array([0]))
    store.close()
    store.close()
    for use in (lambda: store.append([block(1)]), lambda: len(store), lambda: store.read_block(found.entry(0))):
        with pytest.raises(Closed):
            use()


def test_options_that_are_none_and_folders_that_hold_something_else_are_refused(tmp_path):
    with pytest.raises(BadOption, match="power or kill"):
        Store.open(tmp_path, durability="fast")
    with pytest.raises(BadOption, match="segment_bytes"):
        Store.open(tmp_path, segment_bytes=0)
    with pytest.raises(WrongRun, match="no buffer"):
        Store.open(tmp_path / "nothing", read_only=True)
    with sqlite3.connect(tmp_path / "index.sqlite") as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(WrongRun, match="application"):
        Store.open(tmp_path)


def test_pictures_come_back_bit_for_bit(tmp_path):
    with Store.open(tmp_path) as store:
        given = [pictured(episode) for episode in range(3)]
        store.append(given)
        found, _ = store.locate(np.array([0, STEPS, 2 * STEPS]))
        for row, one in enumerate(given):
            assert store.read_block(found.entry(row)).data == one.data
            begin, stop = one.head.items.span(1, 2)
            piece = bytearray(stop - begin)
            store.readv(found.entry(row), begin, [piece])
            assert piece == one.data[begin:stop] == store.read(found.entry(row), begin, stop)
