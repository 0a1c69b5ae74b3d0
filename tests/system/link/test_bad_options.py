"""Options that cannot be: each is an error of ours when it is given, and not with the first edge that comes."""

from __future__ import annotations

import math

import pytest

from user_gym.errors import BadBlock, BadOption, WrongRun
from user_gym.system.link.hub import Hub
from user_gym.system.link.identity.hub_folder import HubFolder
from user_gym.system.link.identity.quota import UNLIMITED
from user_gym.system.link.remote.spaces import space_of


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1"])
def test_a_port_that_there_is_not_is_no_other_one(address):
    with pytest.raises(BadOption, match=r"HOST:PORT, port 0\.\.65535"):
        Hub(address).open()


@pytest.mark.parametrize("address", ["h:99999", "h:0", "h", ":1", "h:x"])
def test_a_bundle_is_made_only_for_an_address(tmp_path, address):
    folder = HubFolder(tmp_path / "hub")
    with pytest.raises(BadOption, match=r"port 1\.\.65535"):
        folder.enroll("e1", address)
    assert not folder.roster.members()


@pytest.mark.parametrize("options", [{"rate": math.nan}, {"rate": 0}, {"most_rate": -1}, {"most_rate": "x"}], ids=str)
def test_a_hub_is_not_made_with_what_is_no_rate(options):
    with pytest.raises(BadOption, match="rate"):
        Hub(**options)


def test_a_host_that_no_certificate_can_name_is_refused(tmp_path):
    folder = HubFolder(tmp_path / "hub")
    folder.enroll("e1", "h:1")
    with pytest.raises(BadOption, match="host of a hub 'm\u00fcnchen'; allowed: a name in ASCII"):
        Hub(folder=folder, hosts=["m\u00fcnchen"]).open()


def test_a_folder_that_is_none_of_a_hub_has_nobody_to_revoke(tmp_path):
    folder = HubFolder(tmp_path / "nowhere")
    with pytest.raises(WrongRun, match="hub enroll"):
        folder.revoke("e1")
    with pytest.raises(WrongRun, match="hub enroll"):
        folder.give("e1", UNLIMITED)


def box(n):
    return {"space": "Box", "dtype": "float64", "shape": [n], "low": 0.0, "high": 1.0}


@pytest.mark.parametrize(
    "tree",
    [
        box(1 << 26),
        {"space": "Dict", "parts": {str(n): box(1 << 22) for n in range(9)}},
        {"space": "Tuple", "parts": [box(1 << 22)] * 9},
        {"space": "MultiBinary", "shape": [1 << 20, 1 << 20]},
    ],
    ids=lambda tree: tree["space"],
)
def test_spaces_that_an_edge_says_take_no_more_memory_than_they_may_together(tree):
    with pytest.raises(BadBlock, match="allowed: 268435456"):
        space_of(tree)


def test_a_space_that_is_large_and_no_more_is_made():
    made = space_of({"space": "Tuple", "parts": [box(1 << 10)]})
    assert [part.shape for part in made] == [(1 << 10,)]  # pyright: ignore[reportGeneralTypeIssues]


@pytest.mark.parametrize("text", ["", "left=", "bad id"])
def test_what_is_no_environment_is_not_served(text, capsys):
    from user_gym.cli.main import main

    assert main(["edge", "--hub", "127.0.0.1:1", "--name", "e1", "--serve", text]) == 2
    assert f"error: bad --serve {text!r}; allowed: [NAME=][MODULE:]ID" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--env", "--device", "--task", "--steps", "--random-steps", "--seed"])
def test_what_only_a_robot_that_collects_has_is_not_ignored_of_one_that_serves(option, capsys):
    from user_gym.cli.main import main

    assert main(["edge", "--hub", "127.0.0.1:1", "--name", "e1", "--serve", "User/PegInsert-sim-v0", option, "3"]) == 2
    assert f"bad options of a robot that collects '{option}'; allowed: none with --serve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "nowhere/e1.bundle"], "in a folder that is there"),
        (["--edges", "e2"], "given together with --operator"),
        (["--client", "--edges", "e2"], "given together with --operator"),
        (["--operator", "--most-steps", "3"], "none for one that is enrolled as operator"),
        (["--client", "--most-rate", "10"], "none for one that is enrolled as client"),
    ],
    ids=lambda value: value[-2] if isinstance(value, list) else "",
)
def test_a_bundle_that_cannot_be_made_as_it_was_asked_for_enters_nobody(tmp_path, monkeypatch, capsys, more, said):
    from user_gym.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main(["hub", "enroll", "e1", "--folder", "hub", "--hub", "127.0.0.1:1", *more]) == 2
    assert said in capsys.readouterr().err
    assert not HubFolder(tmp_path / "hub").path.exists()
