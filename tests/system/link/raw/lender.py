"""An edge as a process: lends what is in its archive until it is killed. HUB SPOOL ARCHIVE RATE."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.raw import Archive

if __name__ == "__main__":
    hub, spool, archive, rate = sys.argv[1:]
    with (
        Spool.open(Path(spool)) as waiting,
        Archive.open(Path(archive), spare_bytes=0) as kept,
        Edge(hub, waiting, name="e1", archive=kept, raw_rate=float(rate)) as edge,
    ):
        edge.wait(30.0)
        sys.stdout.write("is in\n")
        sys.stdout.flush()
        time.sleep(120.0)
