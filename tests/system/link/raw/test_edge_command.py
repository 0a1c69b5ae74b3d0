"""`user-gym edge` records, says what a step costs, and lends what it recorded: processes of their own, and a real env."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fleet import wait

from user_gym.cli.main import main
from user_gym.system.buffer import Buffer
from user_gym.system.link.raw import Archive
from user_gym.system.weights import SharedPublisher

HERE = Path(__file__).parent
FOLDERS = (HERE, HERE.parent, HERE.parents[1], HERE.parents[1] / "processes", HERE.parents[3])
ENV = "User/PegInsert-sim-v0"
TIMEOUT = 60.0  # s


class Process:
    """A command that runs; its output is in a file."""

    def __init__(self, path, *arguments):
        self.log = path / f"{arguments[0]}.log"
        environment = {**os.environ, "PYTHONPATH": ":".join(map(str, FOLDERS)), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "user_gym.cli", *arguments],
                stdout=log, stderr=subprocess.STDOUT, cwd=path, env=environment,
            )  # fmt: skip

    def wait_for(self, words):
        wait(lambda: re.search(words, self.log.read_text()) or self.process.poll() is not None, TIMEOUT)
        found = re.search(words, self.log.read_text())
        assert found, self.log.read_text()
        return found


@pytest.fixture
def started(tmp_path):
    running = []

    def start(*arguments):
        running.append(Process(tmp_path, *arguments))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait(TIMEOUT)


def test_what_an_edge_recorded_is_fetched_by_number_and_joins_with_what_was_learned_from(tmp_path, started, capsys):
    name = f"raw-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    with SharedPublisher(name) as publisher:
        publisher.publish({"mean": np.full(1, 0.25, np.float32)}, "toy")
        hub = started("hub", "--buffer", "buffer", "--weights", name, "--listen", "127.0.0.1:0")
        port = hub.wait_for(r"listening at 127.0.0.1:(\d+)")[1]
        way = ["--hub", f"127.0.0.1:{port}"]
        edge = started(
            "edge", "--name", "e1", *way, "--env", ENV, "--robot", "franka-fr3", "--policy", "lazy:Still", "--columns", "state"
        )
        buffer = tmp_path / "buffer"
        hub.wait_for(r"e1: \d\d+ steps, version \d+.* a step")
        wait(lambda: any(one.whole for one in _kept(tmp_path / "spool-raw")), TIMEOUT)
        assert main(["hub", "edges", *way, "--bytes"]) == 0
        assert re.search(r"e1 +obs.state +[\d.]+ B +with light", capsys.readouterr().out)
        assert main(["hub", "fetch", "e1/robot", "0", *way, "--to", f"{tmp_path}/mine"]) == 0
        assert "episode 0 of e1/robot:" in capsys.readouterr().out
        edge.process.send_signal(signal.SIGINT)
        assert edge.process.wait(TIMEOUT) == 130
        hub.process.send_signal(signal.SIGINT)
        hub.process.wait(TIMEOUT)
    with Buffer.open(buffer, read_only=True) as learned, Archive.open(tmp_path / "mine", read_only=True) as mine:
        state = mine.stream("e1/robot", 0, "state")
        numbers = learned.view("episode = 0").numbers()
        times = np.unique(np.concatenate([learned.chunk(int(number)).time for number in numbers]))
        np.testing.assert_array_equal(state.time[state.at(times)], times)  # each step has the full state of its moment
        assert list(learned.chunk(int(numbers[0])).obs) == ["state"]
    assert (tmp_path / "buffer-raw" / "provenance.jsonl").exists()


def _kept(folder):
    if not folder.exists():
        return ()
    with Archive.open(folder, read_only=True) as seen:
        return seen.episodes()


def test_a_dry_run_says_what_a_step_costs_and_touches_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    arguments = ["edge", "--name", "e1", "--hub", "127.0.0.1:1", "--env", ENV, "--policy", "lazy:Still", "--columns", "state"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"obs.state +float32\[\d+\] +with light +\d+ B", said)
    assert re.search(r"at 10 Hz: .* per second, at most", said)
    assert "state at about 10 Hz, kept in spool-raw" in said
    assert not list(tmp_path.iterdir())
