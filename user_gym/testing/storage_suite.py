"""What every Storage must do, wherever it keeps experience. A backend subclasses this in three lines:

    class TestMyStore(StorageSuite):
        def open(self):
            return Store(self.folder / "experience")

It knows the records of `core.learning` and the documented columns of a view; no file and no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from user_gym.core import Batch, Chunk, Storage
from user_gym.errors import BadChunk, BadOption, Closed

DRAWS = 4000  # that miss one of 30 transitions once in 10^57 runs
Rows = set[tuple[Any, ...]]


class StorageSuite:
    """Subclass it; the name of the subclass begins with Test. `folder` is an empty folder, new for each test."""

    folder: Path

    def open(self) -> Storage:
        """An empty storage, room for a thousand transitions."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _new_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def storage(self) -> Iterator[Storage]:
        """Empty."""
        storage = self.open()
        yield storage
        storage.close()

    def test_it_and_its_views_are_storages(self, storage: Storage) -> None:
        """By the protocol."""
        assert isinstance(storage, Storage)
        assert isinstance(storage.view("success"), Storage)

    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize("ends", ["terminated", "truncated", "neither"])
    def test_every_transition_comes_back(self, storage: Storage, ends: str, backwards: bool) -> None:
        """Whatever the cuts, the order and the end of the episodes: all columns, and next_obs across a cut."""
        chunks = []
        for episode, lengths in enumerate([(3, 1, 4), (2,), (1, 1), (5, 2, 3)]):
            for sequence, n in enumerate(lengths):
                over = np.zeros(n, bool)
                over[-1] = sequence == len(lengths) - 1
                began = 100 * episode + sum(lengths[:sequence])
                chunks.append(steps(n, began, episode, sequence, **({ends: over} if ends != "neither" else {})))
        for chunk in reversed(chunks) if backwards else chunks:
            storage.append(chunk)
        assert len(storage) == sum(map(len, chunks))
        assert drawn(storage) == transitions(*chunks)

    def test_an_append_is_acknowledged_and_a_repeated_one_adds_nothing(self, storage: Storage) -> None:
        """By source, episode and sequence."""
        assert storage.append(steps(3)) == (0, 3, False)
        assert storage.append(steps(2, 50, episode=1)) == (3, 2, False)
        assert storage.append(steps(3)) == (0, 3, True)
        assert len(storage) == 5
        for other in (steps(1, 70, source="b"), steps(1, 70, episode=2), steps(1, 70, sequence=1)):
            assert not storage.append(other).repeated
        assert len(storage) == 8

    def test_a_batch_is_uniform_and_follows_the_generator(self, storage: Storage) -> None:
        """Equal generators draw equal batches, all transitions equally often."""
        storage.append(steps(4))
        storage.append(steps(6, 10, episode=1))
        one, two = (storage.sample(20_000, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(one.reward, two.reward)
        _, counts = np.unique(one.reward, return_counts=True)
        assert len(counts) == 10
        assert np.abs(counts - 2000).max() < 200  # 4.7 standard deviations

    def test_a_run_of_steps_stays_within_its_episode(self, storage: Storage) -> None:
        """Each row, and what follows it there; 0 where nothing does; next_obs is of the last."""
        over, horizon = np.array([False, True]), 4
        storage.append(steps(3, 1))
        storage.append(steps(2, 4, sequence=1, terminated=over))
        storage.append(steps(6, 100, episode=1))
        batch = storage.sample(DRAWS, np.random.default_rng(0), horizon)
        assert batch.valid is not None
        count, first = batch.valid.sum(1), batch.reward[:, 0]
        assert (batch.valid == (np.arange(horizon) < count[:, None])).all()  # no gaps
        assert (batch.valid[:, 0]).all()
        assert count.max() == horizon
        assert (first + count <= np.where(first < 50, 6, 106)).all()
        expected = np.where(batch.valid, first[:, None] + np.arange(horizon), 0)
        for column in (batch.reward, batch.action[..., 0], -2 * batch.extra["log_prob"]):
            np.testing.assert_array_equal(column, expected)
        np.testing.assert_array_equal(batch.obs["state"][:, 0], first)
        np.testing.assert_array_equal(batch.next_obs["state"][:, 0], first + count)
        np.testing.assert_array_equal(batch.terminated, batch.valid & (expected == 5))
        with pytest.raises(BadOption):
            storage.sample(1, np.random.default_rng(0), 0)

    def test_a_batch_has_the_documented_types(self, storage: Storage) -> None:
        """And n rows of each; observations keep their own."""
        storage.append(steps(4))
        batch = storage.sample(7, np.random.default_rng(0))
        types = {
            "action": np.float32, "ordered": np.float32, "reward": np.float32, "terminated": np.bool_,
            "truncated": np.bool_, "policy_version": np.int64, "is_intervention": np.bool_,
        }  # fmt: skip
        assert {name: getattr(batch, name).dtype.type for name in types} == types
        assert {getattr(batch, name).shape for name in ("action", "ordered")} == {(7, 2)}
        for obs in (batch.obs, batch.next_obs):
            assert (obs["state"].shape, obs["state"].dtype) == ((7, 3), np.float32)
            assert (obs["image"].shape, obs["image"].dtype) == ((7, 4, 5, 3), np.uint8)

    def test_what_sample_returns_belongs_to_the_caller(self, storage: Storage) -> None:
        """And what append was given, to its owner."""
        given = steps(3, 5)
        storage.append(given)
        before = drawn(storage)
        batch = storage.sample(5, np.random.default_rng(0))
        for array in (
            *batch.obs.values(),
            *batch.next_obs.values(),
            batch.action,
            batch.ordered,
            given.action,
            given.obs["state"],
        ):
            array[:] = 0
        assert drawn(storage) == before

    @pytest.mark.parametrize("horizon", [1, 3])
    def test_a_batch_is_written_into_the_arrays_that_are_given(self, storage: Storage, horizon: int) -> None:
        """Those of an earlier one, all of them; of a view too. Arrays for another batch are refused."""
        storage.append(steps(4))
        storage.append(steps(5, 50, episode=1))
        for source in (storage, storage.view("steps > 4")):
            old = source.sample(6, np.random.default_rng(0), horizon)
            for array in (*old.obs.values(), *old.next_obs.values(), *old.extra.values(), old.action, old.reward):
                array[...] = 7
            batch = source.sample(6, np.random.default_rng(1), horizon, out=old)
            expected = source.sample(6, np.random.default_rng(1), horizon)
            assert batch.action is old.action
            for name in ("action", "ordered", "reward", "terminated", "policy_version", "is_intervention", "valid"):
                np.testing.assert_array_equal(getattr(batch, name), getattr(expected, name))
            for group in ("obs", "next_obs", "extra"):
                for name, array in getattr(expected, group).items():
                    np.testing.assert_array_equal(getattr(batch, group)[name], array)
                    assert getattr(batch, group)[name] is getattr(old, group)[name]
            for n, wrong in ((5, horizon), (6, horizon + 1)):
                with pytest.raises(BadOption):
                    source.sample(n, np.random.default_rng(1), wrong, out=old)

    def test_views_select_chunks_and_grow(self, storage: Storage) -> None:
        """Also those made before the chunks came, and views of views."""
        view = storage.view("kind = 'demo'")
        storage.append(steps(3))
        demo = steps(3, 50, source="human", kind="demo")
        storage.append(demo)
        assert len(view) == 3
        assert drawn(view) == transitions(demo)
        more = steps(2, 70, episode=1, source="human", kind="demo")
        storage.append(more)
        assert len(view) == view.stats()["transitions"] == 5
        assert drawn(view) == transitions(demo, more)
        assert len(view.view("episode = 1 OR robot = 'x'")) == 2

    def test_success_is_that_of_the_whole_episode(self, storage: Storage) -> None:
        """Also of chunks that came before it, and after."""
        good, bad = storage.view("success"), storage.view("NOT success")
        storage.append(steps(3))
        assert (len(good), len(bad)) == (0, 3)
        storage.append(steps(2, 3, sequence=1, success=np.array([False, True])))
        assert (len(good), len(bad)) == (5, 0)
        storage.append(steps(1, 5, sequence=2))
        storage.append(steps(4, 20, episode=1))
        assert (len(good), len(bad)) == (6, 4)

    @pytest.mark.parametrize("where", ["", "nope = 1", "1; DROP TABLE chunks", "1) OR (1", "load_extension('x')"])
    def test_a_condition_that_is_none_is_refused(self, storage: Storage, where: str) -> None:
        """BadOption, and nothing is lost."""
        storage.append(steps(3))
        with pytest.raises(BadOption):
            storage.view(where)
        assert len(storage) == 3

    def test_a_view_cannot_be_written(self, storage: Storage) -> None:
        """BadOption."""
        with pytest.raises(BadOption):
            storage.view("success").append(steps(3))

    @pytest.mark.parametrize(
        "changes",
        [
            {"reward": np.full(3, np.nan, np.float32)},
            {"action": np.full((3, 2), np.inf, np.float32)},
            {"ordered": np.zeros((2, 2), np.float32)},
            {"truncated": np.array([True, False, False])},
            {"time": np.array([0.1, 0.3, 0.2])},
            {"reward": np.zeros(3)},
            {"kind": "dream"},
            {"episode": -1},
            {"obs": {"state": np.zeros((3, 3), np.float32)}},
            {"obs": {"state": np.zeros((4, 7), np.float64)}},
            {"obs": {"state": np.zeros((4, 7, 1), np.float32)}},
        ],
        ids=lambda changes: " ".join(changes),
    )
    def test_a_chunk_that_does_not_fit_is_refused_and_leaves_no_trace(self, storage: Storage, changes: dict[str, Any]) -> None:
        """BadChunk: columns that do not fit together, or that no batch could hold beside the first chunk's."""
        storage.append(steps(3))
        with pytest.raises(BadChunk):
            storage.append(replace(steps(3, 10, episode=1), **changes))
        assert len(storage) == 3
        assert not storage.append(steps(3, 10, episode=1)).repeated

    def test_an_empty_storage_says_so(self, storage: Storage) -> None:
        """BadOption, for a view with nothing in it too."""
        for empty in (storage, storage.view("success")):
            assert len(empty) == 0
            with pytest.raises(BadOption):
                empty.sample(1, np.random.default_rng(0))

    def test_use_after_close_is_refused_and_close_may_come_twice(self, storage: Storage) -> None:
        """Closed; of its views too."""
        storage.append(steps(3))
        view, rng = storage.view("steps > 0"), np.random.default_rng(0)
        view.close()
        assert len(storage) == 3  # a view's close is not the storage's
        storage.close()
        storage.close()
        uses: tuple[Callable[[], Any], ...] = (
            lambda: storage.append(steps(2, episode=1)),
            lambda: storage.sample(1, rng),
            lambda: storage.view("steps > 0"),
            lambda: view.sample(1, rng),
        )
        for use in uses:
            with pytest.raises(Closed):
                use()


def steps(n: int = 3, began: int = 0, episode: int = 0, sequence: int = 0, **changes: Any) -> Chunk:
    """A sound chunk whose every number tells its row: row i of the episode says began + i. `changes` replace columns."""
    row = np.arange(began, began + n + 1, dtype=np.float32)
    state, image = (
        row[:, None] + np.zeros(3, np.float32),
        np.zeros((n + 1, 4, 5, 3), np.uint8) + row.astype(np.uint8)[:, None, None, None],
    )
    none, now = np.zeros(n, bool), row[:-1]
    made = Chunk(
        source="a", episode=episode, sequence=sequence, robot="franka-fr3", task="peg", kind="policy",
        obs={"state": state, "image": image}, action=np.stack([now, -now], -1), ordered=np.stack([now + 0.5, -now], -1),
        reward=now.copy(), terminated=none, truncated=none, success=none, policy_version=now.astype(np.int64),
        is_intervention=now % 2 == 0, reward_source=("rule",) * n, time=0.1 * (1 + now.astype(float)), wall_time=1.0,
        extra={"log_prob": -0.5 * now},
    )  # fmt: skip
    return replace(made, **changes)


def drawn(storage: Storage) -> Rows:
    """What a storage says, as a set of plain tuples."""
    batch: Batch = storage.sample(DRAWS, np.random.default_rng(0))
    columns = (
        *(
            batch.obs["state"][:, 0],
            batch.obs["image"][:, 3, 4, 2],
            batch.next_obs["state"][:, 2],
            batch.next_obs["image"][:, 0, 0, 0],
        ),
        *(batch.action[:, 1], batch.ordered[:, 0], batch.reward, batch.terminated, batch.truncated),
        *(batch.policy_version, batch.is_intervention, batch.extra["log_prob"]),
    )
    return set(zip(*(column.tolist() for column in columns), strict=True))


def transitions(*chunks: Chunk) -> Rows:
    """The same tuples by brute force."""
    rows: Rows = set()
    for c in chunks:
        state, image = c.obs["state"], c.obs["image"]
        for i in range(len(c)):
            seen = (state[i, 0], image[i, 3, 4, 2], state[i + 1, 2], image[i + 1, 0, 0, 0])
            did = (c.action[i, 1], c.ordered[i, 0], c.reward[i], c.terminated[i], c.truncated[i])
            rows.add(tuple(v.item() for v in (*seen, *did, c.policy_version[i], c.is_intervention[i], c.extra["log_prob"][i])))
    return rows
