"""The file that says what an edge is, and what its hub hears of it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from fleet import Fleet, wait

from user_gym.cli.main import main
from user_gym.core import Device, Inventory
from user_gym.errors import BadBlock, BadOption, UnknownName
from user_gym.system.link.edge.plan import EdgePlan, RobotPlan, from_words, read, serving
from user_gym.system.link.machine import EdgeRobot, Machine
from user_gym.system.link.wire.kinds import Kind
from user_gym.system.link.wire.message import Message

SOUND = {"policy": "a:b", "robots": [{"env": "Toy-v0"}]}
ARM = {"env": "User/PegInsert-real-v0", "model": "franka-fr3", "task": "PegInsert", "form": "float32(2,) -> float32(1,)"}
CELL = (
    Device("left", "robot", "franka-fr3", "172.16.0.2"),
    Device("wrist", "camera", "realsense", "", robot="left", healthy=False, reason="unplugged"),
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"polcy": "a:b"}, r"unknown option of an edge 'polcy'.*policy"),
        ({"robots": [{"env": "Toy-v0", "modle": "x"}]}, r"unknown option of an edge 'robots\[0\]\.modle'"),
        ({"robots": []}, r"one \[\[robots\]\] or more"),
        ({"robots": {"env": "Toy-v0"}}, "in double brackets"),
        ({"robots": [{}]}, r"robots\[0\]\.env"),
        ({"robots": [{"env": "Toy-v0"}] * 2}, "a name that no other robot"),
        ({"robots": [{"env": "Toy-v0", "name": "a/b"}]}, r"robots\.name.*letters"),
        ({"robots": [{"env": "Toy-v0", "steps": 0}]}, "steps of 'robot'"),
        ({"robots": [{"env": "Toy-v0", "kwargs": 3}]}, "kwargs of 'robot'"),
        ({"policy": ""}, "policy"),
        ({"policy_options": 3}, "policy_options"),
        ({"spool": 3}, "spool"),
        ({"spool_bytes": 0}, "spool_bytes"),
        ({"jpeg": 101}, "1 .. 100"),
        ({"rate": -1.0}, "bytes per second"),
        ({"take_over": -0.5}, "nobody takes over"),
        ({"insecure": "yes"}, "true or false"),
        ({"hub": 3}, "hub"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_what_is_allowed(changes, words):
    with pytest.raises((BadOption, UnknownName), match=words):
        from_words({**SOUND, **changes})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"serve": "User/PegInsert-sim-v0"}, "serve"),
        ({"serve": []}, "serve"),
        ({"serve": ["a"], "policy": "a:b"}, "unknown option of an edge that serves 'policy'"),
        ({"serve": ["a"], "watchdog": -1.0}, "watchdog"),
        ({"serve": ["a"], "hub": ""}, "hub"),
        ({"serve": ["a"], "serve_options": 3}, "serve_options"),
    ],
)
def test_a_file_of_an_edge_that_serves_is_checked_as_well(words, said):
    with pytest.raises((BadOption, UnknownName), match=said):
        serving(words)


def test_an_edge_that_serves_can_be_said_in_a_file(tmp_path, capsys):
    (tmp_path / "edge.toml").write_text('hub = "127.0.0.1:1"\nname = "e1"\nserve = ["left=No/Such-v0"]\n')
    assert main(["edge", "--config", str(tmp_path / "edge.toml")]) == 2
    assert "No/Such-v0" in capsys.readouterr().err


def test_a_file_that_is_none_is_an_error(tmp_path):
    (tmp_path / "edge.toml").write_text("policy = ")
    for path, words in (("edge.toml", "a file of TOML"), ("none.toml", "a file that can be read")):
        with pytest.raises(BadOption, match=words):
            read(tmp_path / path)


def test_options_of_the_command_go_before_the_file_and_do_not_mix_with_its_robots(tmp_path, capsys):
    file = tmp_path / "edge.toml"
    file.write_text('policy = "no.such:thing"\n[[robots]]\nenv = "Toy-v0"\n')
    assert main(["edge", "--config", str(file), "--env", "Other-v0"]) == 2
    assert "the robots are in" in capsys.readouterr().err
    assert main(["edge", "--config", str(file), "--policy", "none"]) == 2
    assert "unknown policy 'none'" in capsys.readouterr().err


def test_the_page_lists_all_options_with_their_defaults():
    page = (Path(__file__).parents[3] / "docs" / "link.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (-|`[^|]*`) \| ", page, re.M)
    fields = [field for kind in (EdgePlan, RobotPlan) for field in dataclasses.fields(kind) if field.name != "robots"]
    assert {name for name, _ in listed} >= {field.name for field in fields}
    text = re.search(r"```toml\n(hub = .*?)```", page, re.S)
    assert text
    import tomllib

    assert len(from_words(tomllib.loads(text[1])).robots) == 2


def test_the_hub_knows_what_each_edge_has(tmp_path, capsys):
    with Fleet(tmp_path) as fleet:
        fleet.begin_edge("arm-1", {"left": EdgeRobot(**ARM)}, inventory=Inventory(CELL), facts=lambda: {
            "robots": {"left": {"state": "quarantined for 2.0 s: contact", "version": 7}}
        })  # fmt: skip
        fleet.begin_edge("arm-2", ("arm",))
        wait(lambda: fleet.hub.edges()[0].facts.get("robots"))
        seen = fleet.hub.edges()[0].machine
        assert seen.robots == {"left": EdgeRobot(**ARM)}
        assert [(d.id, d.robot, d.healthy, d.address) for d in seen.inventory.devices] == [
            ("left", None, True, ""), ("wrist", "left", False, ""),
        ]  # fmt: skip
        way = ["--hub", fleet.relay.address]
        assert main(["hub", "edges", *way]) == 0
        said = capsys.readouterr().out
        assert re.search(r"left +franka-fr3 +quarantined for 2\.0 s: contact +7 +PegInsert User/PegInsert-real-v0", said)
        assert main(["hub", "edges", "--json", *way]) == 0
        assert json.loads(capsys.readouterr().out)[0]["machine"]["robots"]["left"]["model"] == "franka-fr3"


def test_the_devices_of_a_fleet_are_listed(tmp_path, capsys):
    from user_gym.system.link.identity.hub_folder import HubFolder
    from user_gym.system.link.identity.roster import OPERATOR

    folder = HubFolder(tmp_path / "hub")
    bundle = folder.enroll("arm-1", "127.0.0.1:1")
    with Fleet(tmp_path, {"folder": folder}) as fleet:
        fleet.begin_edge("arm-1", ("left",), bundle=bundle, inventory=Inventory(CELL))
        folder.enroll("boss", fleet.relay.address, role=OPERATOR).save(tmp_path / "boss.bundle")
        assert main(["devices", "--hub", str(tmp_path / "boss.bundle")]) == 0
        said = capsys.readouterr().out
        assert re.search(r"arm-1/left +robot +franka-fr3 +\S+ +listed", said)
        assert re.search(r"arm-1/wrist +camera +realsense +\S+ +bad +unplugged", said)
        assert main(["devices", "--json", "--hub", str(tmp_path / "boss.bundle")]) == 0
        assert json.loads(capsys.readouterr().out)["arm-1"][1]["id"] == "wrist"


@pytest.mark.parametrize(
    "said",
    [
        {"robots": {"left": 3}},
        {"robots": {"left": {**ARM, "form": 3}}},
        {"robots": {"left": {**ARM, "form": "x" * 5000}}},
        {"devices": [{"id": "a"}]},
        {"devices": [3]},
        {"devices": [{"id": "a", "kind": "robot", "model": "m", "reason": "", "robot": 3, "healthy": True}]},
        {"devices": [{}] * 300},
    ],
)
def test_a_machine_that_is_none_is_refused(said):
    with pytest.raises(BadBlock):
        Machine.read(Message(Kind.HELLO, said), 64)
