"""An episode on one page: what the cameras saw, and below it, on one axis of time, what was done and what came of it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from user_gym.cli.buffer.footage import Footage
from user_gym.errors import MissingExtra

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
except ImportError as error:
    raise MissingExtra(error.name or "matplotlib", "viz") from error

_WIDTH, _DPI = 13.0, 160  # inches; a slide of a talk is 2080 points wide
_LEFT, _RIGHT = 0.9, 1.15  # inches of margin: names and scales left, legends right
_MOST_LANES = 8  # actions; more become a map of colours
_LANE = 2.3  # of an action, whose range is 2
_HUMAN, _INK, _QUIET, _ASKED = "#e8710a", "#202124", "#80868b", "#9aa0a6"
_COLOURS = ("#1a73e8", "#d93025", "#188038", "#9334e6", "#12b5cb", "#b06000", "#e52592", "#5f6368")
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": "#dadce0",
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
}


def draw(shown: Footage, title: str, words: str, path: Path) -> None:
    """Write a picture file.

    Args:
        shown: the episode.
        title: what it is, in a line.
        words: facts, in a line below.
        path: its suffix says the format, such as ".png".
    """
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 1.0), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        _Page(figure, shown).fill(title, words)
        figure.savefig(path)


class _Page:
    """Places rows from top to bottom, in inches, and then makes the page as high as they are."""

    def __init__(self, figure: Figure, shown: Footage) -> None:
        self._figure, self._shown = figure, shown
        self._rows: list[tuple[Any, float, float, float, float]] = []  # axes, left, top, width, height
        self._top = 0.95
        self._plots: list[Any] = []

    def fill(self, title: str, words: str) -> None:
        for camera in self._shown.pictures:
            self._film(camera)
        self._top += 0.22
        self._actions()
        self._rewards()
        self._versions()
        height = self._top + 0.45
        self._figure.set_size_inches(_WIDTH, height)
        for axes, left, top, width, high in self._rows:
            axes.set_position((left / _WIDTH, 1 - (top + high) / height, width / _WIDTH, high / height))
        place: Any = {"ha": "left", "va": "top"}
        self._figure.text(_LEFT / _WIDTH, 1 - 0.2 / height, title, fontsize=15, fontweight="bold", **place)
        self._figure.text(_LEFT / _WIDTH, 1 - 0.52 / height, words, fontsize=9.5, color=_QUIET, **place)
        self._plots[-1].set_xlabel("time [s]")
        self._plots[-1].tick_params(labelbottom=True)

    def _film(self, camera: str) -> None:
        """A row of pictures; an orange frame where a person acted."""
        shown, pictures = self._shown, self._shown.pictures[camera]
        gap = 0.05
        width = (_WIDTH - _LEFT - _RIGHT + gap) / len(pictures) - gap
        height = max(picture.shape[0] / picture.shape[1] for picture in pictures) * width
        for number, (frame, picture) in enumerate(zip(shown.frames, pictures, strict=True)):
            axes = self._axes(_LEFT + number * (width + gap), width, height)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
            axes.set(xticks=[], yticks=[])
            by_hand = bool(shown.is_intervention[min(frame, len(shown.reward) - 1)])
            for spine in axes.spines.values():
                spine.set(edgecolor=_HUMAN if by_hand else "#dadce0", linewidth=2.5 if by_hand else 0.6)
            if camera == next(iter(shown.pictures)):
                axes.set_title(f"{shown.time[frame]:.1f} s", fontsize=8.5, color=_HUMAN if by_hand else _QUIET, pad=3)
            if number == 0:
                axes.set_ylabel(textwrap.shorten(camera, 24), fontsize=10)
        self._top += height + 0.08

    def _actions(self) -> None:
        """A lane for each action, as high as its range -1 .. 1; where there are too many, a map of colours."""
        shown, count = self._shown, self._shown.action.shape[1]
        if count > _MOST_LANES:
            axes = self._plot("action", 1.8)
            axes.pcolormesh(shown.time, np.arange(count + 1), shown.action.T, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
            axes.set_ylim(count, 0)
            return
        axes = self._plot("action", 0.36 * max(count, 2))
        for number in range(count):
            middle = -_LANE * number
            axes.axhline(middle, color="#e8eaed", lw=0.8, zorder=0)
            ordered, action = (column[:, number] + middle for column in (shown.ordered, shown.action))
            axes.stairs(ordered, shown.time, color=_ASKED, lw=0.9, baseline=None)
            axes.stairs(action, shown.time, color=_COLOURS[number], lw=1.5, baseline=None)
        axes.set_ylim(-_LANE * (count - 0.5), 0.5 * _LANE)
        axes.set_yticks([-_LANE * number for number in range(count)], [str(number) for number in range(count)])
        axes.grid(visible=False)
        lines: dict[str, Any] = {"executed": Line2D([], [], color=_INK, lw=1.5)}
        if (shown.ordered != shown.action).any():
            lines["asked for"] = Line2D([], [], color=_ASKED, lw=0.9)
        if shown.is_intervention.any():
            lines["by hand"] = Patch(facecolor=_HUMAN, alpha=0.25)
        self._legend(axes, lines)

    def _rewards(self) -> None:
        shown, axes = self._shown, self._plot("reward", 0.8)
        axes.stairs(shown.reward, shown.time, color=_COLOURS[2], lw=1.3, fill=True, alpha=0.35)
        axes.stairs(shown.reward, shown.time, color=_COLOURS[2], lw=1.3)
        low, high = min(0.0, float(shown.reward.min())), max(0.0, float(shown.reward.max()))
        room = 0.15 * (high - low) if high > low else 1.0
        axes.set_ylim(low - (room if low < 0 else 0.0), high + room)
        if shown.success:
            axes.annotate("success", (shown.seconds, high), color=_COLOURS[2], fontweight="bold", ha="right", va="bottom")
        if not shown.reward.any():
            axes.set(yticks=[0.0], ylim=(-0.1, 1.0))
            axes.text(0.5, 0.5, "0 at each step", transform=axes.transAxes, ha="center", va="center", color=_QUIET)

    def _versions(self) -> None:
        shown, axes = self._shown, self._plot("policy", 0.8)
        nobody = shown.policy_version < 0
        versions = np.where(nobody, np.nan, shown.policy_version.astype(float))
        axes.stairs(versions, shown.time, color=_COLOURS[3], lw=1.6, baseline=None)
        known = versions[~nobody]
        if len(known):
            low, high = known.min(), known.max()
            axes.set_ylim(low - 0.5 - 0.1 * (high - low), high + 0.5 + 0.1 * (high - low))
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
        else:
            axes.set(yticks=[])
            axes.text(0.5, 0.5, "no policy acted", transform=axes.transAxes, ha="center", va="center", color=_QUIET)

    def _plot(self, name: str, height: float) -> Any:
        """Axes over the time of the episode, with the stretches in which a person acted, and marks where pictures are from."""
        shown, axes = self._shown, self._axes(_LEFT, _WIDTH - _LEFT - _RIGHT, height)
        axes.set_xlim(0.0, shown.seconds)
        axes.set_ylabel(name)
        axes.yaxis.set_label_coords(-0.5 / (_WIDTH - _LEFT - _RIGHT), 0.5)
        axes.grid(axis="y", color="#f1f3f4", zorder=0)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=False, length=2)
        axes.spines[["top", "right"]].set_visible(False)
        for begin, end in shown.interventions():
            axes.axvspan(shown.time[begin], shown.time[end], color=_HUMAN, alpha=0.14, lw=0)
        if shown.pictures:
            for frame in shown.frames:
                axes.axvline(shown.time[frame], color="#dadce0", lw=0.7, ls=":", zorder=0)
        self._plots.append(axes)
        self._top += height + 0.14
        return axes

    def _axes(self, left: float, width: float, height: float) -> Any:
        axes = self._figure.add_axes((0, 0, 1, 1), label=f"row {len(self._rows)}")
        self._rows.append((axes, left, self._top, width, height))
        return axes

    def _legend(self, axes: Any, lines: dict[str, Any]) -> None:
        place: Any = {"loc": "upper left", "bbox_to_anchor": (1.005, 1.03), "frameon": False}
        axes.legend(lines.values(), lines.keys(), fontsize=8.0, handlelength=1.3, **place)
