"""`user-gym hub` and `user-gym edge` as processes of their own, over TLS, ended in every way."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from fleet import wait

from user_gym.cli.main import main
from user_gym.system.buffer import Buffer
from user_gym.system.weights import SharedPublisher

HERE = Path(__file__).parent
FOLDERS = (HERE, HERE.parent, HERE.parent / "processes", HERE.parents[2])
ENV = "toy_robots:ToyRobot-v0"
TIMEOUT = 60.0  # s


class Process:
    """A command that runs; its output is in a file."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.log = path / f"{arguments[0]}-{time.monotonic_ns()}.log"
        environment = {**os.environ, "PYTHONPATH": ":".join(map(str, FOLDERS)), "PYTHONUNBUFFERED": "1"}
        environment["USER_GYM_STOPS"] = str(path / "stops")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "user_gym.cli", *arguments],
                stdout=log, stderr=subprocess.STDOUT, cwd=path, env=environment,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str) -> re.Match[str]:
        wait(lambda: re.search(words, self.said) or self._process.poll() is not None, TIMEOUT)
        found = re.search(words, self.said)
        assert found, self.said
        return found

    def end(self, how: int = signal.SIGINT) -> int:
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self._process.wait(TIMEOUT)

    def result(self) -> int:
        return self._process.wait(TIMEOUT)


@pytest.fixture
def started(tmp_path):
    running: list[Process] = []

    def start(*arguments):
        running.append(Process(tmp_path, *arguments))
        return running[-1]

    yield start
    for process in running:
        process.end(signal.SIGKILL)


@pytest.fixture
def published(tmp_path):
    name = f"link-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    with SharedPublisher(name) as publisher:
        publisher.publish({"mean": np.full(1, 0.25, np.float32)}, "toy")
        yield name


def enrolled(tmp_path, name="e1", port=1):
    assert (
        main(
            [
                "hub",
                "enroll",
                name,
                "--folder",
                f"{tmp_path}/hub",
                "--hub",
                f"127.0.0.1:{port}",
                "--out",
                f"{tmp_path}/{name}.bundle",
            ]
        )
        == 0
    )


def hub(start, published, port=0):
    process = start("hub", "--folder", "hub", "--buffer", "buffer", "--weights", published, "--listen", f"127.0.0.1:{port}")
    return process, int(process.wait_for(r"listening at 127.0.0.1:(\d+)")[1])


def edge(start, port, *more, env=ENV):
    return start(
        "edge", "--bundle", "e1.bundle", "--hub", f"127.0.0.1:{port}", "--env", env, "--policy", "toy_edge:policy", *more
    )


def stored(tmp_path, column):
    """A column of all steps that the hub has."""
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        return buffer.steps(buffer.numbers(), [column])[column]


def test_a_robots_machine_runs_one_command_and_its_steps_are_in_the_hubs_buffer(tmp_path, started, published, capsys):
    enrolled(tmp_path)
    serving, port = hub(started, published)
    collecting = edge(started, port, "--steps", "50")
    assert collecting.result() == 0, collecting.said
    assert "50 steps; the hub has them all" in collecting.said
    assert serving.end() == 130
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        assert len(buffer) == 50
        chunk = buffer.chunk(0)
        assert (chunk.source, chunk.env_id) == ("e1/robot", ENV)
        assert (chunk.policy_version == 0).all()  # it acted with the weights that were published
        assert abs(float(chunk.action.mean()) - 0.25) < 0.2
    assert main(["hub", "members", "--folder", f"{tmp_path}/hub"]) == 0
    assert re.search(r"e1 +edge .* good", capsys.readouterr().out)


def test_an_edge_that_serves_says_who_has_its_robot_and_a_service_manager_ends_both_in_order(tmp_path, started, capsys):
    enrolled(tmp_path)
    serving = started("hub", "--folder", "hub", "--listen", "127.0.0.1:0")
    port = serving.wait_for(r"listening at 127.0.0.1:(\d+)\nno --buffer: .*\nno --weights: ")[1]
    stepped = started("edge", "--bundle", "e1.bundle", "--hub", f"127.0.0.1:{port}", "--serve", ENV)
    stepped.wait_for("has let e1 in")
    way = ["--hub", f"127.0.0.1:{port}", "--folder", f"{tmp_path}/hub"]
    for name, role in (("boss", "--operator"), ("ann", "--client")):
        assert main(["hub", "enroll", name, role, *way, "--out", f"{tmp_path}/{name}.bundle"]) == 0

    def listed(words):
        capsys.readouterr()
        assert main(["hub", "edges", "--bundle", f"{tmp_path}/boss.bundle"]) == 0
        return re.search(words, capsys.readouterr().out)

    wait(lambda: listed(rf"robot +free +{ENV.partition(':')[2]}"), TIMEOUT)
    env = gymnasium.make("User/Remote-v0", bundle=f"{tmp_path}/ann.bundle", env_id=ENV.partition(":")[2]).unwrapped
    wait(lambda: listed("robot +leased by ann#"), TIMEOUT)
    env.close()
    assert stepped.end(signal.SIGTERM) == 130, stepped.said
    assert serving.end(signal.SIGTERM) == 130, serving.said


@pytest.mark.slow
def test_repeated_the_command_goes_on_with_the_next_episode(tmp_path, started, published):
    enrolled(tmp_path)
    _, port = hub(started, published)
    for _ in range(2):
        assert edge(started, port, "--steps", "30").result() == 0
    with Buffer.open(tmp_path / "buffer", read_only=True) as buffer:
        assert sorted({buffer.chunk(int(n)).episode for n in buffer.numbers()}) == list(range(6))


