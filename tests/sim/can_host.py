"""A host of a CAN twin in a test: it writes and reads frames by hand, so that no codec of user_gym is trusted."""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from struct import pack, unpack

import can

from user_gym.robots import specs
from user_gym.robots.side import Side
from user_gym.robots.wire import buses
from user_gym.sim.can.twin import CanTwin
from user_gym.tasks.peg_insert import PegInsert

JOINTS, GRIPPER = (1, 2, 4, 5, 6, 7), 8
EVERYONE = (*JOINTS, GRIPPER)
ENABLE, DISABLE, ZERO, CLEAR = (bytes([255] * 7 + [last]) for last in (0xFC, 0xFD, 0xFE, 0xFB))
EC_IDLE = bytes.fromhex("0000007FFF7FF7FF")  # seen of the vendor's SDK: no gain, no torque
DM_IDLE = bytes.fromhex("7FFF7FF0000007FF")
PATIENCE = 5.0  # s
SCALES = {"DM-J4310": (0.424, 0.424, 18.0, 45.0), "DM-J4340": (1.0, 1.0, 18.0, 45.0), "EC-A4310": (1.4, 1.96, 30.0, 18.0)}


def level(value, most, bits, least=None):
    """The number of a value of a range, as the firmware rounds it."""
    least = -most if least is None else least
    return int((min(max(value, least), most) - least) * ((1 << bits) - 1) / (most - least))


class Host:
    """A member of the twin's bus with its hand on the clock."""

    def __init__(self, twin, robot):
        self.twin, self.encos = twin, JOINTS[:3] if robot == "arx-x5" else ()
        self.bus = buses.connect(twin.bus)
        self.side = Side(twin.side)
        self.side.connect()

    def kind(self, motor):
        if motor in self.encos:
            return "EC-A4310"
        return "DM-J4340" if motor in JOINTS[:3] else "DM-J4310"

    def send(self, motor, data):
        self.bus.send(can.Message(arbitration_id=motor, data=data, is_extended_id=False))

    def answer(self, timeout=PATIENCE):
        """Identifier and bytes of the next frame; None if none comes."""
        message = self.bus.recv(timeout)
        return None if message is None else (message.arbitration_id, bytes(message.data))

    def ask(self, motor, data):
        self.send(motor, data)
        found = self.answer()
        assert found is not None, f"motor {motor} does not answer {data.hex()}"
        return found

    def silent(self):
        """Whether nothing is on the bus, once the twin has heard all that was sent to it."""
        if self.twin.mode == "gated":
            self.advance(0)
        return self.answer(0) is None

    def order(self, motor, q=0.0, dq=0.0, kp=0.0, kd=0.0, tau=0.0):
        """The bytes of an order; tau in N m at the joint."""
        scale, _, torque, speed = SCALES[self.kind(motor)]
        p, v, t = level(q, 12.5, 16), level(dq, speed, 12), level(tau / scale, torque, 12)
        k, d = level(kp, 500.0, 12, 0.0), level(kd, 5.0, 9 if motor in self.encos else 12, 0.0)
        word = k << 49 | d << 40 | p << 24 | v << 12 | t if motor in self.encos else p << 48 | v << 36 | k << 24 | d << 12 | t
        return word.to_bytes(8, "big")

    def read(self, motor, found):
        """Status or error, rad, rad/s and N m of a report."""
        number, data = found
        word = int.from_bytes(data, "big")
        _, scale, torque, speed = SCALES[self.kind(motor)]
        if motor in self.encos:
            assert (number, word >> 61) == (motor, 1)
            status = word >> 56 & 31
        else:
            assert (number, word >> 56 & 15) == (0, motor)
            status = word >> 60
        field = [(word >> 40 & 0xFFFF) / 65535, (word >> 28 & 0xFFF) / 4095, (word >> 16 & 0xFFF) / 4095]
        q, dq, tau = (-most + 2 * most * x for most, x in zip((12.5, speed, torque), field, strict=True))
        return status, q, dq, tau * scale

    def do(self, motor, **order):
        return self.read(motor, self.ask(motor, self.order(motor, **order)))

    def register(self, motor, number, value=None):
        """Read a float register, or write it; the float in the answer."""
        head = bytes([motor, 0, 0x33 if value is None else 0x55, number])
        _, data = self.ask(0x7FF, head + (bytes(4) if value is None else pack("<f", value)))
        assert data[:4] == head
        return unpack("<f", data[4:])[0]

    def enable(self, *motors):
        for motor in motors or EVERYONE:
            if motor not in self.encos:
                self.ask(motor, CLEAR)
                self.ask(motor, ENABLE)

    def advance(self, ticks):
        return self.side.ask("advance", ticks=ticks).header

    def cycles(self, count, orders):
        """So many control cycles of 5 ms with these orders {motor: arguments}; the last reports."""
        reports = {}
        for _ in range(count):
            for motor, order in orders.items():
                reports[motor] = self.do(motor, **order)
            self.advance(5)
        return reports

    def hold(self, kp=200.0, kd=3.0):
        """Orders that hold every joint where it is; an Encos motor tells where only when it is ordered."""
        held = {m: self.read(m, self.ask(m, EC_IDLE if m in self.encos else DM_IDLE))[1] for m in JOINTS}
        return {m: {"q": q, "kp": kp, "kd": kd} for m, q in held.items()}

    def close(self):
        self.side.close()
        self.bus.shutdown()


@contextmanager
def arm(robot="arx-x5", kind="seqpacket", **options):
    """A twin of an arm, and its host."""
    spec = specs.spec(robot)
    with tempfile.TemporaryDirectory(prefix="can") as folder:
        place = {"seqpacket": str(Path(folder) / "b"), "virtual": folder, "socketcand": "127.0.0.1:0"}[kind]
        options = {"friction": 0.0, "side": f"unix:{folder}/s", "task": PegInsert(spec), **options}
        with CanTwin(spec, bus=f"{kind}:{place}", **options) as twin:
            host = Host(twin, robot)
            try:
                yield host
            finally:
                host.close()
