"""What people look at while a run goes on and afterwards: progress, records, curve, film. It knows no algorithm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from baselines.config import OnlineSetting
from user_gym.system.atomic_file import write_aside
from user_gym.system.metrics import Endpoint, JsonLines, Sink, TensorBoard, WeightsAndBiases


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


def draw_curve(
    path: Path, curve: Sequence[Mapping[str, Any]], title: str, over: tuple[str, str], acting: str | None = None
) -> None:
    """Success over a column of the curve, given with its name; `acting` says what the run's own episodes are, if any."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x, own, deterministic = (
        np.array([point[name] for point in curve], float) for name in (over[0], "success_rate", "deterministic")
    )  # None, where no episode had ended, becomes nan and is not drawn
    if acting is not None:
        axes.plot(x, own, label=f"{acting}, last 20 episodes")
    bodies = {name for point in curve for name in point.get("bodies", {})}
    for name in sorted(bodies):
        rates = np.array([point.get("bodies", {}).get(name) for point in curve], float)
        axes.plot(x, rates, "o-", label=f"{name}, deterministic, 20 episodes")
    if not bodies:
        axes.plot(x, deterministic, "o-", label="deterministic, 20 episodes")
    axes.set(title=title, xlabel=over[1], ylabel="success", ylim=(-0.03, 1.03))
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


def sinks(config: OnlineSetting, folder: Path, board: TensorBoard) -> list[Sink]:
    """Where the run's records go: always to its folder, for `user-gym watch`, and where `config` says. Raises BadOption."""
    chosen: list[Sink] = [JsonLines(folder)]
    if config.metrics_port is not None:
        chosen.append(Endpoint(config.metrics_port))
    if config.tensorboard:
        chosen.append(board)
    if config.wandb:
        chosen.append(WeightsAndBiases(folder, folder.name))
    return chosen


class Live:
    """Progress on a terminal as a bar, elsewhere as plain lines; the same numbers to TensorBoard.

    Args:
        board: where the numbers go.
        total: how far training goes.
        console: where the lines go; None: the process's own.
        unit: of `total`.
    """

    def __init__(self, board: TensorBoard, total: int, console: Console | None = None, unit: str = "steps") -> None:
        self._board, self._total, self._console, self._unit = board, total, console or Console(), unit

    def __enter__(self) -> Live:
        self._board.open()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(),
            TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {self._unit}"), TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task("training", total=self._total, text="")
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
        self._board.close()

    def show(self, done: int, numbers: Mapping[str, float], text: str) -> None:
        """Where training is."""
        self._bar.update(self._task, completed=done, text=text)
        if not self._console.is_terminal:
            self._console.print(f"{done:6d}/{self._total} {self._unit}  {text}", highlight=False, soft_wrap=True)
        try:
            self._board.open()
            self._board.add(done, {name: value for name, value in numbers.items() if np.isfinite(value)}, time.time())
        except OSError as error:  # the run's data matters more: if the disk is full, the checkpoint says what to do
            self._console.print(f"TensorBoard lacks step {done}: {error}", highlight=False, soft_wrap=True)
