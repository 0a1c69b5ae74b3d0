"""Live steps are found: by SQL until the index is in memory, then in memory, and always the same."""

from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import block, flip, meant, rewards

from benchmarks.bench_buffer_index import build
from user_gym.errors import BadChunk, BadOption, Gone
from user_gym.system.buffer import connection, snapshot
from user_gym.system.buffer.catalog import Catalog
from user_gym.system.buffer.entries import DTYPES, Entries, MemoryIndex
from user_gym.system.buffer.gaps import Live
from user_gym.system.buffer.lookup import Lookup
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.store import Store

ROWS = 200_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An index of 200,000 blocks of 10 steps, packed."""
    folder = tmp_path_factory.mktemp("large")
    build(folder, ROWS)
    return folder


@pytest.fixture
def catalog(large):
    catalog = Catalog(connection.connect_reader(large))
    yield catalog
    catalog.database.close()


def test_sql_and_memory_find_the_same(large):
    numbers = np.random.default_rng(0).integers(0, ROWS * 10, 500)
    lookup = Lookup(lambda: connection.connect_reader(large))
    early = lookup.find(numbers)
    after = lookup.following(early.first[:50])
    assert not lookup.loaded
    lookup.start()
    assert lookup.wait(60)
    late = lookup.find(numbers)
    for one, other in zip(early.columns, late.columns, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(early.first, numbers // 10 * 10)
    np.testing.assert_array_equal(lookup.following(early.first)[:50], after)
    assert lookup.nbytes <= 100 * ROWS
    lookup.close()


def test_pages_say_what_the_rows_say_with_or_without_holes(large, catalog):
    rows = Entries.joined(list(catalog.entries(0)))
    assert len(rows) == ROWS
    same(snapshot.load(catalog).entries, rows)
    pages = catalog.database.execute("SELECT count(*), sum(last - first) FROM pages").fetchone()
    assert pages[0] == ROWS // snapshot.PAGE
    writer = connection.connect_writer(large, durable=False)
    writer.execute("DELETE FROM pages WHERE first IN (SELECT first FROM pages ORDER BY first LIMIT 2 OFFSET 3)")
    writer.execute("UPDATE pages SET data = zeroblob(length(data)) WHERE first = (SELECT max(first) FROM pages)")
    same(snapshot.load(catalog).entries, rows)
    writer.execute("DELETE FROM pages WHERE first = (SELECT max(first) FROM pages)")
    since = 0
    for _ in range(8):
        since = snapshot.pack(Catalog(writer), since, 1)
    writer.close()
    same(snapshot.load(catalog).entries, rows)
    assert catalog.database.execute("SELECT count(*), sum(last - first) FROM pages").fetchone() == pages


def same(one: Entries, other: Entries) -> None:
    for name in DTYPES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_what_changes_while_it_is_loaded_is_known(tmp_path):
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(20)])
    with Store.open(tmp_path) as store, Store.open(tmp_path, read_only=True) as reader:
        for one in (store, reader):
            assert one.lookup.wait(30)
        store.append([block(20, 1, follows=True)])
        store.append([block(20, 0)])
        store.prune("episode >= 3 AND episode < 9")
        store.compact(0.1)
        store.append([block(21)])
        expected = meant(*((episode, 0) for episode in range(20) if not 3 <= episode < 9), (20, 1), (20, 0), (21, 0))
        for one in (store, reader):
            assert rewards(one) == expected
            assert len(one.entries()) == 17
            assert one.lookup.following(np.array([84])).tolist() == [80]
        with Store.open(tmp_path, read_only=True) as late:
            assert rewards(late) == expected


def test_a_draw_sees_own_commits_at_once_and_those_of_another_process_within_5_ms(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("user_gym.system.buffer.commits.monotonic", lambda: now)
    with Store.open(tmp_path) as store, Store.open(tmp_path, read_only=True) as reader:
        for one in (store, reader):
            assert one.lookup.wait(30)
            assert len(one.lookup.recent) == 0
        (first,) = store.append([block(0)])
        assert len(store.lookup.recent) == first.steps
        assert len(reader.lookup.recent) == 0
        now += 0.006
        assert len(reader.lookup.recent) == first.steps
        (second,) = store.append([block(1)])
        assert reader.lookup.find(np.array([second.first])).first.tolist() == [second.first]  # found, though it is too new
        (third,) = store.append([block(2)])
        assert len(reader.lookup.live) == len(store.lookup.live) == third.first + third.steps


@pytest.mark.parametrize("news", [1, 3, 4096])
def test_own_commits_are_followed_as_sqlite_tells_them(tmp_path, monkeypatch, news):
    monkeypatch.setattr("user_gym.system.buffer.catalog._NEWS", news)  # so many commits can be missed, and blocks of one
    rng = np.random.default_rng(0)
    with Store.open(tmp_path) as store:
        assert store.lookup.wait(30)
        for episode in range(0, 60, 6):
            store.append([block(episode), block(episode, 1, follows=True)])
            other = {"other": np.zeros((5, 2), np.float32)}
            with pytest.raises(BadChunk, match="other observations"):
                store.append([block(episode, 3), block(episode, 2, follows=True, obs=other)])
            if rng.random() < 0.3:
                store.prune(f"episode = {episode}")
            if rng.random() < 0.7:
                assert len(store) == len(rewards(store))
            store.append([block(episode + 1, 1, follows=True)])
            store.append([block(episode + 1)])
            for more in range(2, 6):
                store.append([block(episode + more, success=np.ones(4, bool))])
        with Store.open(tmp_path, read_only=True) as other:
            assert other.lookup.wait(30)
            same(store.entries(), other.entries())
            assert rewards(store) == rewards(other)
            for number in store.live.numbers(np.arange(0, len(store), 7)).tolist():
                assert number in store.live
                found = store.lookup.find(np.array([number])).entry(0)
                assert store.lookup.entry(number) == other.lookup.entry(number) == found
            gone = set(range(store.total)) - set(store.live.numbers(np.arange(len(store))).tolist())
            assert gone
            assert not any(number in store.live for number in (*gone, -1, store.total))
            with pytest.raises(Gone):
                store.lookup.entry(store.total)


def test_a_first_batch_does_not_wait_for_the_index_in_memory(large, monkeypatch):
    asked, go_on, load = Event(), Event(), snapshot.load

    def late(catalog):
        asked.set()
        assert go_on.wait(60)
        return load(catalog)

    monkeypatch.setattr(snapshot, "load", late)
    with Store.open(large) as store:
        assert asked.wait(60)
        found, step = store.locate(np.arange(5, ROWS * 10, ROWS))
        assert (found.first + step).tolist() == list(range(5, ROWS * 10, ROWS))
        assert not store.lookup.loaded
        go_on.set()
        assert store.lookup.wait(60)


def test_opening_reads_no_block(large, monkeypatch):
    def refuse(*_):
        raise AssertionError("a segment is read")

    for name in ("scan", "head", "read", "readv"):
        monkeypatch.setattr(Segment, name, refuse)
    with Store.open(large) as store:
        assert len(store) == ROWS * 10


def test_many_changes_load_the_index_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.lookup._MANY", 3)
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(20)])
        assert store.lookup.wait(30)
        store.prune(firsts=range(0, 80, 8))
        expected = meant(*((episode, 0) for episode in range(1, 20, 2)))
        assert rewards(store) == expected
        assert store.lookup.wait(30)
        assert rewards(store) == expected
        assert len(store.entries()) == 10


def test_an_index_that_is_too_old_once_it_is_loaded_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.lookup._MANY", 3)
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(20)])
    load, gates, loads = snapshot.load, [Event(), Event()], []

    def late(catalog):
        index = load(catalog)
        loads.append(index)
        assert gates[len(loads) - 1].wait(30)
        return index

    monkeypatch.setattr(snapshot, "load", late)
    expected = meant(*((episode, 0) for episode in range(1, 20, 2)))
    with Store.open(tmp_path) as store:
        while not loads:
            Event().wait(0.001)
        store.prune(firsts=range(0, 80, 8))
        assert rewards(store) == expected  # by SQL; these changes are known now
        gates[0].set()
        assert store.lookup.wait(30)
        try:
            assert len(store.entries()) == 10
            assert rewards(store) == expected
        finally:
            gates[1].set()


def test_what_left_is_in_no_page(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 4)
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(10)])
        store._housekeeping.pack()
        store.prune("episode = 1 OR episode = 6")
    with Store.open(tmp_path) as store:
        assert store.lookup.wait(30)
        assert store.entries().first.tolist() == [first for first in range(0, 40, 4) if first not in (4, 24)]


def test_a_damaged_page_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "PAGE", 4)
    with Store.open(tmp_path) as store:
        store.append([block(episode) for episode in range(10)])
        store._housekeeping.pack()
        found = store.lookup.reading()
        with found as catalog:
            (data,) = catalog.database.execute("SELECT data FROM pages WHERE first = 0").fetchone()
    path = tmp_path / connection.NAME
    flip(path, path.read_bytes().index(data[:64]) + 3)
    with Store.open(tmp_path) as store:
        assert store.lookup.wait(30)
        assert rewards(store) == meant(*((episode, 0) for episode in range(10)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(1, 12)), max_size=12), st.integers(1, 120))
def test_ordinals_count_the_live_steps_in_their_order(ranges, total):
    gaps = np.array([(first, min(steps, total - first)) for first, steps in ranges if first < total], np.int64).reshape(-1, 2)
    live = Live.of(total, *np.empty((2, 0), np.int64)).without(*gaps.T)
    dead = {number for first, steps in gaps for number in range(first, first + steps)}
    alive = [number for number in range(total) if number not in dead]
    assert len(live) == len(alive)
    np.testing.assert_array_equal(live.numbers(np.arange(len(alive))), alive)
    assert live.grown(total + 3).numbers(np.array([len(alive) + 2])).tolist() == [total + 2]
    for ordinal in (-1, len(alive)):
        with pytest.raises(BadOption, match="ordinal"):
            live.numbers(np.array([ordinal]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.data())
def test_the_index_in_memory_is_what_was_put_into_it(lengths, data):
    firsts = np.cumsum([0, *lengths[:-1]])
    rows = [
        (int(first), steps, 1, 64 * number, 64, -1, 0, 1)
        for number, (first, steps) in enumerate(zip(firsts, lengths, strict=True))
    ]
    index = MemoryIndex()
    cut = data.draw(st.integers(0, len(rows)))
    for part in (rows[:cut], rows[cut:]):
        index.extend(Entries.of(part))
    old = index.entries
    chosen = data.draw(st.sets(st.sampled_from(rows)))
    index.change(Entries.of([(*row[:2], 9, *row[3:]) for row in sorted(chosen)]))
    assert set(index.entries.first[index.entries.segment == 9]) == {row[0] for row in chosen}
    assert (old.segment == 1).all()  # who has entries keeps them as they were
    left = [row for row in rows if row not in chosen]
    index.drop((row[0], row[0]) for row in chosen)
    assert index.entries.first.tolist() == [row[0] for row in left]
    for row in rows:
        inside = np.arange(row[0], row[0] + row[1])
        if row in chosen:
            with pytest.raises(Gone):
                index.entries.rows_of(inside)
        else:
            assert (index.entries.first[index.entries.rows_of(inside)] == row[0]).all()
    with pytest.raises(Gone):
        index.entries.rows_of(np.array([sum(lengths)]))
