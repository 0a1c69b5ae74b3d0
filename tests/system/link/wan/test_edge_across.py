"""An edge and a hub as processes at two ends of a network of packets, where nothing answers once it is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from user_gym.system.link.wan import Line, Wan, obstacle
from user_gym.system.link.wan.wan import CLOUD

OBSTACLE = obstacle()
pytestmark = pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)

ADDRESS = f"{CLOUD}:5870"
PATHS = [str(Path(__file__).parents[above]) for above in (1, 2)]
HUB = ["-m", "user_gym.cli", "hub", "--insecure", "--listen", ADDRESS]
EDGE = """
import gc, sys, time
from pathlib import Path

sys.path[:0] = sys.argv[2:]
from fleet import episode

from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.edge.edge import State
from user_gym.system.link.stream.loop import Loop


async def collect():
    gc.collect()  # whatever of gRPC is left of attempts that failed, goes now


spool = Spool.open(Path(sys.argv[1]))
edge = Edge("ADDRESS", spool, name="e1", robots=("arm",), insecure=True, patience=0.5).open()
edge.wait(20.0)
print("in", flush=True)
for number in range(5):  # more than goes through before the network is gone
    for chunk in episode("e1", "arm", number, picture=100_000):
        edge.outlet.put(chunk)
while edge.state is State.CONNECTED:
    time.sleep(0.01)
loop, end = Loop.borrow(), time.monotonic() + 14.0  # two attempts to dial, and the pauses after them
while time.monotonic() < end:
    loop.start(collect()).result(4.0)
    time.sleep(0.01)
print("dials", flush=True)
while edge.state is not State.CONNECTED:
    time.sleep(0.01)
print("in again", flush=True)
sys.stdin.readline()
edge.close()
loop.give_back()
spool.close()
"""


@pytest.mark.slow
def test_an_edge_whose_packets_nobody_answers_goes_on_dialling(tmp_path):
    with Wan(Line(delay=0.02, rate=1e6)) as wan:
        hub = wan.cloud.start([sys.executable, *HUB, "--buffer", str(tmp_path / "buffer")], stdout=subprocess.PIPE, text=True)
        code = EDGE.replace("ADDRESS", ADDRESS)
        try:
            assert hub.stdout.readline().startswith("listening")
            edge = wan.site.start(
                [sys.executable, "-c", code, str(tmp_path / "spool"), *PATHS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                assert edge.stdout.readline() == "in\n"
                time.sleep(0.15)  # some of it is under way
                wan.cut()
                assert edge.stdout.readline() == "dials\n"
                wan.restore()
                assert edge.stdout.readline() == "in again\n"
                edge.communicate("\n", timeout=20.0)
                assert edge.returncode == 0
            finally:
                edge.kill()
                edge.communicate()
        finally:
            hub.kill()
            hub.communicate()
