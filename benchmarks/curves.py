"""Learning curves: of a finished run's folder, and of several runs in one picture. It knows no task."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from baselines.online import GLANCE
from user_gym.core import F64

GOOD = 0.95  # a look that counts as learned


class Looks(NamedTuple):
    """What was seen of one policy at one body while it learned."""

    steps: Sequence[int]
    success: Sequence[float]  # of so many deterministic episodes


def looks(folder: Path, bodies: Sequence[str]) -> Mapping[str, Looks]:
    """Each body's part of a run's curve; steps are its own, of which all bodies make as many."""
    points = json.loads((folder / "state.json").read_text())["curve"]
    steps = [round(point["env_steps"] / len(bodies)) for point in points]
    return {
        body: Looks(steps, [point.get("bodies", {body: point["deterministic"]})[body] for point in points]) for body in bodies
    }


def on_grid(runs: Sequence[Looks]) -> tuple[F64, F64]:
    """Steps (400,) as far as all runs go, and success there (runs, 400), straight between looks, from 0 on."""
    grid = np.linspace(0, min(max(run.steps) for run in runs), 400)
    return grid, np.stack([np.interp(grid, [0, *run.steps], [0.0, *run.success]) for run in runs])


def panels(count: int, width: float) -> tuple[Any, Sequence[Any]]:
    """A figure of so many panels in a row, and these."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def dress(axes: Any, title: str, xlabel: str) -> None:
    """What all panels have."""
    axes.axhline(GOOD, color="0.7", linestyle=":", linewidth=1, label=f"{GOOD}, which counts as learned")
    axes.set(title=title, xlabel=xlabel, ylim=(-0.03, 1.03))
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9)


def write(figure: Any, path: Path) -> None:
    """As PNG."""
    figure.axes[0].set_ylabel(f"success, {GLANCE} deterministic episodes")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110, format="png")


def draw(tasks: Mapping[str, Sequence[Looks]], path: Path) -> None:
    """A panel for each task: median of its seeds, their range, and every seed."""
    figure, row = panels(len(tasks), 4.2)
    for axes, (task, runs) in zip(row, tasks.items(), strict=True):
        grid, success = on_grid(runs)
        axes.plot(grid, np.median(success, axis=0), color="#1f77b4", linewidth=2.2, label=f"median of {len(runs)} seeds")
        for run in runs:  # the legend names the first one, and none whose name begins with _
            name = "each seed" if run is runs[0] else "_"
            axes.plot(run.steps, run.success, color="#1f77b4", alpha=0.3, linewidth=1, label=name)
        axes.fill_between(
            grid, success.min(0), success.max(0), color="#1f77b4", alpha=0.12, linewidth=0, label="worst to best seed"
        )
        dress(axes, task, "environment steps")
    write(figure, path)
