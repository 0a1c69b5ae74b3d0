"""`user-gym approve` makes a robot accept a policy that it refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from user_gym.cli.main import main
from user_gym.core import Device
from user_gym.errors import NotApproved
from user_gym.robots import approval
from user_gym.robots.address import physical

LEFT = physical(Device("left", "robot", "franka-fr3", "172.16.0.2"))


@pytest.fixture(autouse=True)
def inventory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(approval.VARIABLE, raising=False)
    (home / "inventory.toml").write_text('[[robot]]\nid = "left"\nmodel = "franka-fr3"\naddress = "172.16.0.2"\n')


@pytest.mark.parametrize("robot", ["left", "172.16.0.2", LEFT])
def test_a_robot_is_named_by_its_id_or_its_address(robot: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotApproved):
        approval.require(LEFT, "abc")
    assert main(["approve", robot, "abc"]) == 0
    approval.require(LEFT, "abc")
    assert "policy 'abc' may drive" in capsys.readouterr().out
    with pytest.raises(NotApproved):
        approval.require(LEFT)


def test_without_a_hash_it_is_for_programs_that_name_none() -> None:
    assert main(["approve", "left"]) == 0
    approval.require(LEFT)


def test_a_robot_that_is_in_no_inventory_is_named_by_the_refusals_words() -> None:
    assert main(["approve", "can can0", "abc"]) == 0
    approval.require("can can0", "abc")


def test_an_unknown_robot_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve", "lefd"]) == 2
    assert "unknown device 'lefd'; known: left" in capsys.readouterr().err
