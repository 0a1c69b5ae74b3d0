"""The main job with its robots behind NAT, across an emulated wide-area network, and the same on this host at the same pace.

python -m benchmarks.link_wan_job
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.bench_link import MBIT, PORT
from benchmarks.link_main_job import Job, Outcome, across, here, table
from benchmarks.machine import keep
from user_gym.system.link.wan import Line, Wan
from user_gym.system.link.wan.wan import CLOUD

HERE, THERE = "on this host", "at edges behind NAT, across the network"


def main() -> None:
    """Run both in turns, and write benchmarks/results/link_wan_job.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3500)
    parser.add_argument("--robots", type=int, default=2)
    parser.add_argument("--period", type=float, default=0.05, help="s of the wall that a step lasts")
    parser.add_argument("--rtt", type=float, default=0.06, help="s")
    parser.add_argument("--rate", type=float, default=20.0, help="Mbit/s each way")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-wan-job")
    chosen = parser.parse_args()
    job = Job(chosen.steps, chosen.robots, chosen.period)
    outcomes: dict[str, list[Outcome]] = {HERE: [], THERE: []}
    for _ in range(chosen.repetitions):
        for name, found in outcomes.items():
            shutil.rmtree(chosen.folder, ignore_errors=True)
            chosen.folder.mkdir(parents=True)
            if name == HERE:
                found.append(here(job, chosen.folder))
            else:
                with Wan(Line(chosen.rtt / 2, chosen.rate * MBIT)) as wan:
                    address = f"{CLOUD}:{PORT}"
                    made = across(job, chosen.folder, address, address, at_hub=wan.cloud.within, at_edge=wan.site.within)
                    found.append(made)
            print(f"{name}: {found[-1]}", flush=True)
    network = f"{1000 * chosen.rtt:.0f} ms there and back and {chosen.rate:.0f} Mbit/s each way, of packets"
    keep("link_wan_job", f"{table(job, outcomes)}\n\nThe network: {network}; `python -m benchmarks.link_wan_job`.")


if __name__ == "__main__":
    main()
