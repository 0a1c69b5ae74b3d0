"""`user-gym buffer export` and `import`: experience in the format of LeRobot's data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from user_gym.cli.buffer.opening import WHERE, add_path, existing, writable
from user_gym.cli.buffer.progress import Progress


def add(parts: Any) -> None:
    """Declare both."""
    export = parts.add_parser(
        "export",
        help="write a LeRobotDataset v3.0",
        description="Write the episodes of a buffer as a LeRobotDataset v3.0, with lossless pictures in parquet files. "
        "`import` brings back equal chunks. Needs the extra 'lerobot'.",
    )
    add_path(export)
    export.add_argument("out", metavar="OUT", type=Path, help="folder of the data set; must not be there")
    export.add_argument("--where", metavar="CONDITION", help=WHERE)
    export.add_argument("--fps", type=int, help="frames/s that LeRobot assumes (default: by the times of the steps)")
    export.add_argument("--skip", metavar="COLUMN", nargs="+", default=(), help="observations or extra columns to leave out")
    export.set_defaults(run=run_export)
    load = parts.add_parser(
        "import",
        help="append a LeRobotDataset v3.0",
        description="Append the episodes of a LeRobotDataset v3.0 to a buffer, which is made if it is not there. Repeating "
        "adds nothing. Pictures have to lie in its parquet files, not in videos. Needs the extra 'lerobot'.",
    )
    add_path(load)
    load.add_argument("dataset", metavar="DATASET", type=Path, help="folder of the data set")
    load.add_argument("--source", help="name for who collected it (default: the folder's)")
    load.add_argument("--robot", help="default: as the data set says")
    load.add_argument("--kind", choices=("demo", "policy"), default="demo", help="who acted (default: demo)")
    load.set_defaults(run=run_import)


def run_export(arguments: argparse.Namespace) -> int:
    """Write a data set."""
    from user_gym.integrations import lerobot

    path = existing(arguments.path)
    writable(arguments.out, "take another folder for OUT")
    with Progress("frames") as progress:
        made = lerobot.export(
            path, arguments.out, where=arguments.where, fps=arguments.fps, skip=arguments.skip, progress=progress
        )
    print(f"{arguments.out}: {made.episodes} episodes, {made.frames} frames at {made.fps} frames/s")
    if made.lost:
        print(f"{made.lost} steps were left out: their observations are not in the buffer any more")
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Append a data set."""
    from user_gym.integrations import lerobot
    from user_gym.integrations.lerobot.layout import read_info
    from user_gym.system import Buffer

    read_info(arguments.dataset)  # before a buffer is made for it
    with Buffer.open(arguments.path) as buffer, Progress("frames") as progress:
        made = lerobot.load(
            buffer,
            arguments.dataset,
            source=arguments.source,
            robot=arguments.robot,
            kind=arguments.kind,
            progress=progress,
        )
    known = f"; {made.known} frames were there already" if made.known else ""
    print(f"{arguments.path}: {made.episodes} episodes, {made.frames} frames{known}")
    if made.left_out:
        print(f"no column for: {', '.join(made.left_out)}")
    return 0
