"""The FCI twin against the protocol's rules, spoken by an independent client."""

from __future__ import annotations

import hashlib
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import numpy as np
import pytest
from fci_client import PATIENCE, Client, free_address

from user_gym.errors import BadOption, RobotFault
from user_gym.robots import gate, kinematics, specs
from user_gym.robots.franka import FR3
from user_gym.robots.side import Side
from user_gym.robots.wire.fci import ERRORS
from user_gym.sim.fci.twin import FciTwin
from user_gym.tasks.peg_insert import PegInsert

IDLE, MOVE, REFLEX, USER_STOPPED = 1, 2, 4, 5
STARTED, PREEMPTED, NOT_POSSIBLE, BY_REFLEX, BY_USER = 1, 2, 5, 8, 9


@pytest.fixture
def twin():
    with FciTwin(FR3, PegInsert(FR3), free_address(), mode="lockstep") as twin:
        yield twin


@pytest.fixture
def side(twin):
    side = Side(twin.side, PATIENCE)
    side.connect()
    yield side
    side.close()


@pytest.fixture
def client(twin):
    with Client(twin.address) as client:
        yield client


def begin(client: Client, controller: int = 0, generator: int = 0):
    """Start a motion and give its first command; the state that command answered."""
    idle = client.state()
    assert client.move(controller, generator) == STARTED
    client.until(MOVE)
    state = client.state()
    return idle, state


def drive(client: Client, state, ticks: int, order):
    """Answer so many states; `order(k)` gives the command's fields."""
    for k in range(ticks):
        client.command(state.number, **order(k))
        state = client.newest(state.number)
    return state


def test_a_client_is_accepted_and_gets_a_state_at_home(client) -> None:
    assert client.status == b"\x00\x0a\x00"
    state = client.state()
    assert (state.mode, state.generator, state.controller) == (IDLE, 0, 3)
    np.testing.assert_allclose(state.q, FR3.home, atol=1e-6)


def test_a_joint_motion_shows_its_modes_follows_and_gets_its_second_reply(client) -> None:
    idle, state = begin(client)
    assert (state.mode, state.generator, state.controller) == (MOVE, 1, 0)
    goal = np.array(idle.q_d)

    def order(k: int):
        q = goal.copy()
        q[0] += 0.1 * (1 - np.cos(np.pi * min(k, 200) / 200)) / 2
        return {"q": q}

    state = drive(client, state, 250, order)
    assert abs(state.q[0] - 0.1) < 1e-3
    client.command(state.number, q=order(250)["q"], finished=True)
    command, number, rest = client.reply()
    assert (command, number, rest) == (1, 1, b"\x00")
    assert abs(client.until(IDLE).q[0] - 0.1) < 1e-4  # the box lets it come to rest before it says idle


def test_torques_are_echoed_and_move_the_arm(client) -> None:
    _, state = begin(client, controller=2, generator=4)
    state = drive(client, state, 50, lambda k: {"tau": (0, 0, 0, 0, 0, 0, 0.5)})
    assert state.tau_d[6] == pytest.approx(0.5)
    assert state.q[6] - FR3.home[6] > 1e-3
    assert np.abs(np.array(state.q[:6]) - FR3.home[:6]).max() < 1e-3


def test_joint_velocities_are_integrated(client) -> None:
    _, state = begin(client, generator=1)
    state = drive(client, state, 100, lambda k: {"dq": (0.1, 0, 0, 0, 0, 0, 0)})
    assert state.q_d[0] == pytest.approx(0.01)


def test_cartesian_velocities_are_integrated(client) -> None:
    _, state = begin(client, generator=3)
    state = drive(client, state, 100, lambda k: {"twist": (0, 0.05, 0, 0, 0, 0)})
    np.testing.assert_allclose(kinematics.position(FR3, np.array(state.q_d)), [0.30689, 0.005, 0.48688], atol=1e-5)


def test_a_cartesian_pose_is_reached_by_inverse_kinematics(client) -> None:
    _, state = begin(client, generator=2)
    turn = np.diag([1.0, -1.0, -1.0])

    def order(k: int):
        frame = np.eye(4)
        frame[:3, :3], frame[:3, 3] = turn, [0.3068906, 1e-4 * k, 0.4868820]
        return {"pose": tuple(frame.T.ravel())}

    state = drive(client, state, 100, order)
    np.testing.assert_allclose(kinematics.position(FR3, np.array(state.q_d)), [0.30689, 99e-4, 0.48688], atol=1e-5)


