"""Which protocol a Franka control box speaks. Asked so that it must refuse: Connect with version 0, which no server accepts.

The refusal names the server's own version (libfranka-common, `research_interface/robot/service_types.h`: Connect). Nothing is
opened by it: no state is sent, and the robot has no client afterwards.
"""

from __future__ import annotations

import socket
import struct

from user_gym.errors import BadOption, LinkLost

PORT = 1337
_HEADER = struct.Struct("<III")  # command, its number, size of the whole message in bytes
_REQUEST, _REPLY = struct.Struct("<HH"), struct.Struct("<BH")  # version, UDP port; status, version
_CONNECT, _NO_VERSION = 0, 0
# What the clients in `real` speak: franky-control 2 (libfranka 0.18 to 0.21) and panda-python 1 (libfranka 0.9).
VERSIONS = {"franka-fr3": 10, "franka-fer": 5}
_LAST_OF_FER = 5


def ask(model: str, address: str, timeout: float) -> str:
    """What the control box says of itself.

    Args:
        model: name of the robot that is expected there.
        address: IP address or host name.
        timeout: s for all of it.

    Raises:
        LinkLost: nothing answers there, or it does not speak this protocol.
        BadOption: another model, or a version that the model's client does not speak.
    """
    version = _version(address, timeout)
    wanted = VERSIONS.get(model)
    if wanted is None or version == wanted:
        return f"robot protocol {version}"
    if (version <= _LAST_OF_FER) != (wanted <= _LAST_OF_FER):
        other = "a FER" if version <= _LAST_OF_FER else "an FR3 or newer"
        raise BadOption("model", model, f"one that speaks robot protocol {version}: {other}", "correct the inventory")
    raise BadOption(f"robot protocol of {model}", version, str(wanted), "update the robot's system image")


def _version(address: str, timeout: float) -> int:
    try:
        with socket.create_connection((address, PORT), timeout) as link:
            link.settimeout(timeout)
            link.sendall(_HEADER.pack(_CONNECT, 0, _HEADER.size + _REQUEST.size) + _REQUEST.pack(_NO_VERSION, 0))
            reply = bytearray()
            while len(reply) < _HEADER.size + _REPLY.size and (part := link.recv(_HEADER.size + _REPLY.size - len(reply))):
                reply += part
    except ConnectionRefusedError as error:
        cure = "activate FCI in Desk, or start a twin: user-gym twin"
        raise LinkLost(f"nothing listens at {address}:{PORT}: the robot's FCI is off, or no robot is there; {cure}") from error
    except TimeoutError as error:
        raise LinkLost(f"no answer from {address}:{PORT} within {timeout:g} s; check power, cable and address") from error
    except (OSError, UnicodeError) as error:
        raise LinkLost(f"no answer from {address}:{PORT}: {error}; check power, cable and address") from error
    if len(reply) < _HEADER.size + _REPLY.size or _HEADER.unpack_from(reply)[::2] != (_CONNECT, len(reply)):
        raise LinkLost(f"what listens at {address}:{PORT} does not speak Franka's protocol: it said {bytes(reply)!r}")
    return _REPLY.unpack_from(reply, _HEADER.size)[1]
