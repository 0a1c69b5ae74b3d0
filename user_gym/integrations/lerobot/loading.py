"""A LeRobotDataset v3.0 becomes chunks of a storage: exactly those that were exported, or made from another's frames.

Another's dataset has one observation for each frame, and none after the last step of an episode: the last one is taken twice.
It does not say why an episode ended: "terminated" where its last frame has a reward or a success, else "truncated", so that the
value after it is asked for and not taken for 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from user_gym.core import Chunk, Storage
from user_gym.errors import BadOption, WrongRun
from user_gym.integrations.lerobot import layout
from user_gym.integrations.lerobot.features import COUNTERS, DONE, REWARD_SOURCE, STATE, STEPS, Feature, from_arrow, picture
from user_gym.system.buffer.layout import EXTRA, OBS, STEP
from user_gym.system.buffer.repair import Progress, unseen

_NUMBERS = ("bool", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


@dataclass(slots=True)
class Loaded:
    """What an import did."""

    episodes: int = 0
    frames: int = 0
    known: int = 0  # frames of chunks that were there already
    left_out: tuple[str, ...] = ()  # features that a buffer has no column for: texts


def load(
    storage: Storage,
    folder: str | Path,
    *,
    source: str | None = None,
    robot: str | None = None,
    kind: str = "demo",
    progress: Progress = unseen,
) -> Loaded:
    """Append the episodes of a LeRobotDataset v3.0. Repeating it adds nothing.

    Args:
        storage: takes the chunks, such as a Buffer.
        folder: of the dataset.
        source: of the chunks; None: the folder's name. A dataset of ours says itself what source, robot and kind are.
        robot: None: as the dataset says.
        kind: "demo" or "policy".
        progress: is told frames.

    Raises:
        WrongRun: there is no such dataset, or a file of it cannot be read.
        BadOption: its pictures are videos, or it has no actions.
    """
    folder = Path(folder)
    info = layout.read_info(folder)
    loaded = Loaded()
    if (folder / layout.CHUNKS).exists():
        chunks = _ours(folder)
    else:
        foreign = _Foreign(info, layout.read_tasks(folder), source or folder.name, robot or info.get("robot_type"), kind)
        loaded.left_out = foreign.left_out
        chunks = (chunk for table in _episodes(folder) for chunk in foreign.chunks(table))
    total, last = int(info["total_frames"]), None
    for chunk in chunks:
        answer = storage.append(chunk)
        loaded.frames += len(chunk)
        loaded.known += len(chunk) if answer.repeated else 0
        loaded.episodes += (chunk.source, chunk.episode) != last
        last = (chunk.source, chunk.episode)
        progress(loaded.frames, total)
    if loaded.frames != total:
        cure = "copy the data set anew; what is there was appended"
        raise WrongRun(f"{folder} has {loaded.frames} frames; allowed: {total}, as {layout.INFO} says; {cure}")
    return loaded


def _episodes(folder: Path) -> Iterator[pa.Table]:
    """The frames of one episode after another. Raises WrongRun."""
    for path in sorted(folder.glob("data/*/*.parquet")):
        try:
            table = pq.read_table(path)
            numbers = table["episode_index"].to_numpy()
        except (OSError, pa.ArrowException, KeyError) as error:
            raise WrongRun(f"{path} cannot be read: {error}; allowed: a data file of a LeRobotDataset; copy it anew") from error
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for begin, end in pairwise(cuts):
            if end > begin:
                yield table.slice(begin, end - begin)


def _pictures(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Frames (n, height, width, 3) of a column of picture files. Raises BadOption where there is a path alone."""
    rows = column.to_pylist()
    if any(not row or not row["bytes"] for row in rows):
        raise BadOption("picture of a dataset", rows[0], "bytes of a picture file within the parquet file", "embed them")
    return np.stack([picture(row["bytes"]) for row in rows])


def _ours(folder: Path) -> Iterator[Chunk]:
    """The chunks of a dataset that `export` wrote, as they were."""
    records = pq.read_table(folder / layout.CHUNKS)
    said = json.loads((records.schema.metadata or {}).get(b"user_gym", b"{}"))
    if said.get("version") != layout.OURS:
        found = said.get("version")
        raise WrongRun(f"{folder / layout.CHUNKS} is of version {found}; allowed: {layout.OURS}; use the version that wrote it")
    columns = [Feature(**{**column, "shape": tuple(column["shape"])}) for column in said["columns"]]
    last = pq.read_table(folder / layout.LAST)
    after = {int(frame): row for row, frame in enumerate(last["index"].to_numpy())}
    rows: dict[int, list[dict[str, Any]]] = {}
    for record in records.to_pylist():
        rows.setdefault(record.pop("episode_index"), []).append(record)
    for table in _episodes(folder):
        begin = int(table["index"][0].as_py())
        for record in rows[int(table["episode_index"][0].as_py())]:
            frame, steps = record.pop("first"), record.pop("steps")
            follows = frame + steps - 1 not in after
            frames = table.slice(frame - begin, steps + follows)
            arrays = {feature.name: _column(feature, frames[feature.name]) for feature in columns}
            for feature in columns:
                if feature.of != OBS:
                    arrays[feature.name] = arrays[feature.name][:steps]
                elif not follows:
                    row = _column(feature, last[feature.name].slice(after[frame + steps - 1], 1))
                    arrays[feature.name] = np.concatenate([arrays[feature.name], row])
            steps_of: dict[str, Any] = {feature.column: arrays[feature.name] for feature in columns if feature.of == STEP}
            yield Chunk(
                **record,
                **steps_of,
                reward_source=tuple(frames[REWARD_SOURCE].slice(0, steps).to_pylist()),
                obs={feature.column: arrays[feature.name] for feature in columns if feature.of == OBS},
                extra={feature.column: arrays[feature.name] for feature in columns if feature.of == EXTRA},
            )


