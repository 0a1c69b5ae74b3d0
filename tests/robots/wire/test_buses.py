"""Joining a bus by its name: what the names mean, and what is said where one cannot be joined."""

import os
import socket
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

from user_gym.errors import BadOption, LinkLost, MissingExtra, MissingSystem
from user_gym.robots.wire import buses, can_frame
from user_gym.robots.wire.buses import BusName
from user_gym.robots.wire.can_frame import Frame

can = pytest.importorskip("can", reason="python-can is not installed")


@pytest.fixture
def place():
    """A path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="bus") as folder:
        yield str(Path(folder) / "b")


@pytest.fixture
def served(place):
    """A listening socket of packets, and the name of its bus."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(place)
        listener.listen()
        listener.settimeout(5.0)
        yield listener, f"seqpacket:{place}"


@pytest.fixture
def members(served):
    """A bus, and the raw socket of whoever serves it."""
    listener, name = served
    bus = buses.connect(name)
    link, _ = listener.accept()
    link.settimeout(5.0)
    yield bus, link
    bus.shutdown()
    link.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("virtual:left arm", BusName("virtual", "left arm")),
        ("seqpacket:/tmp/a:b", BusName("seqpacket", "/tmp/a:b")),
        ("socketcan:can0", BusName("socketcan", "can0")),
        ("socketcand:127.0.0.1:29536", BusName("socketcand", "127.0.0.1", 29536, "can0")),
        ("socketcand:host:1/vcan3", BusName("socketcand", "host", 1, "vcan3")),
    ],
)
def test_a_bus_is_named_by_its_kind_and_its_place(address, name) -> None:
    assert buses.parse(address) == name
    assert buses.parse(str(name)) == name


NO_BUSES = ["", "can0", "virtual", "virtual:", "pcan:0", *(f"socketcand:{x}" for x in ("host", "host:x", "h:1/", "h:99999"))]


@pytest.mark.parametrize("address", NO_BUSES)
def test_what_names_no_bus_is_refused_with_what_does(address) -> None:
    with pytest.raises(BadOption, match="socketcand:HOST:PORT"):
        buses.parse(address)


def test_a_message_leaves_as_one_raw_frame(members) -> None:
    bus, link = members
    bus.send(can.Message(arbitration_id=0x5, data=bytes(range(8)), is_extended_id=False))
    assert link.recv(64) == can_frame.pack(Frame(0x5, bytes(range(8))))


FRAMES = [Frame(0, bytes(8)), Frame(0x12345678, b"ab", can_frame.EXTENDED), Frame(0x40, bytes(8), can_frame.ERROR)]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_raw_frame_arrives_as_a_message_and_goes_back_the_same(members, frame) -> None:
    bus, link = members
    link.send(can_frame.pack(frame))
    message = bus.recv(5.0)
    assert (message.arbitration_id, bytes(message.data)) == (frame.id, frame.data)
    assert message.is_error_frame is bool(frame.flags & can_frame.ERROR)
    bus.send(message)
    assert link.recv(64) == can_frame.pack(frame)


def test_waiting_ends_in_time_and_nothing_came(members) -> None:
    bus, _ = members
    assert bus.recv(0) is None
    assert bus.recv(0.01) is None


def test_the_bus_can_be_selected_and_filtered(members) -> None:
    bus, link = members
    assert bus.fileno() > 0
    bus.set_filters([{"can_id": 7, "can_mask": 0x7FF}])
    for number in (1, 7):
        link.send(can_frame.pack(Frame(number, b"")))
    assert bus.recv(5.0).arbitration_id == 7


@pytest.mark.parametrize("packet", [b"x", bytes(17), b"\x05\x00\x00\x00\x09" + bytes(11)])
def test_a_packet_that_is_no_frame_is_an_error_of_the_bus(members, packet) -> None:
    bus, link = members
    link.send(packet)
    with pytest.raises(can.CanOperationError, match="CAN packet"):
        bus.recv(5.0)


