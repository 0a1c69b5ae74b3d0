"""Data sets of LeRobot: what leaves a buffer comes back equal, and what others wrote comes in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow comes with the extra 'lerobot'")
import pyarrow as pa
import pyarrow.parquet as pq

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("system/buffer", "system")]
from chunks import equal
from pictures import episode, picture

from user_gym.core import Chunk
from user_gym.errors import BadOption, WrongRun
from user_gym.integrations import lerobot
from user_gym.integrations.lerobot import layout, statistics
from user_gym.system import Buffer
from user_gym.system.buffer import episodes
from user_gym.system.buffer.store import Store


def stored(folder: Path) -> list[Chunk]:
    with Store.open(folder, read_only=True) as store:
        return [chunk for found in episodes.episodes(store) for chunk in episodes.chunks(store, found)]


def extras(steps: int, number: int) -> dict[str, np.ndarray]:
    """Columns whose bits parquet could lose: -0.0, unlike NaN, the largest integers, two axes."""
    flags = np.arange(steps) % 2 == 0
    return {
        "log_prob": np.resize(np.array([0x80000000, 0, 0x7FC00000, 0x7FC00001], "<u4"), steps).view("<f4"),
        "count": np.full(steps, (1 << 63) - 1 - number),
        "force": np.arange(steps * 6, dtype=np.float64).reshape(steps, 2, 3) / 3.0,
        "ok": flags,
    }


@pytest.fixture
def buffer(tmp_path: Path) -> Path:
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        for number, ends in enumerate(("terminated", "truncated", "nothing")):
            steps = 9 + number
            for chunk in episode(steps, number, first=100 * number, chunks=3, ends=ends, noisy=number == 1):
                made = {name: getattr(chunk, name) for name in Chunk.__slots__}
                made |= {"extra": extras(len(chunk), number), "clock_offset": 3.5, "env_id": "Toy-v0"}
                buffer.append(Chunk(**made))
    return tmp_path / "buffer"


def test_a_round_trip_gives_equal_chunks(buffer: Path, tmp_path: Path) -> None:
    made = lerobot.export(buffer, tmp_path / "set")
    assert (made.episodes, made.frames, made.fps, made.lost) == (3, 30, 10, 0)
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        assert lerobot.load(back, tmp_path / "set").known == 0
        assert lerobot.load(back, tmp_path / "set").known == 30
    before, after = stored(buffer), stored(tmp_path / "back")
    assert len(before) == len(after) == 9
    for one, other in zip(before, after, strict=True):
        equal(one, other)


def test_the_files_are_those_of_the_format(buffer: Path, tmp_path: Path) -> None:
    lerobot.export(buffer, folder := tmp_path / "set")
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_frames"], info["splits"]) == ("v3.0", 30, {"train": "0:3"})
    data = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    assert data.column_names == list(info["features"])
    assert info["features"]["observation.images.camera"]["dtype"] == "image"
    assert data["observation.images.camera"][0]["bytes"].as_py().startswith(b"\x89PNG")
    assert data["index"].to_pylist() == list(range(30))
    assert data["frame_index"].to_pylist() == [*range(9), *range(10), *range(11)]
    rows = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["dataset_from_index"], row["dataset_to_index"], row["length"]) for row in rows] == [
        (0, 9, 9),
        (9, 19, 10),
        (19, 30, 11),
    ]
    assert rows[0]["tasks"] == ["peg"]
    assert layout.read_tasks(folder) == {0: "peg"}
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert set(stats["action"]) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    assert np.shape(stats["observation.images.camera"]["mean"]) == (3, 1, 1)
    done = [index for index, over in enumerate(data["next.done"].to_pylist()) if over]
    assert done == [8, 18]  # of the third episode the end is not there


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    whole = statistics.of_numbers(rows)
    parts = statistics.joined([{"x": statistics.of_numbers(rows[:20])}, {"x": statistics.of_numbers(rows[20:])}])["x"]
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-12)
    np.testing.assert_allclose(whole["std"], rows.std(axis=0))


def test_a_condition_chooses_chunks_and_gaps_part_episodes(buffer: Path, tmp_path: Path) -> None:
    made = lerobot.export(buffer, tmp_path / "set", where="reward < 2 OR (reward > 6 AND reward < 100)")
    assert (made.episodes, made.frames) == (2, 6)  # the first and the last chunk of episode 0
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        lerobot.load(back, tmp_path / "set")
    wanted = [chunk for chunk in stored(buffer) if chunk.episode == 0 and chunk.sequence != 1]
    for one, other in zip(wanted, stored(tmp_path / "back"), strict=True):
        equal(one, other)


def test_an_observation_that_the_next_chunk_does_not_begin_with_is_kept(tmp_path: Path) -> None:
    first, second = episode(6, chunks=2)
    first.obs["state"][-1] = 77.0
    with Buffer.open(tmp_path / "buffer", durability="kill") as buffer:
        buffer.extend([first, second])
    lerobot.export(tmp_path / "buffer", tmp_path / "set")
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        lerobot.load(back, tmp_path / "set")
    for one, other in zip((first, second), stored(tmp_path / "back"), strict=True):
        equal(one, other)


def test_a_column_can_stay_behind(buffer: Path, tmp_path: Path) -> None:
    lerobot.export(buffer, tmp_path / "set", skip=["camera", "force"])
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        lerobot.load(back, tmp_path / "set")
        assert list(back.chunk(0).obs) == ["state"]
        assert list(back.chunk(0).extra) == ["log_prob", "count", "ok"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": "reward > 1e6"}, "no such steps"),
        ({"skip": ["cam"]}, "bad column to skip 'cam'; allowed: .*: state, camera, log_prob"),
        ({"fps": 0}, "bad fps 0"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_no_folder(
    buffer: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(BadOption, match=message):
        lerobot.export(buffer, tmp_path / "set", **options)  # pyright: ignore[reportArgumentType]
    assert {path.name for path in tmp_path.iterdir()} == {"buffer"}


def test_two_robots_are_two_data_sets(buffer: Path, tmp_path: Path) -> None:
    with Buffer.open(buffer, durability="kill") as more:
        more.append(episode(3, 0, source="b", robot="arx-x5")[0])
    with pytest.raises(BadOption, match=r"2 sets of columns, of arx-x5, franka-fr3'; .*robot = 'arx-x5'"):
        lerobot.export(buffer, tmp_path / "set")
    assert lerobot.export(buffer, tmp_path / "set", where="robot = 'arx-x5'").frames == 3


def test_an_export_that_is_interrupted_leaves_nothing_that_looks_whole(buffer: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lerobot.export(buffer, tmp_path / "set", progress=interrupt)
    assert {path.name for path in tmp_path.iterdir()} == {"buffer"}


def foreign(buffer: Path, folder: Path) -> None:
    """A data set as another program leaves it: without our folder."""
    lerobot.export(buffer, folder)
    for name in (layout.CHUNKS, layout.LAST):
        (folder / name).unlink()


def test_another_programs_data_set_comes_in(buffer: Path, tmp_path: Path) -> None:
    foreign(buffer, tmp_path / "pegs")
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        made = lerobot.load(back, tmp_path / "pegs")
        assert (made.episodes, made.frames, made.left_out) == (3, 30, ("reward_source",))
        first, last = back.chunk(0), back.chunk(29)
    assert (first.source, first.robot, first.task, first.kind) == ("pegs", "franka-fr3", "peg", "demo")
    np.testing.assert_array_equal(first.obs["camera"][3], picture(3))
    np.testing.assert_array_equal(first.obs["camera"][9], picture(8))  # the last one is taken twice
    np.testing.assert_allclose(first.time, np.arange(1, 10) / 10)
    assert first.terminated[-1]  # a reward in the last frame
    assert len(last) == 1
    assert last.sequence == 1


def test_an_end_without_reward_is_no_terminal_state(buffer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pegs"
    foreign(buffer, folder)
    path = folder / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    names = table.column_names
    at = names.index("next.reward")
    pq.write_table(table.set_column(at, "next.reward", pa.array(np.zeros(30, np.float32))), path)
    with Buffer.open(tmp_path / "back", durability="kill") as back:
        lerobot.load(back, folder)
        assert back.chunk(0).truncated[-1]
        assert not back.chunk(0).terminated.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.1"}, "version 'v2.1'; allowed: 'v3.0'"),
        ({"total_frames": 31}, "has 30 frames; allowed: 31"),
    ],
)
def test_a_data_set_that_is_not_whole_is_refused(buffer: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = tmp_path / "pegs"
    foreign(buffer, folder)
    info = json.loads((folder / "meta/info.json").read_text())
    (folder / "meta/info.json").write_text(json.dumps(info | change))
    with Buffer.open(tmp_path / "back", durability="kill") as back, pytest.raises(WrongRun, match=message):
        lerobot.load(back, folder)


def test_videos_are_refused_with_the_cure(buffer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pegs"
    foreign(buffer, folder)
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"]["observation.images.camera"]["dtype"] = "video"
    (folder / "meta/info.json").write_text(json.dumps(info))
    with (
        Buffer.open(":memory:") as back,
        pytest.raises(BadOption, match=r"videos: observation\.images\.camera'; .*video=false"),
    ):
        lerobot.load(back, folder)
