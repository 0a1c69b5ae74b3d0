"""Files of a LeRobotDataset v3.0, written an episode at a time: data, statistics, and what the dataset says of itself.

It knows no buffer. A data file ends where an episode does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from user_gym.core import Chunk
from user_gym.errors import BadOption
from user_gym.integrations.lerobot import layout, statistics
from user_gym.integrations.lerobot.features import DONE, REWARD_SOURCE, Feature, described, hugging_face, to_arrow
from user_gym.system.buffer.layout import OBS, STEP

_GROUP_BYTES = 64 << 20  # of a row group, at most about; an episode is one where it is smaller
_TEXTS = ("source", "robot", "task", "kind", "env_id", "spec_hash", "clock")


@dataclass(slots=True)
class _Open:
    """The episode that is being written."""

    index: int
    begin: int  # frame
    every: int  # of so many frames one counts in the statistics of pictures
    light: dict[str, list[NDArray[Any]]] = field(default_factory=dict)  # feature -> rows
    pictures: dict[str, list[NDArray[Any]]] = field(default_factory=dict)  # feature -> some of its frames


class Writer:
    """One dataset, in a folder that is not there yet.

    Attributes:
        episodes: written so far.
        frames: written so far.
    """

    def __init__(self, folder: Path, robot: str, fps: int, columns: tuple[Feature, ...]) -> None:
        self.episodes = self.frames = 0
        self._folder, self._robot, self._fps, self._columns = folder, robot, fps, columns
        self._described = described(columns)
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []  # of meta/episodes
        self._stats: list[dict[str, statistics.Stats]] = []
        self._chunks: list[dict[str, Any]] = []
        self._last: list[tuple[int, dict[str, NDArray[Any]]]] = []
        self._file = self._bytes = 0  # number of the data file, and its bytes so far
        self._data: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, chunks: Iterable[Chunk], task: str, steps: int) -> None:
        """Write an episode of about so many steps."""
        episode = _Open(self.episodes, self.frames, -(-steps // statistics.FRAMES))
        before: Chunk | None = None
        for chunk in chunks:
            if before is not None and not _goes_on(before, chunk):
                self._keep_last(before)
            self._write(episode, chunk, self._tasks.setdefault(task, len(self._tasks)))
            before = chunk
        if before is None:
            return
        self._keep_last(before)
        self._end(episode, task)

    def close(self) -> None:
        """Write what the dataset says of itself. Raises BadOption if there was no step."""
        if not self.episodes:
            raise BadOption("export", "episodes whose only observations are gone", "a step with its observation")
        self._close_file()
        path = self._folder / layout.EPISODES.format(chunk_index=0, file_index=0)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self._rows), path)
        layout.write_tasks(self._folder / layout.TASKS, list(self._tasks))
        stats = statistics.joined(self._stats)
        lists = {name: {key: value.tolist() for key, value in of.items()} for name, of in stats.items()}
        layout.write_json(self._folder / layout.STATS, lists)
        layout.write_json(self._folder / layout.INFO, self._info())
        self._write_ours()

    def abandon(self) -> None:
        """Let go of the file."""
        if self._data is not None:
            self._data.close()

    def _write(self, episode: _Open, chunk: Chunk, task: int) -> None:
        steps, first = len(chunk), self.frames
        frame = np.arange(first - episode.begin, first - episode.begin + steps)
        columns: dict[str, Any] = {}
        for feature in self._columns:
            rows = _rows(chunk, feature)
            columns[feature.name] = to_arrow(feature, rows)
            if feature.is_picture:
                episode.pictures.setdefault(feature.name, []).extend(rows[frame % episode.every == 0])
            else:
                episode.light.setdefault(feature.name, []).append(rows)
        over = chunk.terminated | chunk.truncated
        columns |= {DONE: pa.array(over), REWARD_SOURCE: pa.array(chunk.reward_source, pa.string())}
        counters = {
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(steps, episode.index),
            "index": frame + episode.begin,
            "task_index": np.full(steps, task),
        }
        for name, values in {**counters, DONE: over}.items():
            episode.light.setdefault(name, []).append(values)
        self._waiting.append(pa.table({**columns, **{name: pa.array(values) for name, values in counters.items()}}))
        if sum(table.nbytes for table in self._waiting) >= _GROUP_BYTES:
            self._write_group()
        record = {name: getattr(chunk, name) for name in ("episode", "sequence", *_TEXTS, "wall_time", "clock_offset")}
        self._chunks.append({"episode_index": episode.index, "first": first, "steps": steps, **record})
        self.frames += steps

    def _write_group(self) -> None:
        if not self._waiting:
            return
        table, self._waiting = pa.concat_tables(self._waiting), []
        if self._data is None:
            folder, file = divmod(self._file, layout.FILES_PER_FOLDER)
            path = self._folder / layout.DATA.format(chunk_index=folder, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            schema = table.schema.with_metadata(hugging_face(self._described))
            texts: Any = [REWARD_SOURCE]  # a list, which the stubs do not know
            # Numbers and pictures seldom repeat: a dictionary of them would cost and win nothing.
            self._data = pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=texts)
        self._data.write_table(table, row_group_size=len(table))
        self._bytes += table.nbytes

    def _end(self, episode: _Open, task: str) -> None:
        """The episode is whole: a row says where it lies."""
        self._write_group()
        stats = {name: statistics.of_numbers(np.concatenate(rows)) for name, rows in episode.light.items()}
        stats |= {name: statistics.of_pictures(np.stack(frames)) for name, frames in episode.pictures.items()}
        folder, file = divmod(self._file, layout.FILES_PER_FOLDER)
        row = {
            "episode_index": episode.index,
            "tasks": [task],
            "length": self.frames - episode.begin,
            "data/chunk_index": folder,
            "data/file_index": file,
            "dataset_from_index": episode.begin,
            "dataset_to_index": self.frames,
            **{f"stats/{name}/{key}": value.tolist() for name, of in stats.items() for key, value in of.items()},
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        self._rows.append(row)
        self._stats.append(stats)
        self.episodes += 1
        if self._bytes >= layout.FILE_MEGABYTES << 20:  # only here: an episode lies in one file
            self._close_file()

    def _close_file(self) -> None:
        if self._data is not None:
            self._data.close()
            self._data, self._bytes, self._file = None, 0, self._file + 1

    def _keep_last(self, chunk: Chunk) -> None:
        names = [feature.column for feature in self._columns if feature.of == OBS]
        self._last.append((self.frames - 1, {name: chunk.obs[name][-1] for name in names}))

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self._robot,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.FILES_PER_FOLDER,
            "data_files_size_in_mb": layout.FILE_MEGABYTES,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": layout.DATA,
            "video_path": None,
            "features": self._described,
        }

    def _write_ours(self) -> None:
        """See `layout.CHUNKS` and `layout.LAST`."""
        columns = {"version": layout.OURS, "columns": [asdict(feature) for feature in self._columns]}
        path = self._folder / layout.CHUNKS
        path.parent.mkdir()
        table = pa.Table.from_pylist(self._chunks).replace_schema_metadata({"user_gym": json.dumps(columns)})
        pq.write_table(table, path)
        frames, rows = [frame for frame, _ in self._last], [row for _, row in self._last]
        last = {
            feature.name: to_arrow(feature, np.stack([row[feature.column] for row in rows]))
            for feature in self._columns
            if feature.of == OBS
        }
        table = pa.table({"index": pa.array(frames, pa.int64()), **last})
        pq.write_table(table, self._folder / layout.LAST, use_dictionary=False)


def _rows(chunk: Chunk, feature: Feature) -> NDArray[Any]:
    """The rows of a column that frames have: of an observation all but the last."""
    if feature.of == OBS:
        return chunk.obs[feature.column][:-1]
    return getattr(chunk, feature.column) if feature.of == STEP else chunk.extra[feature.column]


def _goes_on(before: Chunk, chunk: Chunk) -> bool:
    """Whether the last observation of a chunk is the first of the next, bit for bit."""
    return all(before.obs[name][-1].tobytes() == column[0].tobytes() for name, column in chunk.obs.items())