def test_a_bus_whose_other_end_left_says_so(members) -> None:
    bus, link = members
    link.close()
    with pytest.raises(can.CanOperationError, match="closed by its other end"):
        bus.recv(5.0)
    with pytest.raises(can.CanOperationError, match="takes no frame"):
        bus.send(can.Message(arbitration_id=1, is_extended_id=False))
    bus.shutdown()
    bus.shutdown()


def test_a_bus_that_nobody_reads_fills_up_and_says_so(members) -> None:
    bus, _ = members

    def send_for_ever():
        while True:
            bus.send(can.Message(arbitration_id=1, data=bytes(8), is_extended_id=False), timeout=0)

    with pytest.raises(can.CanOperationError, match="takes no frame"):
        send_for_ever()


def test_virtual_buses_of_one_name_are_one_bus() -> None:
    name = f"virtual:buses {os.getpid()}"
    with buses.connect(name) as one, buses.connect(name) as other:
        one.send(can.Message(arbitration_id=3, is_extended_id=False))
        assert other.recv(5.0).arbitration_id == 3


def test_a_path_that_nobody_serves_is_named_with_its_cure(place) -> None:
    with pytest.raises(
        LinkLost, match=f"cannot join CAN bus 'seqpacket:{place}'.*user-gym twin arx-x5 --bus seqpacket:{place}"
    ):
        buses.connect(f"seqpacket:{place}")


def test_a_server_that_is_not_there_is_named_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = taken.getsockname()[1]
        with pytest.raises(LinkLost, match=f"no socketcand server answers at 127.0.0.1:{port}"):
            buses.connect(f"socketcand:127.0.0.1:{port}")


def _kernel_has_socketcan() -> bool:
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(_kernel_has_socketcan(), reason="this kernel has SocketCAN")
def test_a_kernel_without_socketcan_is_named_with_its_cure() -> None:
    with pytest.raises(MissingSystem, match=r"no SocketCAN.*modprobe can_raw.*seqpacket"):
        buses.connect("socketcan:can0")


class _AnySocket:
    def __init__(self, *_):
        pass

    def close(self):
        pass


def test_interfaces_that_are_missing_or_down_are_named_with_their_cure(monkeypatch, tmp_path) -> None:
    """A kernel that has SocketCAN, made of files."""
    monkeypatch.setattr(buses.socket, "socket", _AnySocket)
    monkeypatch.setattr(buses, "_INTERFACES", tmp_path)
    for name, kind, flags in (("can0", "280", "0x40081"), ("can1", "280", "0x40080"), ("eth0", "1", "0x1003")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(kind + "\n")
        (tmp_path / name / "flags").write_text(flags + "\n")
    buses.check_interface("can0")
    with pytest.raises(LinkLost, match=r"no CAN interface 'can7'; there are: can0, can1;"):
        buses.check_interface("can7")
    with pytest.raises(LinkLost, match="no CAN interface 'eth0'"):
        buses.check_interface("eth0")
    with pytest.raises(LinkLost, match=r"'can1' is down; .*ip link set can1 up type can bitrate 1000000"):
        buses.check_interface("can1")


def test_without_python_can_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "can", None)
    with pytest.raises(MissingExtra, match=r"pip install 'user-gym\[arx\]'"):
        buses.connect("virtual:x")


def test_naming_buses_imports_no_python_can() -> None:
    code = "import sys; from user_gym.robots.wire import buses; buses.parse('virtual:x'); sys.exit('can' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_foreign_programs_join_through_python_can(served) -> None:
    if not metadata.entry_points(group="can.interface", name="seqpacket"):
        pytest.skip("this installation of user_gym is older than its entry point; install it again")
    _, name = served
    with can.Bus(interface="seqpacket", channel=name.partition(":")[2], ignore_config=True) as bus:
        assert type(bus).__module__ == "user_gym.robots.wire.seqpacket"
