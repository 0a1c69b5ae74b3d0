"""A run's folder: what is kept so that a run can go on, and what people look at. It knows no algorithm.

config.json       what the run is; another configuration is refused
state.json        counters, and which of the files below count; replaced in one step, so a crash leaves the previous one
checkpoint-N.pt   the agent after N updates
experience/       chunks of experience, one file per checkpoint; numbers and names only
summary.json, curve.png, film.gif, tensorboard/
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from user_gym.core import Acknowledgement, Batch, Chunk, Storage
from user_gym.errors import WrongRun
from user_gym.system import Counters

_SCALARS = (
    *("source", "episode", "sequence", "robot", "task", "kind"),
    *("wall_time", "clock", "clock_offset", "env_id", "spec_hash"),
)
_COLUMNS = ("obs", "extra")  # by name


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file that then takes the place of `path` in one step."""
    aside = path.with_name(path.name + ".tmp")
    write(aside)
    os.replace(aside, path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    write_aside(path, lambda aside: aside.write_text(json.dumps(value, indent=2) + "\n"))


class Kept:
    """A Storage that also remembers the chunks it got, so that a checkpoint can write those that are new."""

    def __init__(self, storage: Storage) -> None:
        self.storage, self.new, self.episodes = storage, [], 0

    def append(self, chunk: Chunk) -> Acknowledgement:
        """As `core.Storage.append`."""
        answer = self.storage.append(chunk)
        if not answer.repeated:
            self.new.append(chunk)
            self.episodes = max(self.episodes, chunk.episode + 1) if chunk.kind == "policy" else self.episodes
        return answer

    def sample(self, n: int, rng: np.random.Generator) -> Batch:
        """As `core.Storage.sample`."""
        return self.storage.sample(n, rng)

    def view(self, where: str) -> Storage:
        """As `core.Storage.view`."""
        return self.storage.view(where)

    def __len__(self) -> int:
        return len(self.storage)

    def stats(self) -> Mapping[str, float]:
        """As `core.Storage.stats`."""
        return self.storage.stats()

    def close(self) -> None:
        """As `core.Storage.close`."""
        self.storage.close()


def write_chunks(path: Path, chunks: Sequence[Chunk]) -> None:
    """Chunks to an uncompressed npz, one entry per column."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, chunk in enumerate(chunks):
        for field in dataclasses.fields(chunk):
            value = getattr(chunk, field.name)
            for name, column in value.items() if field.name in _COLUMNS else [("", value)]:
                arrays[f"{i}/{field.name}/{name}"] = np.asarray(column)
    with path.open("wb") as file:  # given a name, savez would append a suffix
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_chunks(path: Path) -> list[Chunk]:
    """What `write_chunks` wrote; nothing in the file is executed."""
    rows: dict[int, dict[str, Any]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            i, field, name = key.split("/", 2)
            row = rows.setdefault(int(i), {name: {} for name in _COLUMNS})
            if field in _COLUMNS:
                row[field][name] = file[key]
            elif field in _SCALARS:
                row[field] = file[key].item()
            else:
                row[field] = tuple(file[key].tolist()) if field == "reward_source" else file[key]
    return [Chunk(**rows[i]) for i in sorted(rows)]


class Run:
    """One run's folder. `open` it first.

    Args:
        folder: made if it does not exist.
        config: all that makes two runs different.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, dict(config)
        self.files = 0  # of experience
        self.seconds = {"wall": 0.0, "cpu": 0.0}  # of training, earlier parts included
        self.counters = Counters()
        self.curve: list[dict[str, Any]] = []

    def open(self) -> None:
        """Make the folder, or recognise it. Raises WrongRun, naming the settings that differ."""
        self._began, self._before = time.perf_counter(), 0.0
        path = self.folder / "config.json"
        if path.exists():
            there = json.loads(path.read_text())
            names = sorted(k for k in {*there, *self.config} if there.get(k) != self.config.get(k))
            if names:
                differing = ", ".join(f"{k}={there.get(k)!r} there, {self.config.get(k)!r} here" for k in names)
                raise WrongRun(
                    f"{self.folder} belongs to another configuration: {differing}; choose another --run-dir or remove it"
                )
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise WrongRun(f"{self.folder} is not empty and no run; choose another --run-dir")
        (self.folder / "experience").mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_json(path, self.config)

    @property
    def total(self) -> float:
        """Seconds since `open`, and those of the earlier parts of this run up to their last checkpoint."""
        return self._before + time.perf_counter() - self._began

    @property
    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run, else None."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None

    def save(self, save_agent: Callable[[Path], object], kept: Kept, counters: Counters) -> None:
        """Checkpoint: what is new, then the agent, then the file that names both."""
        if kept.new:
            write_aside(self.folder / "experience" / f"{self.files:05d}.npz", lambda aside: write_chunks(aside, kept.new))
            kept.new.clear()
            self.files += 1
        self.counters = counters
        name = f"checkpoint-{counters.updates}.pt"
        save_agent(self.folder / name)
        state = {"agent": name, "files": self.files, "counters": dataclasses.asdict(counters)}
        write_json(self.folder / "state.json", state | {"seconds": self.seconds, "total": self.total, "curve": self.curve})
        for old in self.folder.glob("checkpoint-*.pt"):
            if old.name != name:
                old.unlink()

    def restore(self, restore_agent: Callable[[Path], object], kept: Kept) -> Counters | None:
        """Go on from the newest checkpoint; None if there is none. Files that it does not name are ignored."""
        path = self.folder / "state.json"
        if not path.exists():
            return None
        state = json.loads(path.read_text())
        for i in range(state["files"]):
            for chunk in read_chunks(self.folder / "experience" / f"{i:05d}.npz"):
                kept.append(chunk)
        kept.new.clear()
        restore_agent(self.folder / state["agent"])
        self.files, self.seconds, self.curve = state["files"], state["seconds"], state["curve"]
        self._before, self.counters = state["total"], Counters(**state["counters"])
        return self.counters


class Clock:
    """Seconds of wall and processor, without those spent in `pause`."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Wall and processor seconds so far."""
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]

    def resume(self, before: tuple[float, float]) -> None:
        """Go on as if nothing had happened since `before` was read."""
        now = self.read()
        self._began = self._began[0] + now[0] - before[0], self._began[1] + now[1] - before[1]