def test_a_stop_of_an_operator_ends_the_command_on_the_robots_machine(tmp_path, started, published, capsys):
    enrolled(tmp_path)
    _, port = hub(started, published)
    collecting = edge(started, port)
    collecting.wait_for("is in; episode")
    way = ["--hub", f"127.0.0.1:{port}", "--folder", f"{tmp_path}/hub", "--out", f"{tmp_path}/boss.bundle"]
    assert main(["hub", "enroll", "boss", "--operator", *way]) == 0
    capsys.readouterr()
    assert main(["hub", "stop", "--bundle", f"{tmp_path}/boss.bundle"]) == 0
    assert capsys.readouterr().out == "e1: its robots hold\n"
    assert collecting.result() == 1
    assert "stopped by boss" in collecting.said


def test_an_operator_takes_a_robot_over_from_afar_and_the_buffer_says_so(tmp_path, started, published):
    enrolled(tmp_path)
    serving, port = hub(started, published)
    way = ["--hub", f"127.0.0.1:{port}", "--folder", f"{tmp_path}/hub", "--out", f"{tmp_path}/boss.bundle"]
    assert main(["hub", "enroll", "boss", "--operator", "--edges", "e1", *way]) == 0
    collecting = edge(started, port, env="toy_edge:StatelyRobot-v0")
    collecting.wait_for("is in; episode")
    taking = started("hub", "take-over", "e1", "--bundle", "boss.bundle", "--device", "toy_edge:Constant")
    taking.wait_for("e1/robot is yours")
    collecting.wait_for("is taken over by boss")
    wait(lambda: stored(tmp_path, "is_intervention").sum() > 10, TIMEOUT)
    assert taking.end() == 0
    assert "e1/robot is let go" in taking.said
    collecting.wait_for("is let go by boss")
    wait(lambda: not stored(tmp_path, "is_intervention")[-10:].any(), TIMEOUT)
    assert collecting.end() == 130
    serving.end()
    by_hand, ordered = stored(tmp_path, "is_intervention"), stored(tmp_path, "ordered")
    assert (ordered[by_hand] == -0.75).all()
    assert (ordered[~by_hand] > -0.7).all()
    assert (stored(tmp_path, "policy_version")[by_hand] == -1).all()
    assert not by_hand[-10:].any()


def test_a_revoked_edge_ends_with_the_reason(tmp_path, started, published):
    enrolled(tmp_path)
    _, port = hub(started, published)
    assert main(["hub", "revoke", "e1", "--folder", f"{tmp_path}/hub"]) == 0
    turned_away = edge(started, port)
    assert turned_away.result() == 2
    assert "was revoked; ask the hub's operator" in turned_away.said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--policy", "no.such:thing", "--bundle", "e1.bundle"), "callable of the plan"),
        (("--policy", "nothing", "--bundle", "e1.bundle"), "unknown policy"),
        (("--policy", "toy_edge:policy", "--bundle", "none.bundle"), "is not there"),
        (("--policy", "toy_edge:policy", "--hub", "192.0.2.1:9", "--name", "e1"), "is not loopback"),
        (("--policy", "toy_edge:policy"), "name of an edge|address of the hub"),
    ],
)
def test_a_wrong_argument_is_an_error_in_words(tmp_path, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    enrolled(tmp_path)
    assert main(["edge", "--env", ENV, *arguments]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_bundle_is_not_written_over_another_file(tmp_path, capsys):
    enrolled(tmp_path)
    assert main(["hub", "enroll", "e2", "--folder", f"{tmp_path}/hub", "--hub", "h:1", "--out", f"{tmp_path}/e1.bundle"]) == 2
    assert "a new one" in capsys.readouterr().err
    assert main(["hub", "members", "--folder", f"{tmp_path}/hub"]) == 0
    assert "e2" not in capsys.readouterr().out


@pytest.mark.slow
def test_kills_of_both_ends_at_random_moments_lose_and_double_nothing_that_was_kept(tmp_path, started, published):
    rng = random.Random(3)
    enrolled(tmp_path)
    serving, port = hub(started, published)
    collecting = edge(started, port)
    for round in range(6):
        collecting.wait_for("is in; episode")
        time.sleep(rng.uniform(0.1, 1.0))
        if round % 2:
            serving.end(signal.SIGKILL)
            serving, _ = hub(started, published, port)
        else:
            collecting.end(signal.SIGKILL)
            collecting = edge(started, port)
    collecting.wait_for("is in; episode")
    assert collecting.end() == 130
    assert edge(started, port, "--steps", "10").result() == 0
    serving.end()
    with Buffer.open(tmp_path / "buffer") as buffer:
        chunks = [buffer.chunk(int(n)) for n in buffer.numbers()]
    keys = {(chunk.episode, chunk.sequence): chunk for chunk in chunks}
    counts = Counter((chunk.episode, chunk.sequence) for chunk in chunks)
    assert all(counts[key] == len(keys[key]) for key in counts)  # each transition once
    episodes = sorted({episode for episode, _ in keys})
    assert episodes == list(range(len(episodes)))
    for number in episodes:
        sequences = sorted(sequence for episode, sequence in keys if episode == number)
        assert sequences == list(range(len(sequences)))
