"""`user-gym bench link`: what the link makes of a network like yours, before a robot depends on it."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

_MBIT = 125_000  # bytes


def add(parts: Any) -> None:
    """Declare the command."""
    parser = parts.add_parser(
        "link",
        help="episodes of a simulated robot through a network as bad as you say",
        description="A hub, an edge and a robot with two 128x128 cameras that only waits, in this process, and between them a "
        "relay that delays, narrows and falls silent. The policy runs at the edge. It says how long episodes take, how many "
        "control periods had their order in time, and whether what is collected keeps up.",
        epilog="Exit codes: 0 every step was stored once; 1 not so; 2 an error.",
    )
    parser.add_argument("--rtt", type=float, default=0.06, metavar="S", help="round trip (default: 0.06)")
    parser.add_argument("--rate", type=float, default=20.0, metavar="MBIT", help="Mbit/s each way (default: 20); 0: no limit")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="S", help="each piece comes up to so much later")
    parser.add_argument("--outage", type=float, default=0.0, metavar="S", help="of silence in the middle")
    parser.add_argument("--frequency", type=float, default=10.0, metavar="HZ", help="control periods per second (default: 10)")
    parser.add_argument("--steps", type=int, default=50, metavar="N", help="of an episode (default: 50)")
    parser.add_argument("--episodes", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--json", action="store_true", help="one object instead of lines")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Try, and say what was seen. 1 where a step was lost or doubled."""
    from user_gym.cli.buffer.progress import Progress
    from user_gym.system.link.trial import Network, Trial

    network = Network(arguments.rtt, arguments.rate * _MBIT or None, arguments.jitter, arguments.outage)
    trial = Trial(network, arguments.frequency, arguments.steps, arguments.episodes)
    with tempfile.TemporaryDirectory(prefix="user-gym-bench-") as folder, Progress("steps stored") as progress:
        report = trial.run(Path(folder), lambda done, total, now: progress(done, total))
    if arguments.json:
        print(json.dumps(report._asdict()))
    else:
        print("\n".join(lines(report)))
    return 1 if report.lost or report.doubled else 0


def lines(report: Any) -> list[str]:
    """A report in words."""
    median = statistics.median(report.episodes)
    said = [
        f"episode            {median:.2f} s; without a network {report.ideal:.2f} s: {median / report.ideal:.3f} of it",
        f"control periods    {report.in_time} of {report.periods} had their order in time",
        f"sent               {report.sent / 1e6:.2f} MB, {report.sent / report.steps / 1e3:.1f} KB a step",
        f"all of it stored   {report.upload:.2f} s after the first step; the floor is {report.floor:.2f} s",
        f"lost, doubled      {report.lost}, {report.doubled} of {report.steps} steps",
    ]
    if report.round_trip is not None:
        said.insert(0, f"round trip         {1000 * report.round_trip:.0f} ms, as the hub measures it")
    if report.reconnected is not None:
        said.append(f"heard again        {report.reconnected:.2f} s after the network was back")
    return said
