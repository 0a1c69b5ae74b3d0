"""`user-gym buffer merge` and `split`: blocks go into another buffer as they are. Repeating either goes on where it stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from user_gym.cli.buffer.opening import WHERE, add_path, existing, nothing, size
from user_gym.cli.buffer.progress import Progress
from user_gym.errors import BadOption, WrongRun

if TYPE_CHECKING:
    from user_gym.system.buffer.copying import Copied


def add(parts: Any) -> None:
    """Declare both."""
    merge = parts.add_parser(
        "merge",
        help="copy several buffers into one",
        description="Copy the chunks of buffers into OUT, which is made if it is not there, with their labels. Nothing is "
        "encoded anew. A chunk is known by its source, episode and sequence, so repeating adds nothing; where runs have "
        "sources of the same name, --names tells them apart.",
    )
    merge.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="folders of buffers; a run may be writing them")
    merge.add_argument("out", metavar="OUT", type=Path, help="folder of the buffer that takes them")
    merge.add_argument("--names", metavar="NAME", nargs="+", help="one for each PATH: its sources become NAME/SOURCE")
    merge.set_defaults(run=run_merge)
    split = parts.add_parser(
        "split",
        help="copy a part of a buffer into another",
        description="Copy the chunks that hold a step which satisfies a condition into OUT, with their labels; PATH stays as "
        "it is. A chunk is about a second of robot time, and comes whole.",
    )
    add_path(split)
    split.add_argument("out", metavar="OUT", type=Path, help="folder of the other buffer")
    split.add_argument("--where", required=True, metavar="CONDITION", help=WHERE)
    split.set_defaults(run=run_split)


def run_merge(arguments: argparse.Namespace) -> int:
    """Copy all of several. 1 where a block was damaged and stayed behind."""
    names: Sequence[str] = arguments.names or [""] * len(arguments.paths)
    if arguments.names and (len(names) != len(arguments.paths) or len(set(names)) < len(names)):
        raise BadOption("--names", names, f"{len(arguments.paths)} different names, one for each buffer")
    paths = [existing(path) for path in arguments.paths]  # all of them, before the first is copied
    return max([_copied(path, arguments.out, None, name) for path, name in zip(paths, names, strict=True)])


def run_split(arguments: argparse.Namespace) -> int:
    """Copy what a condition selects."""
    return _copied(existing(arguments.path), arguments.out, arguments.where, "")


def _copied(path: Path, out: Path, where: str | None, name: str) -> int:
    from user_gym.system.buffer import copied_labels, copying, episodes, outer
    from user_gym.system.buffer.store import Store

    out = outer.folder(out)
    if out.exists() and (out.samefile(path) or not ((out / "index.sqlite").exists() or not any(out.iterdir()))):
        raise WrongRun(f"{out} is {'the buffer itself' if out.samefile(path) else 'no buffer'}; take another folder for OUT")
    with Store.open(path, read_only=True) as origin:
        wanted = None if where is None else episodes.chosen(origin, where)
        if where is not None and not wanted:  # before a buffer is made for it
            raise nothing(where)
        with Store.open(out) as target, Progress(f"copying {path}", size) as progress:
            copied = copying.copy(origin, target, wanted, name, progress)
            labels = copied_labels.copy_labels(path, out, name)
    _say(path, copied, labels)
    return 1 if copied.bad else 0


def _say(path: Path, copied: Copied, labels: int) -> None:
    words = [f"{path}: {copied.blocks} blocks copied, {size(copied.nbytes)}"]
    if copied.known:
        words.append(f"{copied.known} were there already")
    if copied.recoded:
        words.append(f"{copied.recoded} encoded anew, since the chunk before them did not come along")
    if labels:
        words.append(f"labels of {labels} chunks")
    print("; ".join(words))
    for found in copied.bad:
        print(f"  DAMAGED, left behind: step {found.first} of group {found.group}, segment {found.segment}: {found.reason}")
