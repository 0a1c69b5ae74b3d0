"""A block without its first observation is taken only where another holds that observation."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from stores import block, meant, rewards

from user_gym.errors import BadChunk, NoSpace
from user_gym.system import Buffer
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.joining import Joining
from user_gym.system.buffer.store import Store
from user_gym.testing.storage_suite import steps


def lost(obs):
    obs.pop("image")


def wider(obs):
    obs["state"] = np.concatenate([obs["state"], obs["state"]], 1)


def doubled(obs):
    obs["state"] = obs["state"].astype(np.float64)


def renamed(obs):
    obs["other"] = obs.pop("state")


def kept(store):
    """What it holds; not how much of its index lies in memory, which a thread loads."""
    counts = {name: count for name, count in store.stats().items() if name != "index_memory_bytes"}
    return counts, rewards(store)


def pair(change, group="training"):
    """A block, and the one after it, which has other observations and does not hold its first."""
    before, after = steps(4, 0, 0, 0), steps(4, 10, 0, 1)
    obs = {name: np.array(column) for name, column in after.obs.items()}
    change(obs)
    encoder = Encoder(group=group)
    return encoder.encode(before), encoder.encode(replace(after, obs=obs), follows=True)


@pytest.mark.parametrize("change", [wider, doubled, renamed])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("group", ["training", "raw"])
def test_one_with_other_observations_is_refused_and_nothing_is_stored(tmp_path, change, backwards, group):
    first, second = pair(change, group)[:: -1 if backwards else 1]
    with Store.open(tmp_path) as store:
        store.append([first, block(7)])
        stored = kept(store)
        with pytest.raises(BadChunk, match=r"chunk [01] of episode 0 .* other observations: '(state|other)' is "):
            store.append([block(8), second])
        assert kept(store) == stored
        store.append([block(9)])
        assert rewards(store) == [*stored[1], *meant((9, 0))]


def test_one_that_needs_fewer_of_them_is_taken():
    first, second = pair(lost)
    for given in ([first, second], [second, first]):
        with Buffer.open(":memory:") as buffer:
            buffer.extend(given)
            batch = buffer.sample(100, np.random.default_rng(0))
            assert set(batch.reward.tolist()) == {0, 1, 2, 3, 10, 11, 12, 13}
            assert batch.padding is not None
            np.testing.assert_array_equal(batch.padding.present["obs.image"], batch.reward < 10)
            assert sorted(sorted(buffer.chunk(number).obs) for number in (1, 5)) == [["image", "state"], ["state"]]


def test_one_that_holds_its_first_observation_may_have_any(tmp_path):
    before, after = steps(4, 0, 0, 0), steps(4, 10, 0, 1)
    with Store.open(tmp_path) as store:
        store.append([Encoder().encode(before), Encoder().encode(replace(after, obs={"other": after.obs["state"]}))])
        assert len(store) == 8


def test_where_the_segments_hold_such_a_pair_a_new_index_takes_one_of_them(tmp_path, caplog):
    first, second = pair(renamed)
    with Store.open(tmp_path) as store:
        store.append([first, block(7)])
        (segment,) = (tmp_path / "segments").iterdir()
    with segment.open("ab") as file:
        file.write(second.data)
    for _ in range(2):  # with the index, and without
        with Store.open(tmp_path) as store:
            assert rewards(store) == meant((0, 0), (7, 0))
            assert store.stats()["quarantined_blocks"] == 1
            assert store.verify().sound
        (tmp_path / "index.sqlite").unlink()


def test_what_is_wrong_with_one_of_several_that_append_at_once_is_no_matter_of_the_others():
    lock, answers = threading.RLock(), {}

    def act(given):
        if -1 in given:
            raise BadChunk("this one")
        if sum(given) > 10:
            raise NoSpace("for all of them")
        return [2 * number for number in given]

    joining = Joining(act, lock)

    def call(number):
        try:
            answers[number] = joining(number)
        except (BadChunk, NoSpace) as error:
            answers[number] = str(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in (3, -1, 9, 20)]
    with lock:
        for thread in threads:
            thread.start()
        for _ in range(10_000):
            if len(joining._calls) == len(threads):
                break
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(30)
    assert answers == {3: 6, -1: "this one", 9: 18, 20: "for all of them"}
