"""`user-gym watch`: what a run is doing, from the files that it writes; the run does not notice."""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from user_gym.system.metrics import RunRecord, Sink


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "watch",
        help="show what a run is doing",
        description="Show robots, learner, buffer, staleness and waits of a run that another process makes: a live table on a "
        "terminal, elsewhere a line for each record. It ends with the run, or by Ctrl-C. docs/watching.md says what is what.",
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="folder of the run, such as runs/NAME")
    parser.add_argument("--once", action="store_true", help="print the newest record, and end")
    parser.add_argument("--json", action="store_true", help="for programs: an object a line")
    parser.add_argument("--period", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    parser.add_argument(
        "--metrics-port", type=int, metavar="N", help="serve Prometheus at 127.0.0.1:N/metrics meanwhile; 0: a free port"
    )
    parser.add_argument("--tensorboard", action="store_true", help="keep curves in RUN_DIR/tensorboard meanwhile")
    parser.add_argument("--wandb", action="store_true", help="keep an offline run for W&B in RUN_DIR/wandb meanwhile")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show records until the run has ended; with --once the newest one."""
    from user_gym.core import real
    from user_gym.system.metrics import Endpoint, Recorder, Table

    period = real("period", arguments.period, 0.05, 3600.0, "s, 0.05 .. 3600")
    record = newest(arguments.run_dir)  # before anything is opened: a wrong path costs nothing
    if arguments.once:
        _print(record, arguments.json)
        return 0
    with ExitStack() as opened:
        shows: list[Sink] = []
        if arguments.metrics_port is not None:
            shows.append(endpoint := Endpoint(arguments.metrics_port))
            endpoint.open()
            print(f"metrics: {endpoint.url}", file=sys.stderr)
        if not arguments.json:
            shows.append(Table())
        for sink in shows:
            opened.callback(sink.close)
            sink.open()
        kept = opened.enter_context(Recorder(_kept(arguments, record.run)))
        shown = -1.0
        while True:
            if record.time != shown:
                kept.write(record)
                if arguments.json:
                    print(record.to_json(), flush=True)
            for sink in shows:
                if record.time != shown or (isinstance(sink, Table) and sink.live):  # which says how old the record is
                    sink.write(record)
            if record.ended:
                return 0
            shown, before = record.time, record
            time.sleep(period)
            record = _rated(newest(arguments.run_dir), before)


def _kept(arguments: argparse.Namespace, name: str) -> list[Sink]:
    """Files that are written meanwhile."""
    from user_gym.system.metrics import TensorBoard, WeightsAndBiases

    folder, kept = arguments.run_dir, list[Any]()
    if arguments.tensorboard:
        kept.append(TensorBoard(folder / "tensorboard"))
    if arguments.wandb:
        kept.append(WeightsAndBiases(folder, name))
    return kept


def _rated(record: RunRecord, before: RunRecord) -> RunRecord:
    """The record with updates a second since the one before, where it does not say so itself."""
    if not math.isnan(record.learner.rate):
        return record
    if record.time <= before.time:
        return replace(record, learner=replace(record.learner, rate=before.learner.rate))
    rate = (record.learner.updates - before.learner.updates) / (record.time - before.time)
    return replace(record, learner=replace(record.learner, rate=max(0.0, rate)))  # a killed learner has done fewer for a while


def newest(folder: Path) -> RunRecord:
    """The newest record of a run, of one process or of several. Raises WrongRun."""
    from user_gym.system.metrics import json_lines, status
    from user_gym.system.processes import RunFolder

    several = RunFolder(folder).status_file
    return status.read(several) if several.exists() else json_lines.newest(folder)


def _print(record: RunRecord, as_json: bool) -> None:
    if as_json:
        print(record.to_json())
        return
    from user_gym.system.metrics.table import table

    drawn = table(record, time.time())  # raises where rich is missing
    from rich.console import Console

    Console(width=get_terminal_size((120, 24)).columns).print(drawn)
