"""Robots are named by an id of the inventory, by an address, or by options."""

import pytest

from user_gym.errors import BadOption, UnknownName
from user_gym.vector.places import places

INVENTORY = """
[[robot]]
id = "left"
model = "franka-fr3"
address = "127.0.0.77"
twin = "127.0.0.77:1339"

[[robot]]
id = "right"
model = "franka-fr3"
address = "127.0.0.78"
options = { note = 1 }
"""


@pytest.fixture(autouse=True)
def inventory(monkeypatch, tmp_path):
    file = tmp_path / "inventory.toml"
    file.write_text(INVENTORY)
    monkeypatch.setenv("USER_GYM_INVENTORY", str(file))


def test_an_id_an_address_and_options() -> None:
    assert places(["right", "left", "172.16.0.2", "seqpacket:/tmp/bus", {"address": "a", "twin": "b"}], 5) == [
        {"robot": "right"},
        {"robot": "left"},
        {"address": "172.16.0.2"},
        {"address": "seqpacket:/tmp/bus"},
        {"address": "a", "twin": "b"},
    ]


def test_without_ids_no_inventory_is_read(monkeypatch) -> None:
    monkeypatch.setenv("USER_GYM_INVENTORY", "/nowhere")
    assert places([{"address": "a"}, "arx-x5", "arx-x5"], 3) == [{"address": "a"}, {"robot": "arx-x5"}, {"robot": "arx-x5"}]


@pytest.mark.parametrize(
    ("robots", "error", "message"),
    [
        (["left"], BadOption, "a list of 2"),
        ("left", BadOption, "a list of 2"),
        (["left", "left"], BadOption, "each robot once"),
        (["172.16.0.2", {"address": "172.16.0.2", "twin": None}], BadOption, "each robot once"),
        (["left", "rihgt"], UnknownName, "did you mean 'right'"),
    ],
    ids=str,
)
def test_what_names_no_robot_is_refused(robots, error, message) -> None:
    with pytest.raises(error, match=message):
        places(robots, 2)
