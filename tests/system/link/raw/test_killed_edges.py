"""Kill -9 of an edge, and an end of the hub, in the middle of a fetch: it goes on where it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from fleet import TIMEOUT, Fleet, wait
from streams import SOURCE, fill, number_of

from user_gym.system.link.fetch import fetch
from user_gym.system.link.operator import ask
from user_gym.system.link.raw import Archive

RATE = 1_000_000.0  # bytes per second of raw episodes
ASK = {"ask": "fetch", "source": SOURCE, "episode": 0}


@pytest.fixture
def lender(tmp_path):
    """Starts the edge's process."""
    running: list[subprocess.Popen[str]] = []

    def start(hub):
        arguments = (hub, f"{tmp_path}/spool", f"{tmp_path}/raw-edge", str(RATE))
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("lender.py")), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "is in\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def recorded(tmp_path):
    """Bytes of an episode on the edge's disk: 2 s on its way."""
    with Archive.open(tmp_path / "raw-edge", spare_bytes=0) as kept:
        return sum(len(block.data) for block in fill(kept, 0, count=3, size=270))


def numbers(kept):
    return [number_of(picture) for picture in kept.stream(SOURCE, 0, "wrist").columns["image"]]


def test_a_fetch_goes_on_with_the_edge_that_comes_after_a_killed_one(tmp_path, lender, recorded):
    with Archive.open(tmp_path / "raw-hub", spare_bytes=0) as hub, Fleet(tmp_path, {"archive": hub, "patience": 1.0}) as fleet:
        first = lender(fleet.relay.address)
        done = []
        thread = Thread(target=lambda: done.append(fetch(f"127.0.0.1:{fleet.hub.port}", None, SOURCE, 0)))
        thread.start()
        wait(lambda: fleet.relay.carried[0] > 0.6 * recorded)  # within the second of three blocks
        first.send_signal(signal.SIGKILL)
        first.wait(TIMEOUT)
        lender(fleet.relay.address)
        thread.join(2 * TIMEOUT)
        assert done[0].state == "done"
        assert numbers(hub) == list(range(15))
        # Neither the block that was there nor the half of the next came again: heads and beats are a few kB.
        assert fleet.relay.carried[0] < 1.25 * recorded


def test_a_fetch_goes_on_at_the_hub_that_comes_after_another(tmp_path, lender, recorded):
    with Archive.open(tmp_path / "raw-hub", spare_bytes=0) as hub, Fleet(tmp_path, {"archive": hub}) as fleet:
        lender(fleet.relay.address)
        address = f"127.0.0.1:{fleet.hub.port}"
        assert ask(address, None, ASK)["state"] != "done"
        wait(lambda: any(not one.whole for one in hub.episodes(SOURCE)))
        fleet.end_hub()
        here = hub.places(SOURCE, 0)
        assert 1 <= len(here) < 3
        fleet.begin_hub()
        wait(lambda: fleet.hub.edges(), TIMEOUT)
        assert fetch(address, None, SOURCE, 0).state == "done"
        assert numbers(hub) == list(range(15))
        assert hub.places(SOURCE, 0)[: len(here)] == here
