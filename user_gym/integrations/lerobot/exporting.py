"""Episodes of a buffer become a LeRobotDataset v3.0. It changes nothing in the buffer.

The dataset is written beside its place and gets its name when it is whole, so an interrupted export leaves none that looks so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.core import real
from user_gym.errors import BadOption
from user_gym.integrations.lerobot.features import features
from user_gym.integrations.lerobot.writer import Writer
from user_gym.system.buffer import episodes as stored
from user_gym.system.buffer.layout import Layout
from user_gym.system.buffer.repair import Progress, unseen
from user_gym.system.buffer.store import Store

_SLOWEST, _FASTEST = 1.0, 10_000.0  # frames/s


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    episodes: int
    frames: int
    fps: int
    lost: int  # steps whose observation is not in the buffer any more


def export(
    buffer: str | Path,
    folder: str | Path,
    *,
    where: str | None = None,
    fps: int | None = None,
    skip: Iterable[str] = (),
    progress: Progress = unseen,
) -> Exported:
    """Write the episodes of a buffer as a LeRobotDataset v3.0 with lossless pictures; `load` brings back equal chunks.

    Args:
        buffer: folder of the buffer; another process may be writing it.
        folder: of the dataset; must not be there.
        where: a condition; chunks with a step that satisfies it are written, and consecutive ones are an episode.
        fps: frames/s that LeRobot assumes; None: from the times of the steps. Those are in the column "time" besides.
        skip: observations and extra columns that are left out.
        progress: is told frames.

    Raises:
        BadOption: there is nothing to write, columns differ between episodes, or LeRobot cannot hold one; or the folder is
            there already.
        WrongRun: there is no buffer.
    """
    folder = Path(folder)
    if folder.exists():
        raise BadOption("folder of the dataset", str(folder), "one that is not there yet", "delete it, or take another")
    with Store.open(buffer, read_only=True) as store:
        wanted = None if where is None else stored.chosen(store, where)
        found = stored.episodes(store, wanted)
        robot, text = _one_kind(found, where)
        columns = features(Layout.parse(text.encode("ascii")), skip)
        rate = round(real("fps", fps, _SLOWEST, _FASTEST, "frames/s, 1..10000")) if fps is not None else _rate(store, found)
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of an export that was interrupted
        writer = Writer(part, robot, rate, columns)
        total = sum(episode.steps for episode in found)
        try:
            for episode in found:
                writer.add(stored.chunks(store, episode), episode.task, episode.steps)
                progress(writer.frames, total)
            writer.close()
        except BaseException:
            writer.abandon()
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(folder)
        return Exported(writer.episodes, writer.frames, rate, total - writer.frames)


def _one_kind(found: Sequence[stored.Episode], where: str | None) -> tuple[str, str]:
    """Robot and layout of the episodes. Raises BadOption if there are none, or several kinds."""
    if not found:
        raise BadOption("export", where or "everything", "a condition that selects a step", "the buffer has no such steps")
    kinds = {(e.robot, tuple((c.of, c.name, c.dtype, c.shape) for c in _columns(e.layout))): e.layout for e in found}
    if len(kinds) > 1:
        robots = sorted({robot for robot, _ in kinds})
        cure = f"""choose one: --where "robot = '{robots[0]}'" """ if len(robots) > 1 else "choose with --where, by env_id"
        raise BadOption(
            "export", f"{len(kinds)} sets of columns, of {', '.join(robots)}", "one: a dataset has one", cure.strip()
        )
    ((robot, _), text) = next(iter(kinds.items()))
    return robot, text


def _columns(text: str) -> tuple[Any, ...]:
    return Layout.parse(text.encode("ascii")).columns


def _rate(store: Store, found: Sequence[stored.Episode]) -> int:
    """Frames/s by the steps of the longest episode."""
    longest = max(found, key=lambda episode: episode.steps)
    times = np.concatenate([store.read_prefix(piece.entry).light("time") for piece in longest.pieces])
    return int(np.clip(round(1.0 / np.median(np.diff(times))), _SLOWEST, _FASTEST)) if len(times) > 1 else int(_SLOWEST)