def draw_curve(path: Path, curve: Sequence[Mapping[str, Any]], title: str) -> None:
    """Learning curve: success over environment steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps, exploring, deterministic = (
        np.array([point[name] for point in curve], float) for name in ("env_steps", "success_rate", "deterministic")
    )  # None, where no episode had ended, becomes nan and is not drawn
    axes.plot(steps, exploring, label="while exploring, last 20 episodes")
    axes.plot(steps, deterministic, "o-", label="deterministic, 20 episodes")
    axes.set(title=title, xlabel="environment steps", ylabel="success", ylim=(-0.03, 1.03))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    write_aside(path, lambda aside: figure.savefig(aside, dpi=120, format="png"))


def write_film(path: Path, frames: Sequence[NDArray[np.uint8]], seconds: float) -> None:
    """A GIF of the frames (height, width, 3), each shown for `seconds`."""
    from PIL import Image

    pictures = [
        Image.fromarray(frame).resize((320, 320)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64) for frame in frames
    ]
    write_aside(
        path,
        lambda aside: pictures[0].save(
            aside, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 * seconds), loop=0
        ),
    )


class Live:
    """Progress on a terminal as a bar, elsewhere as plain lines; the same numbers to TensorBoard."""

    def __init__(self, folder: Path, steps: int, console: Console | None = None) -> None:
        self._folder, self._steps, self._console = folder, steps, console or Console()

    def __enter__(self) -> Live:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} steps"),
            TimeElapsedColumn(), TextColumn("{task.fields[text]}"),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task("training", total=self._steps, text="")
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
        self._writer.close()

    def show(self, env_steps: int, numbers: Mapping[str, float], text: str) -> None:
        """Where training is."""
        self._bar.update(self._task, completed=env_steps, text=text)
        if not self._console.is_terminal:
            self._console.print(f"{env_steps:6d}/{self._steps} steps  {text}", highlight=False, soft_wrap=True)
        for name, value in numbers.items():
            if np.isfinite(value):
                self._writer.add_scalar(name, value, env_steps)
