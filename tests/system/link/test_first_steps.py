"""What somebody sees who tries hub and edge for the first time, and leaves something out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from fleet import TIMEOUT, episode, wait

from user_gym.cli.edge import _line
from user_gym.cli.hub.serve import line
from user_gym.cli.main import main
from user_gym.core import Policy, Weights
from user_gym.errors import BadOption, NotAdmitted
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import Hub
from user_gym.system.link.machine import EdgeRobot

PACKAGE = str(Path(__file__).parents[3])
FOLDERS = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "processes")]  # of toy robots


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hub", "--listen", "5870"], "bad --listen '5870'; allowed: HOST:PORT"),
        (["hub", "--listen", "0.0.0.0:1"], "bad --folder None.*is not loopback.*--insecure"),
        (["hub", "--folder", "hub", "--listen", "0.0.0.0:1"], "bad --host None; allowed: the name"),
        (["edge"], "bad --env None; allowed: an id.* or --serve ID"),
        (["edge", "--env", "E-v0"], "bad --policy None; allowed: module:Class"),
    ],
)
def test_an_option_that_is_missing_is_named_as_it_is_typed(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert re.search(words, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ([], r"user-gym edge --bundle x\.bundle --env ID .*\n.* --serve ID"),
        (["--operator"], r"user-gym hub edges --bundle x\.bundle"),
        (["--client"], r"bundle='x\.bundle', edge='EDGE'"),
    ],
)
def test_a_new_bundle_comes_with_what_to_do_with_it(tmp_path, monkeypatch, capsys, role, words):
    monkeypatch.chdir(tmp_path)
    assert main(["hub", "enroll", "x", "--folder", "hub", "--hub", "h:1", *role]) == 0
    assert re.search(words, capsys.readouterr().out)


def test_the_list_of_members_says_what_each_edge_may_bring(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, more in (("few", ["--most-steps", "7", "--most-rate", "5.5"]), ("any", []), ("boss", ["--operator"])):
        assert main(["hub", "enroll", name, "--folder", "hub", "--hub", "h:1", *more]) == 0
    capsys.readouterr()
    assert main(["hub", "members", "--folder", "hub"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"few .* 7 steps, 5\.5 bytes a second\n", shown)
    assert re.search(r"any .* any number\n", shown)
    assert main(["hub", "quota", "few", "--folder", "hub", "--most-bytes", "9"]) == 0
    assert capsys.readouterr().out == "few may bring 9 bytes; it has brought 0 steps, 0 bytes so far\n"


def test_a_robot_that_waits_for_its_first_weights_says_so_on_both_sides(tmp_path):
    facts = {"robots": {"arm": {"state": "waits for the first weights"}}}
    robots = {"arm": EdgeRobot("E-v0")}
    with (
        Hub() as hub,
        Spool.open(tmp_path / "spool") as spool,
        Edge(f"127.0.0.1:{hub.port}", spool, name="e1", robots=robots, facts=lambda: facts) as edge,
    ):
        edge.wait(TIMEOUT)
        assert "connected, arm waits for the first weights, 0 steps wait for the hub" in _line(edge)
        assert "e1: 0 steps, no weights yet" in line(hub.edges(), "")


def test_an_edge_that_collects_for_a_hub_without_a_buffer_gives_up_with_the_reason_and_keeps_what_it_has(tmp_path):
    with Hub() as hub, Spool.open(tmp_path / "spool") as spool:
        with Edge(f"127.0.0.1:{hub.port}", spool, name="e1", robots=("arm",)) as edge:
            edge.wait(TIMEOUT)
            for chunk in episode("e1", "arm", 0):
                edge.outlet.put(chunk)
            wait(lambda: edge.failure)
            assert isinstance(edge.failure, NotAdmitted)
            assert "this hub stores nothing; user-gym hub --buffer DIR" in str(edge.failure)
        assert len(spool) == 3
        assert not (tmp_path / "spool" / "refused.segment").exists()


def test_a_policy_that_lies_where_the_command_is_started_is_found(tmp_path):
    (tmp_path / "lies_here.py").write_text("made = 1\n")
    way = ["--name", "e1", "--hub", "127.0.0.1:1", "--env", "E-v0", "--policy", "lies_here:made"]
    # -P: as the installed script, which has its own folder in the path and not this one.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "user_gym.cli", "edge", *way], cwd=tmp_path, env={**os.environ, "PYTHONPATH": PACKAGE},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "allowed: a callable of module 'lies_here'" in done.stderr


def test_a_run_whose_hub_has_no_authority_is_refused_before_any_robot_moves(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = 'steps = 10\n[hub]\nfolder = "hub"\n[[collectors]]\nname = "arm"\nedge = "e1"\nenv = "E-v0"\n'
    (tmp_path / "plan.toml").write_text(plan)
    assert main(["run", "plan.toml"]) == 2
    assert "`user-gym hub enroll` makes one" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/*/processes/*"))


def test_the_policy_of_the_page_acts_with_the_weights_that_its_learner_publishes():
    page = (Path(PACKAGE) / "docs" / "link.md").read_text()
    program = re.search(r"```python\n(import time\n.*?)```", page, re.S)
    assert program
    made: dict[str, Any] = {"__name__": "mine"}
    exec(program[1], made)
    env = gymnasium.make("User/PegInsert-sim-v0").unwrapped
    policy = made["Mine"](env.observation_space, env.action_space)
    assert isinstance(policy, Policy)
    arrays = re.search(r"publish\((\{.*?\}), Mine", program[1])
    assert arrays
    policy.load(Weights(3, eval(arrays[1], {"np": np, "version": 3}), "mine-1"))
    chosen = policy.act({}, deterministic=True)
    assert chosen.version == 3
    assert chosen.actions.tolist() == pytest.approx(np.full((1, 6), 0.03))
    with pytest.raises(BadOption, match="spec_hash of weights"):
        policy.load(Weights(4, {}, "another"))


def test_the_spool_of_another_edge_is_left_alone(tmp_path, monkeypatch, capsys):
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    with Spool.open(tmp_path / "spool") as spool, Edge("127.0.0.1:1", spool, name="e9", robots=("arm",)) as edge:
        edge.outlet.put(episode("e9", "arm", 0)[0])
        wait(lambda: len(spool))
    way = ["--name", "e1", "--hub", "127.0.0.1:1", "--spool", str(tmp_path / "spool"), "--no-raw"]
    assert main(["edge", *way, "--env", "toy_robots:ToyRobot-v0", "--policy", "toy_edge:policy"]) == 2
    assert "a folder of 'e1'; what waits in this one is of 'e9'" in capsys.readouterr().err
    with Spool.open(tmp_path / "spool") as spool:
        assert len(spool) == 1
