"""Probes tell what is wrong, whatever the other end does, disturb nobody, and hold nobody up."""

from __future__ import annotations

import itertools
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from user_gym.core import Device, Inventory
from user_gym.errors import LinkLost
from user_gym.robots import discovery, lease
from user_gym.robots.probes import gpu, human, video
from user_gym.robots.side import Message
from user_gym.robots.side import receive as receive_side
from user_gym.robots.side import send as send_side
from user_gym.robots.wire.fci import ROBOT_PORT

_numbers = itertools.count(1)
Heard = queue.Queue[bytes]
Served = tuple[str, Heard]  # address, and what was received there


def fresh_address() -> str:
    """A loopback address that no other test of any process uses."""
    number = (os.getpid() * 50 + next(_numbers)) % (250 * 250 * 200)
    return f"127.{40 + number // 62500}.{number // 250 % 250 + 1}.{number % 250 + 1}"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no device at all."""
    monkeypatch.setenv("USER_GYM_LEASES", str(tmp_path / "leases"))
    for module, names in ((video, ("_VIDEO", "_USB")), (human, ("_RAW", "_INPUT"))):
        for name in names:
            (tmp_path / "sys" / name).mkdir(parents=True)
            monkeypatch.setattr(module, name, tmp_path / "sys" / name)
    monkeypatch.setattr(gpu, "_LIBRARY", "libno-such-driver.so")
    return tmp_path / "sys"


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Serve TCP with a function of the connection; returns the address and what was received."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: Callable[[socket.socket, Heard], None], port: int = ROBOT_PORT) -> Served:
        address, heard = fresh_address(), Heard()
        listener = socket.create_server((address, port))
        listeners.append(listener)

        def run() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    link.settimeout(10)
                    answer(link, heard)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return address, heard

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)


def refuse(version: int) -> Callable[[socket.socket, Heard], None]:
    """What a control box does with a version that is not its own."""

    def answer(link: socket.socket, heard: Heard) -> None:
        heard.put(link.recv(64))
        link.sendall(struct.pack("<IIIBH", 0, 0, 15, 1, version))
        heard.put(link.recv(64))  # what comes after the refusal

    return answer


def fr3(address: str, id: str = "left", twin: str | None = None) -> Device:
    return Device(id, "robot", "franka-fr3", address, twin)


def test_the_refusal_of_version_zero_names_the_version(serve: Callable[..., Served]) -> None:
    address, heard = serve(refuse(10))
    seen = discovery.probe(fr3(address))
    assert seen == (Device("left", "robot", "franka-fr3", address, reason="robot protocol 10"), None)
    assert heard.get(timeout=10) == struct.pack("<IIIHH", 0, 0, 16, 0, 0)  # one Connect of version 0 ...
    assert heard.get(timeout=10) == b""  # ... and no more


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        ("franka-fr3", 5, "bad model 'franka-fr3'; allowed: one that speaks robot protocol 5: a FER"),
        ("franka-fer", 10, "one that speaks robot protocol 10: an FR3 or newer; correct the inventory"),
        ("franka-fr3", 9, "bad robot protocol of franka-fr3 9; allowed: 10; update the robot's system image"),
    ],
)
def test_a_robot_that_is_another_one_is_bad(serve: Callable[..., Served], model: str, version: int, words: str) -> None:
    address, _ = serve(refuse(version))
    device = discovery.examine(Device("left", "robot", model, address))
    assert not device.healthy
    assert words in device.reason


def garbage(link: socket.socket, heard: Heard) -> None:
    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up(link: socket.socket, heard: Heard) -> None:
    link.recv(64)


def silence(link: socket.socket, heard: Heard) -> None:
    link.recv(64)
    link.recv(64)  # until the other end has had enough


@pytest.mark.parametrize(
    ("answer", "words"),
    [(garbage, "does not speak Franka's protocol"), (hang_up, "does not speak Franka's protocol"), (silence, "within 0.2 s")],
)
def test_what_is_no_robot_is_bad(
    serve: Callable[..., Served], answer: Callable[[socket.socket, Heard], None], words: str
) -> None:
    address, _ = serve(answer)
    device = discovery.examine(fr3(address), timeout=0.2)
    assert not device.healthy
    assert words in device.reason


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (fr3(fresh_address()), "the robot's FCI is off, or no robot is there; activate FCI in Desk"),
        (fr3(fresh_address(), twin=f"{fresh_address()}:1339"), "no twin answers at side address"),
        (Device("x", "robot", "arx-x5", "seqpacket:/no/such/bus"), "cannot join CAN bus 'seqpacket:/no/such/bus'"),
        (Device("x", "robot", "arx-x5", f"socketcand:{fresh_address()}:29"), "no socketcand server answers"),
        (Device("x", "camera", "opencv", "7"), "no camera at /dev/video7; there are: none; plug it in"),
        (Device("x", "camera", "realsense", "123"), "no RealSense is plugged in; '123' is expected"),
        (Device("x", "teleop", "spacemouse", ""), "no spacemouse is plugged in; there are: none"),
        (Device("x", "teleop", "gamepad", "/dev/input/js9"), "no gamepad at /dev/input/js9"),
    ],
)
def test_what_is_not_there_is_bad_and_says_the_cure(device: Device, words: str) -> None:
    found = discovery.examine(device, timeout=0.5)
    assert not found.healthy
    assert words in found.reason


def test_a_host_that_nobody_knows_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    seen = discovery.probe(fr3("arm.lab"))
    assert not seen.device.healthy
    assert "no answer from arm.lab:1337: [Errno -2] Name or service not known" in seen.device.reason


def test_a_missing_can_interface_is_one_clear_reason() -> None:
    found = discovery.examine(Device("x", "robot", "arx-x5", "socketcan:can9"))
    assert not found.healthy
    assert "can9" in found.reason or "SocketCAN" in found.reason


def test_a_leased_robot_is_not_asked(serve: Callable[..., Served]) -> None:
    address, heard = serve(refuse(10))
    with lease.take(fr3(address, "other")):
        seen = discovery.probe(fr3(address))
    assert heard.empty()
    assert seen.device == fr3(address)
    assert seen.lease is not None
    assert seen.lease.pid == os.getpid()


def test_no_job_starts_while_a_probe_asks(serve: Callable[..., Served]) -> None:
    taken: list[object] = []

    def answer(link: socket.socket, heard: Heard) -> None:
        taken.append(lease.attempt(fr3(address)))
        refuse(10)(link, heard)

    address, _ = serve(answer)
    assert discovery.probe(fr3(address)).device.healthy
    assert taken == [None]
    assert lease.holder(fr3(address)) is None


def test_an_entry_that_is_bad_already_is_not_asked() -> None:
    device = Device("x", "robot", "?", "?", healthy=False, reason="unknown robot")
    assert discovery.probe(device) == (device, None)


def hello(robot: str) -> Callable[[socket.socket, Heard], None]:
    def answer(link: socket.socket, heard: Heard) -> None:
        heard.put(receive_side(link).header["op"].encode())
        send_side(link, Message({"robot": robot, "task": "PegInsert", "mode": "gated"}))

    return answer


def test_a_twin_shows_up_as_what_it_is(serve: Callable[..., Served]) -> None:
    side, heard = serve(hello("franka-fr3"), port=1339)
    address, _ = serve(refuse(10))
    found = discovery.examine(fr3(address, twin=f"{side}:1339"))
    assert (found.healthy, found.reason) == (True, "twin, PegInsert, gated; robot protocol 10")
    assert heard.get(timeout=10) == b"hello"


def test_a_twin_of_another_robot_is_bad(serve: Callable[..., Served]) -> None:
    side, _ = serve(hello("arx-x5"), port=1339)
    found = discovery.examine(fr3("127.0.0.1", twin=f"{side}:1339"))
    assert not found.healthy
    assert "'arx-x5'; correct the inventory" in found.reason


def test_a_virtual_bus_is_not_asked_from_outside_its_process() -> None:
    found = discovery.examine(Device("x", "robot", "arx-x5", "virtual:x"))
    assert found.healthy
    assert "not asked" in found.reason


def test_one_hanging_probe_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, asked = threading.Event(), list[str]()

    def examine(device: Device, timeout: float) -> Device:
        asked.append(device.id)
        if device.id == "hangs":
            ended.wait(30)
        return device

    monkeypatch.setattr(discovery, "examine", examine)
    monkeypatch.setattr(discovery, "_SPARE", 0.1)
    known = Inventory(tuple(fr3(fresh_address(), id) for id in ("hangs", "a", "b")))
    began = time.monotonic()
    hanging: dict[str, threading.Thread] = {}
    try:
        for _ in range(2):
            seen = discovery._look(known, 0.05, hanging)
            assert [(s.device.id, s.device.healthy) for s in seen] == [("hangs", False), ("a", True), ("b", True)]
            assert "has not come back" in seen[0].device.reason
        assert time.monotonic() - began < 10
        assert sorted(asked) == ["a", "a", "b", "b", "hangs"]  # no second probe behind one that hangs
    finally:
        ended.set()
        for thread in hanging.values():
            thread.join(10)
    assert all(s.device.healthy for s in discovery._look(known, 1.0, hanging))


def test_what_changes_is_told_once(serve: Callable[..., Served]) -> None:
    address, _ = serve(refuse(10))
    changes = discovery.watch(Inventory((fr3(address), fr3(fresh_address(), "off"))), period=0.0)
    first, second = next(changes), next(changes)
    assert (first.before, second.before) == (None, None)
    assert first.now is not None
    assert second.now is not None
    assert (first.now.device.healthy, second.now.device.healthy) == (True, False)
    with lease.take(fr3(address)):
        third = next(changes)
    assert third.before == first.now
    assert third.now is not None
    assert third.now.lease is not None
    fourth = next(changes)
    assert fourth.before == third.now
    assert fourth.now == first.now


def test_devices_come_and_go(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER_GYM_INVENTORY", str(tmp_path / "i.toml"))
    (tmp_path / "i.toml").write_text("")
    changes = discovery.watch(period=0.0)
    plug_in_camera(machine, 0, "Webcam")
    came = next(changes)
    assert came.before is None
    assert came.now is not None
    assert (came.now.device.id, came.now.device.address) == ("video0", "/dev/video0")
    for path in sorted((machine / "_VIDEO" / "video0").iterdir()):
        path.unlink()
    (machine / "_VIDEO" / "video0").rmdir()
    gone = next(changes)
    assert (gone.before, gone.now) == (came.now, None)


def plug_in_camera(machine: Path, number: int, name: str, index: int = 0) -> None:
    folder = machine / "_VIDEO" / f"video{number}"
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "index").write_text(f"{index}\n")


def plug_in_hid(machine: Path, number: int, id: str, name: str) -> None:
    folder = machine / "_RAW" / f"hidraw{number}" / "device"
    folder.mkdir(parents=True)
    (folder / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID={id}\nHID_NAME={name}\n")


def test_a_human_device_that_may_be_read_is_healthy(machine: Path, tmp_path: Path) -> None:
    plug_in_hid(machine, 999, "0003:0000256F:0000C635", "SpaceMouse")
    (tmp_path / "mouse").write_text("")
    assert human.ask("spacemouse", str(tmp_path / "mouse")) == str(tmp_path / "mouse")
    with pytest.raises(LinkLost, match="/dev/hidraw999 may not be read by you"):
        human.ask("spacemouse", "")


def test_what_is_plugged_in_is_found_once(machine: Path) -> None:
    plug_in_camera(machine, 2, "Webcam")
    plug_in_camera(machine, 3, "Webcam", index=1)  # its metadata
    plug_in_camera(machine, 10, "Other")
    plug_in_camera(machine, 4, "Intel(R) RealSense(TM) Depth Camera 435")
    (machine / "_USB" / "2-1").mkdir()
    (machine / "_USB" / "2-1" / "product").write_text("Intel(R) RealSense(TM) Depth Camera 435\n")
    (machine / "_USB" / "2-1" / "serial").write_text("0123\n")
    plug_in_hid(machine, 997, "0003:0000046D:0000C077", "Logitech Mouse")
    plug_in_hid(machine, 998, "0003:0000046D:0000C62B", "3Dconnexion Space Mouse Pro")
    plug_in_hid(machine, 999, "0003:0000256F:0000C635", "3Dconnexion SpaceMouse Compact")
    for number, name, keys in (
        (998, "Keyboard", "10000 0 0 fffffffffffffffe"),
        (999, "Gamepad F310", "7cdb000000000000 0 0 0 0"),
    ):
        (machine / "_INPUT" / f"event{number}" / "device" / "capabilities").mkdir(parents=True)
        (machine / "_INPUT" / f"event{number}" / "device" / "name").write_text(f"{name}\n")
        (machine / "_INPUT" / f"event{number}" / "device" / "capabilities" / "key").write_text(f"{keys}\n")
    assert [(d.id, d.model, d.address) for d in video.find()] == [
        ("video2", "opencv", "/dev/video2"),
        ("video10", "opencv", "/dev/video10"),
        ("usb-2-1", "realsense", "0123"),
    ]
    _, mouse, pad = human.find()
    assert (mouse.model, mouse.address, mouse.healthy) == ("spacemouse", "/dev/hidraw999", False)
    assert "may not be read by you; add a udev rule" in mouse.reason
    assert (pad.model, pad.address) == ("gamepad", "/dev/input/event999")
    listed = Device("eye", "camera", "opencv", "2"), Device("depth", "camera", "realsense", "9")
    seen = discovery.look(Inventory(listed))
    assert [s.device.id for s in seen] == ["eye", "depth", "video10", "hidraw998", "hidraw999", "event999"]
    assert video.ask("realsense", "9").startswith("Intel(R) RealSense(TM)")
    assert video.ask("zed", "1") == "not asked: there is no probe for zed"
    assert video.ask("opencv", "rtsp://10.0.0.9/stream") == "not asked: a stream"


def test_without_a_driver_there_are_no_gpus() -> None:
    assert gpu.find() == ()


def test_a_library_that_fails_gives_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda _: SimpleNamespace(nvmlInit_v2=lambda: 9))
    assert gpu.find() == ()


class Nvml:
    """As NVIDIA's library: two GPUs, of which the second has fallen off the bus."""

    def __init__(self) -> None:
        self.ended = False
        self.nvmlInit_v2 = lambda: 0
        self.nvmlDeviceGetCount_v2 = lambda count: setattr(count._obj, "value", 2) or 0
        self.nvmlDeviceGetHandleByIndex_v2 = lambda index, handle: setattr(handle._obj, "value", index.value + 1) or 0
        self.nvmlDeviceGetName = lambda handle, text, size: setattr(text, "value", b"NVIDIA H200") or 0
        self.nvmlDeviceGetUUID = lambda handle, text, size: setattr(text, "value", b"GPU-7") or (handle.value == 2) * 15
        self.nvmlShutdown = lambda: setattr(self, "ended", True)


def test_each_gpu_is_found_and_a_lost_one_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setattr(gpu.ctypes, "CDLL", lambda _: nvml)
    good, lost = (s.device for s in discovery.look(Inventory(())))
    assert good == Device("gpu0", "gpu", "NVIDIA H200", "GPU-7")
    assert (lost.id, lost.healthy, lost.reason) == ("gpu1", False, "NVML answers with error 15; nvidia-smi says more")
    assert nvml.ended
