"""What the inventory file may say, and what each mistake in it is called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from user_gym.core import Device
from user_gym.errors import BadOption, UnknownName
from user_gym.robots import inventory, plugins

GOOD = """
[[robot]]
id = "left"
model = "franka-fr3"
address = "172.16.0.2"

[[robot]]
id = "right"
model = "arx-x5"
address = "seqpacket:/run/right"
twin = "unix:/run/right.side"
tasks = ["PegInsert"]
options = { tip = "fingers" }

[[camera]]
id = "eye"
model = "opencv"
address = 0
robot = "left"
name = "wrist"

[[teleop]]
id = "keys"
model = "keyboard"
"""


def read(tmp_path: Path, text: str) -> tuple[Device, ...]:
    file = tmp_path / "inventory.toml"
    file.write_text(text)
    return inventory.read(file).devices


def test_everything_that_may_be_said_is_read(tmp_path: Path) -> None:
    left, right, eye, keys = read(tmp_path, GOOD)
    assert left == Device("left", "robot", "franka-fr3", "172.16.0.2")
    assert (right.twin, right.tasks, right.options) == ("unix:/run/right.side", ("PegInsert",), {"tip": "fingers"})
    assert (eye.kind, eye.address, eye.robot, eye.name) == ("camera", "0", "left", "wrist")
    assert (keys.kind, keys.model, keys.address) == ("teleop", "keyboard", "")
    assert right.does("PegInsert")
    assert not right.does("Other")
    assert left.does("Other")


def test_the_only_realsense_needs_no_address(tmp_path: Path) -> None:
    (depth,) = read(tmp_path, '[[camera]]\nid = "depth"\nmodel = "realsense"\n')
    assert (depth.healthy, depth.address) == (True, "")


def test_cameras_of_other_packages_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is where `real.camera` looks for them."""
    from user_gym.real import camera

    assert inventory.CAMERA_GROUP == camera.CAMERA_GROUP
    assert set(inventory.CAMERAS) == set(camera.CAMERAS)
    monkeypatch.setattr(plugins, "names", lambda group: ("zed",) if group == inventory.CAMERA_GROUP else ())
    (other,) = read(tmp_path, '[[camera]]\nid = "x"\nmodel = "zed"\naddress = "1"\n')
    assert (other.healthy, other.model) == (True, "zed")


def test_the_page_about_the_file_shows_one_that_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "inventory.md").read_text()
    devices = read(tmp_path, page.partition("```toml\n")[2].partition("```")[0])
    assert [(d.id, d.reason) for d in devices if not d.healthy] == []
    assert {d.kind for d in devices} == set(inventory.KEYS)
    for kind, keys in inventory.KEYS.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `[[{kind}]]`"))
        assert set(re.findall(r"`(\w+)`", row)) == set(keys)


def test_devices_are_found_by_kind_id_and_robot(tmp_path: Path) -> None:
    (tmp_path / "i.toml").write_text(GOOD)
    known = inventory.read(tmp_path / "i.toml")
    assert [d.id for d in known.of_kind("robot")] == ["left", "right"]
    assert [d.id for d in known.attached("left")] == ["eye"]
    assert known.find("keys").model == "keyboard"
    with pytest.raises(UnknownName, match=r"unknown device 'lefd'; known: eye, keys, left, right; did you mean 'left'\?"):
        known.find("lefd")


