"""`user-gym doctor` says what is missing for what the inventory has, and how to get it."""

from __future__ import annotations

import importlib.util
import re
import resource
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from user_gym.cli import checkup
from user_gym.cli.checkup import Verdict
from user_gym.cli.main import main
from user_gym.core import Device, Inventory
from user_gym.errors import MissingSystem
from user_gym.robots import discovery
from user_gym.robots.probes import gpu

REAL = Device("left", "robot", "franka-fr3", "172.16.0.2", healthy=False, reason="off")


def findings(*devices: Device) -> dict[str, checkup.Finding]:
    return {f.subject: f for f in checkup.examine(Inventory(devices))}


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Installed distributions by module, as the doctor sees them: version, or None where the module is another project's."""
    table: dict[str, str | None] = {}
    by_distribution = {p.distribution: p.module for p in checkup.PACKAGES}
    real_spec, real_version = importlib.util.find_spec, metadata.version

    def find_spec(module: str) -> Any:
        return (module in table or None) if module in by_distribution.values() else real_spec(module)

    def version(distribution: str) -> str:
        if distribution not in by_distribution:
            return real_version(distribution)
        found = table.get(by_distribution[distribution])
        if found is None:
            raise metadata.PackageNotFoundError(distribution)
        return found

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(metadata, "version", version)
    return table


def test_a_package_that_the_inventory_needs_is_missing(packages: dict[str, str | None]) -> None:
    found = findings(REAL)
    assert found["franky-control"].verdict is Verdict.MISSING
    assert found["franky-control"].cure == "pip install 'user-gym[franka]'"
    assert found["panda-python"].verdict is Verdict.ABSENT
    packages["franky"] = "2.0.0"
    assert findings(REAL)["franky-control"].verdict is Verdict.THERE


def test_a_package_of_the_wrong_version_is_missing(packages: dict[str, str | None]) -> None:
    packages["franky"] = "1.1.4"
    found = findings(REAL)["franky-control"]
    assert (found.verdict, found.words) == (Verdict.MISSING, "1.1.4; needed: 2 or newer, before 3")


def test_a_package_of_another_project_is_told_apart(packages: dict[str, str | None]) -> None:
    packages["franky"] = None
    assert "another project" in findings(REAL)["franky-control"].words
    packages["cv2"] = None  # opencv-python, opencv-contrib-python ...
    assert findings()["opencv-python-headless"].verdict is Verdict.THERE


def test_only_hardware_needs_a_real_time_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkup, "_REALTIME", tmp_path / "realtime")
    monkeypatch.setattr(checkup.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    hardware, twin = (
        Device("a", "robot", "franka-fr3", "127.0.0.1"),
        Device("b", "robot", "franka-fr3", "127.0.0.2", "127.0.0.2:1339"),
    )
    for device, verdict in ((hardware, Verdict.MISSING), (twin, Verdict.ABSENT)):
        seen = {f.subject: f for f in checkup._real_time(Inventory((device,)))}
        assert seen["real-time kernel"].verdict is verdict
        assert "PREEMPT_RT" in seen["real-time kernel"].cure
        assert seen["real-time priority"].verdict is verdict
    (tmp_path / "realtime").write_text("1\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (99, 99))
    assert {f.verdict for f in checkup._real_time(Inventory((hardware,)))} == {Verdict.THERE}


@pytest.mark.parametrize("interface", [None, "can0"])
def test_can_interfaces_are_named(interface: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, kind in (("eth0", "1"), *(((interface, "280"),) if interface else ())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    monkeypatch.setattr(checkup, "_NETWORKS", tmp_path)

    class Socket:
        def __init__(self, *_: object) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr(checkup.socket, "socket", Socket)
    (found,) = checkup._can(Inventory((Device("x", "robot", "arx-x5", "socketcan:can0"),)))
    assert found.verdict is (Verdict.THERE if interface else Verdict.MISSING)
    assert found.words == f"interfaces: {interface or 'none'}"


def test_a_kernel_without_can_is_missing_only_for_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(checkup.socket, "socket", refuse)
    for address, verdict in (("socketcan:can0", Verdict.MISSING), ("seqpacket:/tmp/x", Verdict.ABSENT)):
        (found,) = checkup._can(Inventory((Device("x", "robot", "arx-x5", address),)))
        assert (found.verdict, found.cure) == (verdict, "modprobe can_raw")


def test_what_is_plugged_in_and_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mouse = Device("hidraw9", "teleop", "spacemouse", "/dev/hidraw9", healthy=False, reason="may not be read by you")
    monkeypatch.setattr(discovery, "look", lambda known: (discovery.Sighting(mouse, None),))
    found = findings()["hidraw9"]
    assert (found.verdict, found.words) == (Verdict.ABSENT, "may not be read by you")


def test_gpus_are_listed_and_that_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings()["GPU"].verdict is Verdict.ABSENT
    monkeypatch.setattr(gpu, "find", lambda: (Device("gpu0", "gpu", "NVIDIA H200", "GPU-7"),))
    found = findings()
    assert (found["gpu0"].verdict, found["gpu0"].words) == (Verdict.THERE, "NVIDIA H200")
    assert "GPU" not in found


def test_a_machine_that_cannot_draw_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(width: int, height: int) -> None:
        raise MissingSystem("cannot draw with egl; install libegl1")

    monkeypatch.setattr("user_gym.sim.painter.open_context", refuse)
    found = findings()["drawing pictures"]
    assert (found.verdict, found.words) == (Verdict.ABSENT, "cannot draw with egl; install libegl1")


def test_the_exit_code_says_whether_the_inventory_can_be_used(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "inventory.toml").write_text('[[teleop]]\nid = "keys"\nmodel = "keyboard"\n')
    assert main(["doctor"]) == 0
    assert f"all that the inventory {home}/inventory.toml needs is there" in capsys.readouterr().out
    with (home / "inventory.toml").open("a") as file:
        file.write('[[robot]]\nid = "left"\nmodel = "franka-fr4"\naddress = "127.0.0.1"\n')
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"robot +left +BAD +\[\[robot\]\] 1 of .*unknown robot 'franka-fr4'", said.replace("\n", " "))
    assert said.splitlines()[-1].endswith("cannot be used as it is: left")
