"""Which column of a buffer is which feature of a LeRobotDataset, and how its rows lie in parquet. It reads and writes no file.

buffer              LeRobotDataset
obs, a picture      observation.images.<name>   "image": PNG bytes, lossless
obs "state"         observation.state           also "agent_pos", where there is no "state"
obs, another        observation.<name>
action              action
reward              next.reward
terminated | truncated          next.done       for LeRobot's own readers; also next.terminated and next.truncated
success             next.success
extra               extra.<name>
the others          by their own names
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from user_gym.errors import BadOption, MissingExtra
from user_gym.system.buffer.layout import EXTRA, OBS, STEP, Layout

try:
    import pyarrow as pa
    from PIL import Image
except ImportError as error:
    raise MissingExtra(error.name or "pyarrow", "lerobot") from error

STATE = "observation.state"
IMAGES = "observation.images."
DONE = "next.done"
REWARD_SOURCE = "reward_source"
STEPS = {"reward": "next.reward", "terminated": "next.terminated", "truncated": "next.truncated", "success": "next.success"}
COUNTERS = {  # that LeRobot adds to the features of each dataset
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
_DTYPES = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64")
_AXES = 5  # that LeRobot's features have at most
_IMAGE = ["bytes", "path"]  # fields of a picture in parquet, as the library `datasets` has them
_PNG_LEVEL = 1  # a third of the time of the default, and some per cent larger


@dataclass(frozen=True, slots=True)
class Feature:
    """A column as a feature."""

    name: str  # "observation.images.wrist"
    of: str  # "obs", "step", "extra"; as in a layout
    column: str
    dtype: str  # numpy's name, of the buffer's column
    shape: tuple[int, ...]  # of a row, of the buffer's column

    @property
    def is_picture(self) -> bool:
        """Whether its rows are pictures, (height, width, 3) uint8."""
        return self.name.startswith(IMAGES)

    @property
    def described(self) -> dict[str, Any]:
        """As info.json has it."""
        if self.is_picture:
            return {"dtype": "image", "shape": list(self.shape), "names": ["height", "width", "channels"]}
        names = [f"{self.column}_{i}" for i in range(self.shape[0])] if len(self.shape) == 1 else None
        return {"dtype": self.dtype, "shape": list(self.shape or (1,)), "names": names}


def features(layout: Layout, skip: Iterable[str] = ()) -> tuple[Feature, ...]:
    """The features of a buffer's columns.

    Args:
        layout: of its blocks.
        skip: observations and extra columns that stay behind.

    Raises:
        BadOption: there is a column that LeRobot cannot hold, or two that would have one name.
    """
    skip = set(skip)
    columns = [column for column in layout.columns if column.name not in skip or column.of == STEP]
    if unknown := skip - {column.name for column in layout.columns if column.of != STEP}:
        known = ", ".join(column.name for column in layout.columns if column.of != STEP)
        raise BadOption("column to skip", sorted(unknown)[0], f"an observation or an extra column: {known}")
    names = {column.name for column in columns if column.of == OBS}
    made: list[Feature] = []
    for column in columns:
        picture = column.of == OBS and column.dtype == np.uint8 and len(column.shape) == 3 and column.shape[2] == 3
        name = _name(column.of, column.name, picture, names)
        made.append(Feature(name, column.of, column.name, column.dtype.name, column.shape))
        fits = column.dtype.isnative and column.dtype.name in _DTYPES
        if not fits or len(column.shape) > _AXES or 0 in column.shape:
            allowed = f"bool, int, uint, float32 or float64, at most {_AXES} axes, none of length 0"
            raise BadOption(f"column {column.key!r}", f"{column.dtype}{column.shape}", allowed, f"skip {column.name!r}")
    given = [feature.name for feature in made]
    if twice := {name for name in given if given.count(name) > 1}:
        raise BadOption("columns", sorted(f.column for f in made if f.name in twice), "each feature once", "skip all but one")
    return tuple(made)


def _name(of: str, column: str, picture: bool, observations: set[str]) -> str:
    plain = column.replace("/", ".")  # LeRobot takes "/" for a separator
    if of == STEP:
        return STEPS.get(column, column)
    if of == EXTRA:
        return f"extra.{plain}"
    if picture:
        return f"{IMAGES}{plain}"
    return STATE if column == "agent_pos" and "state" not in observations else f"observation.{plain}"


def described(made: Sequence[Feature]) -> dict[str, dict[str, Any]]:
    """The features of info.json, in the order of the parquet columns."""
    scalar = {"shape": [1], "names": None}
    return {
        **{feature.name: feature.described for feature in made},
        DONE: {"dtype": "bool", **scalar},
        REWARD_SOURCE: {"dtype": "string", **scalar},
        **{name: {"dtype": dtype, **scalar} for name, dtype in COUNTERS.items()},
    }


def hugging_face(info: Mapping[str, Mapping[str, Any]]) -> dict[bytes, bytes]:
    """Metadata of a parquet schema by which the library `datasets` knows pictures and arrays."""
    return {b"huggingface": json.dumps({"info": {"features": {name: _known(d) for name, d in info.items()}}}).encode()}


def _known(feature: Mapping[str, Any]) -> dict[str, Any]:
    dtype, shape = feature["dtype"], feature["shape"]
    if dtype == "image":
        return {"_type": "Image"}
    value = {"dtype": dtype, "_type": "Value"}
    if shape == [1]:
        return value
    if len(shape) == 1:
        return {"feature": value, "length": shape[0], "_type": "Sequence"}
    return {"shape": shape, "dtype": dtype, "_type": f"Array{len(shape)}D"}


def to_arrow(feature: Feature, rows: NDArray[Any]) -> pa.Array:
    """Rows of a column as an array for parquet."""
    if feature.is_picture:
        return pa.StructArray.from_arrays([pa.array(map(png, rows), pa.binary()), pa.nulls(len(rows), pa.string())], _IMAGE)
    values = pa.array(np.ascontiguousarray(rows).reshape(-1))
    shape = feature.shape
    if shape in ((), (1,)):
        return values
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(values, shape[0])
    for length in reversed(shape):
        values = pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, length), pa.int32()), values)
    return values


def from_arrow(column: pa.ChunkedArray | pa.Array, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Rows of a parquet column that holds no pictures, (rows, *shape). Raises BadOption where they do not fit."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    rows = len(values)
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    if values.null_count or len(values) != rows * int(np.prod(shape)):
        raise BadOption("column of a dataset", f"{len(values)} numbers in {rows} rows", f"{shape} in each row, none missing")
    return values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(rows, *shape)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture, lossless."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def picture(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 3) of the bytes of a picture file."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))
