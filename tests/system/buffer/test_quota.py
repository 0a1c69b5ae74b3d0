"""A bound on bytes is held: the oldest leave, what people did stays, and each robot keeps its part."""

import numpy as np
import pytest
import stores
from stores import STEPS, meant, pictured, rewards, segments

from user_gym.errors import BadOption
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.quota import Quota
from user_gym.system.buffer.store import Store

NOBODY = np.zeros(STEPS, bool)


def block(episode, **changes):
    return stores.block(episode, **({"is_intervention": NOBODY} | changes))


SIZE = len(block(0).data)


def used(store):
    with store.lookup.reading() as catalog:
        return catalog.database.execute("SELECT sum(bytes) FROM segments").fetchone()[0]


def filled(folder, blocks, segment_bytes=4 * SIZE):
    store = Store.open(folder, segment_bytes=segment_bytes)
    for one in blocks:
        store.append([one])
    return store


def test_the_oldest_leave_first_and_only_as_many_as_must(tmp_path):
    with filled(tmp_path, (block(episode) for episode in range(40))) as store:
        held = store.enforce(Quota(bytes=20 * SIZE))
        assert held.bytes == used(store) == sum(path.stat().st_size for path in segments(tmp_path)) <= 20 * SIZE
        first = 40 - len(store) // STEPS
        assert 20 <= first <= 24
        assert rewards(store) == meant(*((episode, 0) for episode in range(first, 40)))
        assert store.enforce(Quota(bytes=20 * SIZE)) == (held.bytes, 0, 0, False)
        assert store.append([block(0)]) == [(0, STEPS, True)]


def test_demos_and_interventions_stay_and_so_does_what_a_condition_keeps(tmp_path):
    helped = np.array([False] * (STEPS - 1) + [True])

    def one(episode):
        kind, by = ("demo", helped) if episode % 5 == 0 else ("policy", helped if episode % 5 == 1 else NOBODY)
        return block(episode, kind=kind, is_intervention=by)

    with filled(tmp_path, map(one, range(40))) as store:
        held = store.enforce(Quota(bytes=20 * SIZE))
        left = {int(reward // 1000) for reward in rewards(store)}
        assert {episode for episode in range(40) if episode % 5 < 2} <= left
        assert held.bytes <= 20 * SIZE
        assert held.compacted > 0
        held = store.enforce(Quota(bytes=5 * SIZE))
        assert {int(reward // 1000) for reward in rewards(store)} == {e for e in range(40) if e % 5 < 2}
        assert held.kept  # never dropped for a quota
        assert held.bytes > 5 * SIZE
        store.enforce(Quota(bytes=5 * SIZE, keep="episode = 7 OR episode = 6"))
        assert min(rewards(store)) == 6000


def test_a_robot_keeps_its_share(tmp_path):
    def one(episode):
        return block(episode, robot="arx-x5" if episode < 10 else "franka-fr3")

    with filled(tmp_path, map(one, range(40))) as store:
        store.enforce(Quota(bytes=20 * SIZE, shares={"arx-x5": 0.25}))
        left = [int(reward // 1000) for reward in rewards(store)[::STEPS]]
        assert sum(episode < 10 for episode in left) == 5
        assert left[:5] == [5, 6, 7, 8, 9]


def test_one_source_can_be_cut_out_and_its_bytes_too(tmp_path):
    with filled(tmp_path, (block(episode, source=f"collector-{episode % 3}") for episode in range(30))) as store:
        store.prune("source = 'collector-1'")
        store.compact(0.0)
        data = b"".join(path.read_bytes() for path in segments(tmp_path))
        assert b"collector-0" in data
        assert b"collector-1" not in data
        assert len(store) == 20 * STEPS


def test_a_quota_given_to_open_is_held_beside_the_appends(tmp_path, monkeypatch):
    monkeypatch.setattr("user_gym.system.buffer.housekeeping.SYNC_EVERY", 0.0)
    with Store.open(tmp_path, segment_bytes=4 * SIZE, bound=Quota(bytes=12 * SIZE)) as store:
        for episode in range(100):
            store.append([block(episode)])
        for _ in range(1000):
            if used(store) <= 12 * SIZE:
                break
            store._housekeeping._thread.join(0.02)
            store._housekeeping.check()
        assert used(store) <= 12 * SIZE
        assert rewards(store)[-1] == 99_003


def test_raw_blocks_leave_with_their_chunk_and_count(tmp_path):
    both = [one for episode in range(20) for one in (block(episode), pictured_raw(episode))]
    with filled(tmp_path, both, segment_bytes=1) as store:
        before = used(store)
        held = store.enforce(Quota(bytes=before // 2))
        assert held.bytes <= before // 2
        with store.lookup.reading() as catalog:
            kept, raw = (
                [row[0] for row in catalog.database.execute(f"SELECT episode FROM {table} ORDER BY 1")]
                for table in ("blocks", "raw")
            )
        assert kept == raw
        assert 8 <= len(kept) < 12


def pictured_raw(episode):
    return Encoder(group="raw").encode(pictured(episode, is_intervention=NOBODY).chunk())


@pytest.mark.parametrize(
    "changes", [{"bytes": 0}, {"bytes": 9, "shares": {"a": 0.7, "b": 0.5}}, {"bytes": 9, "keep": "nonsense"}]
)
def test_a_quota_that_is_none_is_refused(changes):
    with pytest.raises(BadOption):
        Quota(**changes)