ARX, FR3 = '[[robot]]\nid = "x"\nmodel = "arx-x5"\n', '[[robot]]\nid = "x"\nmodel = "franka-fr3"\n'
EYE = '[[camera]]\nid = "x"\nmodel = "opencv"\n'


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (ARX + 'adress = "socketcan:can0"', ["bad key 'adress'", "did you mean 'address'?"]),
        ('[[robot]]\nid = "x"\nmodel = "arx-x6"\naddress = "a"', ["unknown robot 'arx-x6'", "arx-l5, arx-x5"]),
        ('[[robot]]\nid = "x"\nmodel = "arx-x5"', ["bad address None", 'add address = "..."']),
        (ARX + 'address = "can0"', ["bad CAN bus 'can0'", "socketcan:INTERFACE"]),
        (ARX + "address = 7", ["bad address 7", "a text in quotes"]),
        (FR3 + 'address = "10.0.0.1:1337"', ["10.0.0.1:1337", "leave the port out"]),
        (
            '[[robot]]\nid = "left"\nmodel = "franka-fr3"\naddress = "10.0.0.1"',
            ["bad id 'left'", "a robot before it"],
        ),
        (
            FR3 + 'address = "172.16.0.2"',
            ["bad address '172.16.0.2'", "'left' has this one"],
        ),
        (ARX + 'address = "seqpacket:/run/../run/right"', ["'right' has this one"]),
        (FR3 + 'address = "10.0.0.1"\ntwin = "nowhere"', ["side address 'nowhere'"]),
        (FR3 + 'address = "10.0.0.1"\ntasks = "PegInsert"', ['such as ["PegInsert"]']),
        (
            FR3 + 'address = "10.0.0.1"\ntasks = ["Peg"]',
            ["unknown task 'Peg'", "PegInsert"],
        ),
        (FR3 + 'address = "10.0.0.1"\noptions = 3', ["bad options 3", "a table"]),
        ('[[robot]]\nmodel = "franka-fr3"\naddress = "10.0.0.1"', ["bad id None"]),
        ('[[camera]]\nid = "x"\nmodel = "webcam"\naddress = 1', ["unknown camera model 'webcam'; known: opencv, realsense"]),
        (EYE + "address = -1", ["bad address -1"]),
        (EYE + 'address = "/dev/video0"', ["'eye' has this one"]),
        (EYE + 'address = 1\nrobot = "lef"', ["unknown robot 'lef'", "did you mean 'left'?"]),
        (EYE + 'address = 1\nrobot = "left"\nname = "ear"', ["camera of 'franka-fr3' 'ear'"]),
        ('[[camera]]\nid = "x"\nmodel = "opencv"', ["bad address None"]),
        ('[[teleop]]\nid = "x"\nmodel = "mouse"', ["unknown teleop model 'mouse'; known: gamepad, keyboard, spacemouse"]),
    ],
)
def test_a_wrong_entry_is_listed_as_bad_and_spoils_no_other(tmp_path: Path, entry: str, words: list[str]) -> None:
    devices = read(tmp_path, GOOD + entry)
    bad = [d for d in devices if not d.healthy]
    assert len(devices) == 5
    assert len(bad) == 1
    kind = entry[2 : entry.index("]")]
    assert f"[[{kind}]] {len([d for d in devices if d.kind == kind])} of {tmp_path}/inventory.toml: " in bad[0].reason
    for word in words:
        assert word in bad[0].reason
    assert len({d.id for d in devices}) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[robot]\n", r"a TOML file; .*line 1"),
        ('[[robots]]\nid = "x"', r"bad table in .*'robots'; allowed: \[\[robot\]\], \[\[camera\]\], \[\[teleop\]\]"),
        ('[robot]\nid = "x"', r"in double brackets"),
        ("gpu = 3", r"bad table in .*'gpu'.*GPUs are found by themselves"),
    ],
)
def test_a_file_that_is_none_is_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadOption, match=words):
        read(tmp_path, text)


def test_a_file_that_is_no_text_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadOption, match="a readable text file"):
        inventory.read(tmp_path / "inventory.toml")


def test_the_file_is_the_named_one_else_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER_GYM_INVENTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert inventory.path() == tmp_path / "user_gym" / "inventory.toml"
    assert inventory.read().devices == ()  # none written yet
    (tmp_path / "user_gym").mkdir()
    (tmp_path / "user_gym" / "inventory.toml").write_text(GOOD)
    assert len(inventory.read().devices) == 4
    monkeypatch.setenv("USER_GYM_INVENTORY", str(tmp_path / "missing.toml"))
    with pytest.raises(BadOption, match=r"missing\.toml.*unset \$USER_GYM_INVENTORY"):
        inventory.read()
