"""Buses that a CAN twin serves: several members, members that misbehave, and clients that others wrote."""

import random
import socket
import struct
import threading
import time
import warnings
from importlib import metadata

import can as python_can
import pytest
from can_host import CLEAR, DISABLE, DM_IDLE, EC_IDLE, EVERYONE, PATIENCE, arm

from user_gym.errors import LinkLost
from user_gym.robots import specs
from user_gym.robots.wire import buses
from user_gym.robots.wire.buses import BusName
from user_gym.robots.wire.can_frame import EXTENDED, Frame, pack
from user_gym.sim.can.served import ServedBus

KINDS = ("seqpacket", "virtual", "socketcand")
X5 = specs.spec("arx-x5")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bus_carries_the_same_frames(kind) -> None:
    with arm(kind=kind) as host:
        assert host.ask(6, CLEAR) == (0, bytes.fromhex("067FFF7FF7FF1919"))
        host.enable()
        held = host.hold()
        reports = host.cycles(20, held)
        assert reports[2][1] == pytest.approx(X5.home[1], abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_members_hear_each_other_and_the_motors(kind) -> None:
    with arm(kind=kind) as host:
        host.ask(6, CLEAR)
        listener = buses.connect(host.twin.bus)
        listener.send(python_can.Message(arbitration_id=0x700, is_extended_id=False))
        assert host.answer() == (0x700, b"")  # so it is a member by now
        host.ask(6, CLEAR)
        heard = [listener.recv(PATIENCE) for _ in range(2)]
        assert [(m.arbitration_id, bytes(m.data)[:1]) for m in heard] == [(6, b"\xff"), (0, b"\x06")]
        listener.shutdown()
        assert host.ask(6, CLEAR)[0] == 0  # one member's leaving is nothing to the others


def test_the_last_frames_of_a_member_that_leaves_at_once_are_heard() -> None:
    with arm() as host:
        host.enable(6)
        other = buses.connect(host.twin.bus)
        other.send(python_can.Message(arbitration_id=6, data=DM_IDLE, is_extended_id=False))
        host.advance(0)  # the answer lies unread
        with host.twin._lock:
            for data in (DM_IDLE, DISABLE):
                other.send(python_can.Message(arbitration_id=6, data=data, is_extended_id=False))
            other.shutdown()
        host.advance(0)
        assert not host.twin.moving


def test_two_hosts_drive_two_motors_at_once() -> None:
    with arm() as host:
        host.enable()
        done = []

        def drive(motor):
            bus = buses.connect(host.twin.bus)
            for k in range(200):
                bus.send(
                    python_can.Message(arbitration_id=motor, data=host.order(motor, q=0.001 * k, kp=5.0), is_extended_id=False)
                )
                while (message := bus.recv(PATIENCE)) is not None and (message.arbitration_id or message.data[0] & 15) != motor:
                    pass
                done.append(message is not None)
            bus.shutdown()

        threads = [threading.Thread(target=drive, args=(motor,)) for motor in (6, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(done) == 400
        assert all(done)


def test_hostile_packets_neither_stop_the_twin_nor_reach_a_motor() -> None:
    rng = random.Random(0)
    with arm() as host:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.connect(host.twin.bus.partition(":")[2])
            for _ in range(100):
                link.send(rng.randbytes(rng.choice((1, 15, 17, 64, 200))))
            link.send(struct.pack("=IB3x8s", 5, 200, bytes(8)))  # a length that no frame has
        host.advance(0)
        assert host.twin._bus.rejected == 101
        assert host.ask(6, CLEAR)[0] == 0


def test_random_frames_leave_the_twin_alive_and_its_numbers_finite() -> None:
    rng = random.Random(1)
    with arm() as host:
        host.enable()
        number = (*EVERYONE, 0x7FF, 0x105, 0)
        for _ in range(30):
            for _ in range(50):
                data = rng.randbytes(rng.randrange(9))
                if len(data) == 8 and rng.random() < 0.2:
                    data = bytes([rng.choice(EVERYONE), 0, 0x55, rng.randrange(40)]) + data[:4]
                host.send(rng.choice(number), data)
            host.bus.send(python_can.Message(arbitration_id=rng.getrandbits(29), is_extended_id=True, data=b"x"))
            host.advance(5)
            while host.answer(0) is not None:
                pass
        # Ranges and gains are now whatever chance wrote, so the physics may have been started anew; it is there.
        assert host.side.ask("scene").header["names"] == ["board"]
        assert abs(host.twin._arm.data.qpos[:6]).max() < 10
        host.ask(2, EC_IDLE)


def test_frames_that_are_no_standard_data_frames_are_passed_on_and_reach_no_motor() -> None:
    with arm() as host:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.connect(host.twin.bus.partition(":")[2])
            link.send(pack(Frame(6, CLEAR, EXTENDED)))
            host.advance(0)
            assert host.answer(PATIENCE) == (6, CLEAR)
        assert host.silent()


def test_a_member_that_never_reads_holds_nobody_up() -> None:
    with arm() as host:
        lazy = buses.connect(host.twin.bus)
        for _ in range(20_000):
            assert host.ask(6, CLEAR)[0] == 0
            if host.twin._bus.dropped:
                break
        assert host.twin._bus.dropped
        lazy.shutdown()


def test_a_killed_twins_socket_is_taken_over(tmp_path_factory) -> None:
    path = str(tmp_path_factory.mktemp("b") / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(path)  # the file stays when its process dies
    bus = ServedBus(BusName("seqpacket", path))
    bus.open()
    buses.connect(f"seqpacket:{path}").shutdown()
    bus.close()
    bus.close()
    with pytest.raises(LinkLost):
        buses.connect(f"seqpacket:{path}")


@pytest.mark.parametrize(
    "talk",
    [
        b"< open can7 >",
        b"hello",
        b"< open can0 >< rawmode >< send 006 9 0 >",
        b"< send zzz 0 >",
        b"\xff" * 9000,
        b"< send 6 1 fff >",
    ],
)
def test_a_socketcand_client_that_talks_nonsense_is_no_danger(talk) -> None:
    with arm(kind="socketcand") as host:
        port = int(host.twin.bus.split(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), 5) as link:
            assert link.recv(64) == b"< hi >"
            link.sendall(talk)
            host.advance(0)
        assert host.ask(6, CLEAR)[0] == 0


def test_a_socketcand_client_is_told_of_an_unknown_channel() -> None:
    with arm(kind="socketcand") as host:
        port = int(host.twin.bus.split(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), 5) as link:
            assert link.recv(64) == b"< hi >"
            link.sendall(b"< open can7 >")
            assert link.recv(64) == b"< error no such bus >"


@pytest.mark.parametrize("kind", ["virtual", "seqpacket"])
def test_damiao_motor_drives_the_arm_unmodified(kind) -> None:
    """An independent client of these motors. It ignores identifiers, so it is alone on the bus and drives the L5."""
    damiao_motor = pytest.importorskip("damiao_motor", reason="damiao-motor is not installed")
    if kind == "seqpacket" and not metadata.entry_points(group="can.interface", name="seqpacket"):
        pytest.skip("this installation of user_gym is older than its entry point; install it again")
    with arm("arx-l5", kind=kind, mode="lockstep", timeout=0.0) as host, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it names the interface as python-can 3 did
        host.bus.shutdown()  # nobody else reads
        controller = damiao_motor.DaMiaoController(channel=host.twin.bus.partition(":")[2], bustype=kind)
        ranges = {"p_min": -12.5, "p_max": 12.5, "v_min": -45.0, "v_max": 45.0, "t_min": -18.0, "t_max": 18.0}
        drives = {m: controller.add_motor(m, 0, "4340" if m < 5 else "4310", **ranges) for m in EVERYONE}
        assert drives[7].get_register(21, timeout=PATIENCE) == 12.5
        assert drives[7].get_register(23, timeout=PATIENCE) == 18.0
        assert drives[1].get_register(10, timeout=PATIENCE) == 1
        home = specs.spec("arx-l5").home
        goal = home + 0.15
        controller.enable_all()

        def until(reached):
            deadline = time.monotonic() + PATIENCE
            while not reached() and time.monotonic() < deadline:
                for motor, drive in drives.items():
                    at = 1.1 if motor == 8 else goal[list(drives).index(motor)]
                    drive.send_cmd_mit(at, 0.0, 5.0 if motor == 8 else 300.0, 0.2 if motor == 8 else 5.0, 0.0)
                time.sleep(0.001)  # its own thread reads
            return reached()

        def there():
            states = [drives[m].get_states() for m in EVERYONE[:6]]
            return all(s and s["status"] == "ENABLED" for s in states) and all(
                abs(s["pos"] - q) < 0.03 for s, q in zip(states, goal, strict=True)
            )

        assert until(there), {m: d.get_states() for m, d in drives.items()}
        controller.shutdown()
        host.side.ask("mode", mode="gated")  # hears all that was sent before it
        assert not host.twin.moving


def test_arx5_interface_cannot_be_attached_without_socketcan() -> None:
    """The vendor's closed library opens the kernel's CAN by itself; beside it, it names only adapters of hardware."""
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        pytest.skip(f"this kernel has no SocketCAN ({error}), and the SDK can be given no other bus")
    pytest.importorskip("arx5_interface", reason="arx5-interface is not installed")
    pytest.skip("no virtual CAN interface is set up here; bring one up: ip link add vcan0 type vcan")
