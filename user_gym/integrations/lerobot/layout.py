"""Where the files of a LeRobotDataset v3.0 lie, and the two small ones of ours beside them. It knows no columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from user_gym.errors import WrongRun

VERSION = "v3.0"
FILES_PER_FOLDER = 1000
FILE_MEGABYTES = 100  # of a data file, uncompressed, after which a new one begins
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
OURS = 1  # version of the files below
# What LeRobot has no place for; its readers do not look here. A row per chunk: of whom, and which frames.
CHUNKS = "user_gym/chunks.parquet"
# A row per chunk that no frame follows: the observation after its last step.
LAST = "user_gym/last.parquet"
_INDEX = "__index_level_0__"


def read_info(folder: Path) -> dict[str, Any]:
    """What a dataset says of itself. Raises WrongRun where there is none of this version."""
    try:
        info = json.loads((folder / INFO).read_text())
    except (OSError, ValueError) as error:
        raise WrongRun(f"{folder} holds no LeRobotDataset: {error}; allowed: a folder with {INFO}") from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version != VERSION:
        cure = "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 brings older ones to it"
        raise WrongRun(f"{folder} is a LeRobotDataset of version {version!r}; allowed: {VERSION!r}; {cure}")
    return info


def write_json(path: Path, content: Any) -> None:
    """A file that a person can read, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False))


def write_tasks(path: Path, tasks: list[str]) -> None:
    """As pandas writes a frame whose index are the tasks: LeRobot looks them up by it."""
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    index = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    known = {
        "index_columns": [_INDEX],
        "column_indexes": [{"name": None, "field_name": None, **index, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": None, "field_name": _INDEX, **index},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), _INDEX: pa.array(tasks, pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(known)}), path)


def read_tasks(folder: Path) -> dict[int, str]:
    """Task index -> task. Raises WrongRun."""
    path = folder / TASKS
    try:
        table = pq.read_table(path)
        names = [name for name in table.column_names if name != "task_index"]
        rows = zip(table["task_index"].to_pylist(), table[names[0]].to_pylist(), strict=True)
        return {int(number): str(task) for number, task in rows}
    except (OSError, pa.ArrowException, KeyError, IndexError) as error:
        raise WrongRun(f"{path} cannot be read: {error}; allowed: a column task_index, and the tasks as its index") from error