def _column(feature: Feature, rows: pa.ChunkedArray) -> NDArray[Any]:
    return _pictures(rows) if feature.is_picture else from_arrow(rows, feature.dtype, feature.shape)


class _Foreign:
    """Makes chunks of frames that another program recorded."""

    def __init__(self, info: Mapping[str, Any], tasks: Mapping[int, str], source: str, robot: str | None, kind: str) -> None:
        features: Mapping[str, Mapping[str, Any]] = info["features"]
        if videos := sorted(name for name, feature in features.items() if feature["dtype"] == "video"):
            allowed, cure = "pictures within the parquet files", "record it with --dataset.video=false"
            raise BadOption("pictures of the dataset", f"videos: {', '.join(videos)}", allowed, cure)
        if "action" not in features or len(features["action"]["shape"]) != 1:
            raise BadOption("features of the dataset", sorted(features), "among them an action with one axis")
        self._tasks, self._source, self._robot, self._kind = tasks, source, robot or "unknown", kind
        self._fps = float(info["fps"])
        self._features = features
        known = {"action", *STEPS.values(), DONE, *COUNTERS}
        self._obs = {name: _plain(name) for name in features if name.startswith("observation.") and self._holds(name)}
        others = {name for name in features if name not in known and name not in self._obs}
        self._extra = {name: name.removeprefix("extra.") for name in sorted(others) if self._holds(name)}
        self.left_out = tuple(sorted(others - self._extra.keys()))

    def _holds(self, name: str) -> bool:
        return self._features[name]["dtype"] in (*_NUMBERS, "image")

    def chunks(self, table: pa.Table) -> Iterator[Chunk]:
        """The chunks of an episode: one a second, or less."""
        size = max(1, round(self._fps))
        frames = len(table)
        for sequence, begin in enumerate(range(0, frames, size)):
            yield self._chunk(table.slice(begin, size + 1), min(size, frames - begin), begin + size >= frames, sequence)

    def _chunk(self, table: pa.Table, steps: int, over: bool, sequence: int) -> Chunk:
        own, none = table.slice(0, steps), np.zeros(steps, bool)
        frame = from_arrow(own["frame_index"], "int64", ())
        reward = self._scalar(own, STEPS["reward"], "float32", none)
        success = self._scalar(own, STEPS["success"], "bool", none)
        terminated, truncated = none.copy(), none.copy()
        ended = bool(reward[-1] > 0 or success[-1])
        terminated[-1], truncated[-1] = over and ended, over and not ended
        action = from_arrow(own["action"], "float32", tuple(self._features["action"]["shape"]))
        obs = {column: self._rows(table, name) for name, column in self._obs.items()}
        return Chunk(
            source=self._source,
            episode=int(own["episode_index"][0].as_py()),
            sequence=sequence,
            robot=self._robot,
            task=self._tasks.get(int(own["task_index"][0].as_py()), ""),
            kind=self._kind,
            obs={name: np.concatenate([rows, rows[-1:]]) if over else rows for name, rows in obs.items()},
            action=action,
            ordered=action,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            success=success,
            policy_version=np.full(steps, -1),
            is_intervention=none,
            reward_source=("dataset",) * steps,
            time=(frame + 1) / self._fps,
            wall_time=0.0,
            clock="dataset",
            extra={column: self._rows(own, name) for name, column in self._extra.items()},
        )

    def _scalar(self, table: pa.Table, name: str, dtype: str, none: NDArray[Any]) -> NDArray[Any]:
        return from_arrow(table[name], dtype, ()) if name in self._features else none.astype(dtype)

    def _rows(self, table: pa.Table, name: str) -> NDArray[Any]:
        feature = self._features[name]
        if feature["dtype"] == "image":
            return _pictures(table[name])
        shape: Sequence[int] = feature["shape"]
        return from_arrow(table[name], feature["dtype"], () if list(shape) == [1] else tuple(shape))


def _plain(name: str) -> str:
    return "state" if name == STATE else name.removeprefix("observation.").removeprefix("images.")