def test_stop_move_preempts_a_motion(client) -> None:
    idle, state = begin(client)
    drive(client, state, 5, lambda k: {"q": idle.q_d})
    client.send(2)
    replies = [client.reply(), client.reply()]
    assert replies == [(1, 1, bytes([PREEMPTED])), (2, 2, b"\x00")]
    assert client.until(IDLE).generator == 0
    assert client.ask(2) == b"\x00"  # a stop that finds nothing to stop is answered too


def test_a_command_that_is_late_for_its_motion_does_not_begin_the_next_one(client) -> None:
    idle, state = begin(client)
    state = drive(client, state, 5, lambda k: {"q": idle.q_d})
    client.send(2)
    client.until(IDLE)
    client.command(state.number, q=idle.q_d)  # nobody reads it before the next motion
    client.reply(), client.reply()
    assert client.move() == STARTED
    # A client leaves its start with one state and answers the next: until its first command there has to be a next one.
    seen = [client.state() for _ in range(40)]
    assert len({state.number for state in seen if state.mode == MOVE}) > 2


def test_after_a_reflex_motions_are_refused_until_recovery(client, side) -> None:
    idle, state = begin(client)
    drive(client, state, 5, lambda k: {"q": idle.q_d})
    side.ask("fault", name="reflex", reason="joint_reflex")
    assert client.reply() == (1, 1, bytes([BY_REFLEX]))
    stopped = client.until(REFLEX)
    assert [i for i, flag in enumerate(stopped.errors) if flag] == [ERRORS.index("joint_reflex")]
    assert client.move() == NOT_POSSIBLE
    assert client.ask(10) == b"\x00"
    assert not any(client.until(IDLE).errors)
    assert client.move() == STARTED


def test_the_user_stop_ends_a_motion_and_refuses_others_until_released(client, side) -> None:
    idle, state = begin(client)
    drive(client, state, 5, lambda k: {"q": idle.q_d})
    side.ask("fault", name="user_stop")
    assert client.reply() == (1, 1, bytes([BY_USER]))
    client.until(USER_STOPPED)
    assert client.move() == NOT_POSSIBLE
    assert client.ask(10) == b"\x01"  # no software releases a button
    side.ask("heal")
    client.until(IDLE)
    assert client.move() == STARTED


def test_twenty_lost_cycles_in_a_row_stop_the_arm(client, side) -> None:
    idle, state = begin(client)
    side.ask("fault", name="loss", share=1.0)
    lost = 0
    while state.mode != REFLEX and lost < 25:
        client.command(state.number, q=idle.q_d)
        state, lost = client.newest(state.number), lost + 1
    assert 19 <= lost <= 22  # a command that was sent before the fault may still arrive
    assert state.errors[ERRORS.index("communication_constraints_violation")]


def test_lost_commands_are_drawn_from_a_seed(client, side) -> None:
    _, state = begin(client, controller=2, generator=4)
    side.ask("fault", name="loss", share=0.5, seed=7)
    taken = []
    for k in range(40):
        client.command(state.number, tau=(0, 0, 0, 0, 0, 0, 0.01 * k))
        state = client.newest(state.number)
        taken.append(state.tau_d[6] == pytest.approx(0.01 * k))
    rng = np.random.default_rng(7)
    assert taken[1:] == [rng.random() >= 0.5 for _ in range(40)][1:]


def test_a_delay_is_counted_in_the_twins_ticks(client, side) -> None:
    _, state = begin(client, controller=2, generator=4)
    side.ask("fault", name="delay", ticks=3)
    echoed = []
    for k in range(10):
        client.command(state.number, tau=(0, 0, 0, 0, 0, 0, 0.1 * (k + 1)))
        state = client.newest(state.number)
        echoed.append(round(state.tau_d[6], 3))
    assert echoed[:3] == [0.0, 0.0, 0.0]
    assert echoed[3:6] == [0.1, 0.2, 0.3]


def test_limits_are_enforced_on_demand_with_two_percent_of_grace(client, side) -> None:
    side.ask("fault", name="limits", active=True)
    idle, state = begin(client)
    jump = np.array(idle.q_d)
    jump[0] += 0.01  # 10 rad/s
    client.command(state.number, q=jump)
    state = client.newest(state.number)
    assert state.mode == REFLEX
    assert state.errors[ERRORS.index("joint_motion_generator_velocity_limits_violation")]


def test_positions_beyond_the_joints_are_always_refused(client) -> None:
    _, state = begin(client)
    client.command(state.number, q=(3.0, 0, 0, -2, 0, 2, 0))
    state = client.newest(state.number)
    assert state.errors[ERRORS.index("joint_motion_generator_position_limits_violation")]


