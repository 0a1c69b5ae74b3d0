"""`user-gym buffer show`: an episode as a picture, or in the viewer Rerun."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from user_gym.cli.buffer.opening import WHERE, add_path, existing, nothing, writable
from user_gym.errors import BadOption, UnknownName

if TYPE_CHECKING:
    from user_gym.cli.buffer.footage import Footage
    from user_gym.system.buffer.episodes import Episode
    from user_gym.system.buffer.stored import Stored

_FRAMES = 9  # of each camera
_FORMATS = (".png", ".pdf", ".svg", ".jpg")
_LISTED = 12  # names of other episodes


def add(parts: Any) -> None:
    """Declare the command."""
    parser = parts.add_parser(
        "show",
        help="draw an episode: cameras, actions, rewards, interventions, versions",
        description="Draw an episode on one page: what the cameras saw, and below it actions, rewards, interventions and "
        "policy versions over time. Needs the extra 'viz'. With --rerun it opens in the viewer Rerun instead (extra 'rerun').",
    )
    add_path(parser)
    parser.add_argument("--episode", metavar="SOURCE/N", help="which (default: the newest)")
    parser.add_argument("--where", metavar="CONDITION", help=f"the newest that has such a step: {WHERE}")
    parser.add_argument("--out", metavar="FILE", type=Path, help="default: SOURCE-N.png here; with --rerun a file .rrd")
    parser.add_argument("--frames", type=int, default=_FRAMES, help=f"pictures of each camera (default: {_FRAMES})")
    parser.add_argument("--rerun", action="store_true", help="every picture and number, in Rerun")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw, and say where the picture is."""
    from user_gym.cli.buffer.footage import footage
    from user_gym.core import whole
    from user_gym.system.buffer import episodes
    from user_gym.system.buffer.store import Store

    frames = whole("--frames", arguments.frames, 1)
    out: Path | None = arguments.out
    suffixes = (".rrd",) if arguments.rerun else _FORMATS
    if out is not None and out.suffix not in suffixes:
        raise BadOption("--out", str(out), f"a name that ends with {' or '.join(suffixes)}")
    if out is not None and not out.parent.is_dir():
        raise BadOption("--out", str(out), "a file in a folder that is there", f"make {out.parent} first")
    if out is not None or not arguments.rerun:
        writable(out or Path(), "take a file in another folder with --out")
    with Store.open(existing(arguments.path), read_only=True) as store:
        episode, others = _chosen(store, arguments.episode, arguments.where)
        if arguments.rerun:
            from user_gym.cli.buffer import viewer

            viewer.show(episodes.chunks(store, episode), episode.name, out)
            print(f"{episode.name}: {out or 'in Rerun'}")
            return 0
        from user_gym.cli.buffer import sheet

        shown = footage(episodes.chunks(store, episode), episode.steps, frames)
    out = out or Path(f"{re.sub(r'[^A-Za-z0-9.]+', '-', episode.name).strip('-')}.png")
    sheet.draw(shown, f"{episode.task} on {episode.robot}", _words(episode, shown), out)
    print(f"{out}: {episode.name}, {len(shown.reward)} steps, {shown.seconds:.1f} s")
    if others:
        print(f"others: {', '.join(others[:_LISTED])}{f' and {len(others) - _LISTED} more' if len(others) > _LISTED else ''}")
    return 0


def _chosen(store: Stored, name: str | None, where: str | None) -> tuple[Episode, list[str]]:
    """The episode that is meant, and names of others that would do, newest first. Raises UnknownName, BadOption."""
    from user_gym.system.buffer import episodes

    found = episodes.episodes(store)
    if not found:
        raise BadOption("path", str(store.folder), "a buffer with an episode", "this one is empty; take another")
    if where is not None:
        wanted = episodes.chosen(store, where)
        found = [episode for episode in found if wanted & {piece.entry.first for piece in episode.pieces}]
        if not found:
            raise nothing(where)
    if name is not None:
        named = [episode for episode in found if episode.name == name]
        if not named:
            raise UnknownName("episode", name, [episode.name for episode in found[-_LISTED:]], "the newest are listed here")
        return max(named, key=lambda episode: episode.steps), []
    return found[-1], [episode.name for episode in found[-2::-1]]


def _words(episode: Episode, shown: Footage) -> str:
    by_hand = float(shown.is_intervention.mean())
    facts = [
        f"episode {episode.name}" + (", a demonstration" if episode.kind == "demo" else ""),
        "succeeded" if episode.success else f"no success, {shown.ending}",
        f"{len(shown.reward)} steps in {shown.seconds:.1f} s",
        f"return {float(shown.reward.sum()):.3g}",
        f"{by_hand:.0%} by hand" if by_hand else "",
        time.strftime("%Y-%m-%d %H:%M", time.localtime(episode.wall_time)),
        episode.env_id,
    ]
    return "   ·   ".join(filter(None, facts))
