"""The first time a policy drives an arm."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from user_gym.errors import BadOption, NotApproved
from user_gym.robots import approval


@pytest.fixture(autouse=True)
def _own_config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(approval.VARIABLE, raising=False)


def test_nobody_is_approved_at_first_and_the_error_says_how() -> None:
    with pytest.raises(NotApproved, match="user-gym approve"):
        approval.require("robot 10.0.0.1", "abc")


def test_an_approval_is_for_one_policy_on_one_arm_and_is_remembered() -> None:
    approval.approve("robot 10.0.0.1", "abc")
    approval.approve("robot 10.0.0.1", "abc")
    approval.require("robot 10.0.0.1", "abc")
    for device, policy in (("robot 10.0.0.1", "abd"), ("robot 10.0.0.2", "abc")):
        with pytest.raises(NotApproved):
            approval.require(device, policy)
    assert approval.path().read_text().count("abc") == 1


def test_a_rig_without_people_may_say_so(monkeypatch) -> None:
    monkeypatch.setenv(approval.VARIABLE, "1")
    approval.require("robot 10.0.0.1", "abc")
    monkeypatch.setenv(approval.VARIABLE, "0")
    with pytest.raises(NotApproved):
        approval.require("robot 10.0.0.1", "abc")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "b"}'])
def test_a_broken_file_is_an_error_and_approves_nothing(text) -> None:
    approval.path().parent.mkdir(parents=True)
    approval.path().write_text(text)
    with pytest.raises(BadOption, match="mend or remove"):
        approval.approved("robot 10.0.0.1")


def test_arms_that_are_approved_at_once_are_all_remembered():
    arms = [f"robot 127.0.0.{n}" for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(approval.approve, arms))
    assert all(approval.approved(arm) for arm in arms)