def test_numbers_that_are_none_end_the_motion(client) -> None:
    _, state = begin(client)
    client.command(state.number, q=(float("nan"),) * 7)
    assert client.reply() == (1, 1, bytes([10]))


def test_a_dead_link_says_nothing_more(client, side) -> None:
    client.state()
    side.ask("fault", name="dead")
    client.udp.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.newest(1 << 60)


def test_unknown_faults_and_reasons_are_named(side) -> None:
    with pytest.raises(RobotFault, match="known: contact, dead, delay"):
        side.ask("fault", name="fire")
    with pytest.raises(RobotFault, match="unknown reflex"):
        side.ask("fault", name="reflex", reason="fright")


def test_a_second_client_is_hung_up_on_and_the_first_goes_on(client, twin) -> None:
    with pytest.raises(ConnectionError):
        Client(twin.address)
    assert client.move() == STARTED


def test_a_client_that_leaves_makes_room(twin) -> None:
    with Client(twin.address) as first:
        begin(first)
    deadline = monotonic() + PATIENCE
    while True:
        try:
            second = Client(twin.address)
            break
        except ConnectionError:
            assert monotonic() < deadline
    with second:
        second.until(IDLE)
        assert second.move() == STARTED


def test_another_version_is_told_ours(twin) -> None:
    with Client(twin.address, version=0) as probe:
        assert probe.status == b"\x01\x0a\x00"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 4,
        struct.pack("<III", 0, 0, 0xFFFFFFFF),
        struct.pack("<III", 0, 0, 3),
        struct.pack("<IIIHH", 7, 0, 16, 10, 9),
        b"",
    ],
)
def test_hostile_bytes_are_hung_up_on_and_harm_nobody(client, twin, data: bytes) -> None:
    with socket.create_connection((twin.address, 1337), PATIENCE) as link:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        link.settimeout(PATIENCE)
        assert link.recv(1) == b""
    before = client.state().number
    assert client.newest(before).number > before


def test_an_unknown_call_of_the_client_ends_its_connection(client) -> None:
    client.send(99)
    with pytest.raises(ConnectionError):
        client.reply()


def test_datagrams_of_others_are_not_taken_for_commands(client) -> None:
    idle, state = begin(client)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(bytes(371), client.server)
        other.sendto(struct.pack("<Q", state.number) + b"\xff" * 363, client.server)
    client.command(state.number + 1000, q=(9.0,) * 7)
    state = drive(client, state, 3, lambda k: {"q": idle.q_d})
    assert state.mode == MOVE


def test_a_taken_port_is_one_clear_error(twin) -> None:
    with pytest.raises(BadOption, match=r"1337.*another loopback address"):
        FciTwin(FR3, PegInsert(FR3), twin.address, side="127.0.0.1:0").open()


def test_options_that_mean_nothing_are_refused() -> None:
    task = PegInsert(FR3)
    with pytest.raises(BadOption, match="gated \\| lockstep \\| paced"):
        FciTwin(FR3, task, mode="fast")
    with pytest.raises(BadOption, match="franka-fr3 \\| franka-fer"):
        FciTwin(specs.spec("arx-x5"), task)
    with pytest.raises(BadOption, match="friction"):
        FciTwin(FR3, task, free_address(), friction=-1.0).open()


def test_settings_outside_their_meaning_are_invalid_arguments(client) -> None:
    assert client.ask(9, struct.pack("<13d", -1.0, *[0.0] * 12)) == b"\x02"
    assert client.ask(9, struct.pack("<13d", 0.5, *[0.0] * 12)) == b"\x00"
    assert client.ask(7, struct.pack("<16d", *[2.0] * 16)) == b"\x02"


def test_contact_above_the_thresholds_is_a_reflex(client, twin, side) -> None:
    client.ask(3, struct.pack("<52d", *[100.0] * 28, *[5.0] * 24))
    side.ask("arrange", objects=[[0.3469, 0.0, 0.4360, 0, 0, 0, 1]], seed=0)  # wood 1 mm below the peg's tip
    _, state = begin(client, generator=3)
    for _ in range(400):
        client.command(state.number, twist=(0, 0, -0.02, 0, 0, 0))
        state = client.newest(state.number)
        if state.mode != MOVE:
            break
    assert state.errors[ERRORS.index("cartesian_reflex")]
    assert state.force[2] < 0.0  # the robot pushes down on the world; by now it has let go of most


