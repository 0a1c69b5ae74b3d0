"""What people look at while a run goes on and afterwards: progress, curve, film. It knows no algorithm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.run_folder import write_aside


class Clock:
    """Seconds of wall and processor, without those that `resume` takes back."""

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
        Image.fromarray(frame).resize((320, 320)).convert("P", palette=Image.Palette.ADAPTIVE, colors=128) for frame in frames
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
