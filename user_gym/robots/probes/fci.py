"""Which protocol a Franka control box speaks. Asked so that it must refuse: Connect with version 0, which no server accepts.

The refusal names the server's own version. Nothing is opened by it: no state is sent, and the robot has no client afterwards.
"""

from __future__ import annotations

import socket

from user_gym.errors import BadOption, LinkLost
from user_gym.robots.wire.fci import CONNECT_REQUEST, CONNECT_VERSION, ROBOT, ROBOT_PORT, VERSIONS

_CONNECT, _NO_VERSION, _NO_UDP_PORT = 0, 0, 0
_LAST_OF_FER = 5  # robot protocols from 6 on are those of the FR3 and its successors


def ask(model: str, address: str, timeout: float) -> str:
    """What the control box says of itself.

    Args:
        model: name of the robot that is expected there.
        address: IP address or host name.
        timeout: s for the connection, and for the answer.

    Raises:
        LinkLost: nothing answers there, or it does not speak this protocol.
        BadOption: another model, or a version that the model's client does not speak.
    """
    version = _version(address, timeout)
    if model not in VERSIONS or version == VERSIONS[model].number:
        return f"robot protocol {version}"
    wanted = VERSIONS[model].number
    if (version <= _LAST_OF_FER) != (wanted <= _LAST_OF_FER):
        other = "a FER" if version <= _LAST_OF_FER else "an FR3 or newer"
        raise BadOption("model", model, f"one that speaks robot protocol {version}: {other}", "correct the inventory")
    raise BadOption(f"robot protocol of {model}", version, str(wanted), "update the robot's system image")


def _version(address: str, timeout: float) -> int:
    where = f"{address}:{ROBOT_PORT}"
    try:
        with socket.create_connection((address, ROBOT_PORT), timeout) as link:
            link.sendall(ROBOT.message(_CONNECT, 0, CONNECT_REQUEST.pack(_NO_VERSION, _NO_UDP_PORT)))
            reply = _read(link, ROBOT.header.size + ROBOT.status.size + CONNECT_VERSION.size)
    except ConnectionRefusedError as error:
        cure = "activate FCI in Desk, or start a twin: user-gym twin"
        raise LinkLost(f"nothing listens at {where}: the robot's FCI is off, or no robot is there; {cure}") from error
    except TimeoutError as error:
        raise LinkLost(f"no answer from {where} within {timeout:g} s; check power, cable and address") from error
    except (OSError, UnicodeError) as error:
        raise LinkLost(f"no answer from {where}: {error}; check power, cable and address") from error
    header = ROBOT.read(reply)
    if header is None or (header.command, header.command_id, header.size) != (_CONNECT, 0, len(reply)):
        raise LinkLost(f"what listens at {where} does not speak Franka's protocol: it said {reply!r}")
    return CONNECT_VERSION.unpack_from(reply, ROBOT.header.size + ROBOT.status.size)[0]


def _read(link: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the other end hung up."""
    data = bytearray()
    while len(data) < size and (part := link.recv(size - len(data))):
        data += part
    return bytes(data)