def run_gated(twin, probe: bool = False) -> str:
    """Torques in a gated motion; a hash of all joint angles."""
    side, seen = Side(twin.side, PATIENCE), hashlib.sha256()
    side.connect()
    side.ask("mode", mode="gated")
    with Client(twin.address) as client:
        client.state()
        assert client.move(2, 4) == STARTED
        client.until(MOVE)
        state = client.state()
        for step in range(20):
            client.command(state.number, tau=(0, 0, 0, 0, 0, 0, 0.1 * np.sin(step)))
            if probe and step % 5 == 0:
                with Client(twin.address, version=0) as visitor:
                    assert visitor.status[0] == 1
            with ThreadPoolExecutor(1) as pool:  # the reply comes when the command for the next state has arrived
                reply = pool.submit(side.ask, "advance", ticks=1, timeout=PATIENCE)
                state = client.newest(state.number)
                client.command(state.number, tau=(0, 0, 0, 0, 0, 0, 0.1 * np.sin(step)))
                assert reply.result(PATIENCE).header == {"ticks": 1, "motion": "moving"}
            seen.update(struct.pack("<7f", *state.q))
    side.close()
    return seen.hexdigest()


def test_a_gated_run_is_bit_identical_also_with_probes_during_the_motion() -> None:
    hashes = set()
    for probe in (False, True):
        with FciTwin(FR3, PegInsert(FR3), free_address(), mode="gated") as twin:
            hashes.add(run_gated(twin, probe))
    assert len(hashes) == 1


def test_a_frozen_arm_repeats_its_state(client, side) -> None:
    _, state = begin(client)
    side.ask("mode", mode="gated")
    client.command(state.number, q=state.q_d)
    again = client.state()
    assert again.number == state.number


def test_an_advance_without_a_motion_comes_back_in_time(side) -> None:
    side.ask("mode", mode="gated")
    header = side.ask("advance", ticks=5, timeout=0.2).header
    assert header == {"ticks": 0, "motion": "idle"}


def test_an_advance_ends_early_at_a_reflex(client, side) -> None:
    begin(client)
    side.ask("mode", mode="gated")
    side.ask("fault", name="reflex", reason="cartesian_reflex")
    asked = monotonic()
    assert side.ask("advance", ticks=5, timeout=PATIENCE).header == {"ticks": 0, "motion": "reflex: cartesian_reflex"}
    assert monotonic() - asked < PATIENCE / 2  # not when it gave up waiting


def test_advance_is_refused_where_time_is_not_gated(side) -> None:
    with pytest.raises(RobotFault, match="needs mode 'gated'"):
        side.ask("advance", ticks=5, timeout=5)


def test_the_side_door_says_what_it_is(side) -> None:
    header = side.ask("hello").header
    assert (header["robot"], header["task"], header["mode"], header["tick"]) == ("franka-fr3", "PegInsert", "lockstep", 0.001)
    assert header["cameras"] == [camera.name for camera in FR3.cameras]


def test_objects_are_placed_and_seen(twin, side) -> None:
    scene = gate.GateScene(twin.side, ("board",))
    scene.connect()
    side.ask("arrange", objects=[[0.52, 0.01, 0.03, 0, 0, 0, 1]], seed=1)
    np.testing.assert_allclose(scene.observe().pose("board")[:3], [0.52, 0.01, 0.03])
    scene.close()


def test_friction_can_be_fixed_at_what_training_did_not_see() -> None:
    def travel(friction: float | None) -> float:
        with (
            FciTwin(FR3, PegInsert(FR3), free_address(), friction=friction, mode="lockstep") as twin,
            Client(twin.address) as client,
        ):
            _, state = begin(client, controller=2, generator=4)
            state = drive(client, state, 50, lambda k: {"tau": (0, 0, 0, 0, 0, 0, 0.2)})
            return state.q[6] - FR3.home[6]

    assert travel(0.3) < 0.05 * travel(None)


def test_paced_time_goes_on_without_commands() -> None:
    with FciTwin(FR3, PegInsert(FR3), free_address(), mode="paced") as twin, Client(twin.address) as client:
        side = Side(twin.side)
        side.connect()
        before, deadline = side.ask("hello").header["time"], monotonic() + PATIENCE
        while side.ask("hello").header["time"] < before + 0.05:
            assert monotonic() < deadline
        assert client.state().mode == IDLE
        side.close()


def test_closing_twice_is_fine_and_frees_the_ports() -> None:
    address = free_address()
    for _ in range(2):
        twin = FciTwin(FR3, PegInsert(FR3), address)
        twin.open()
        twin.close()
        twin.close()
