"""The 16 bytes of SocketCAN's can_frame, against the kernel's own layout written by hand."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.robots.wire.can_frame import ERROR, EXTENDED, REMOTE, Frame, pack, unpack

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the golden bytes are of a little-endian machine")
GOLDEN = [
    (Frame(0x005, b"\xff" * 7 + b"\xfc"), "05000000 08000000 ffffffff fffffffc"),
    (Frame(0x7FF, bytes.fromhex("0500331500000000")), "ff070000 08000000 05003315 00000000"),
    (Frame(0x001, b"\xe0\x01"), "01000000 02000000 e0010000 00000000"),
    (Frame(0x12345678, b"", EXTENDED), "78563492 00000000 00000000 00000000"),
    (Frame(0x040, bytes(8), ERROR), "40000020 08000000 00000000 00000000"),
    (Frame(0x123, b"", REMOTE), "23010040 00000000 00000000 00000000"),
]


@LITTLE
@pytest.mark.parametrize(("frame", "golden"), GOLDEN)
def test_a_frame_has_the_bytes_that_the_kernel_gives_it(frame, golden) -> None:
    assert pack(frame) == bytes.fromhex(golden)
    assert unpack(bytes.fromhex(golden)) == frame


@given(st.integers(0, 0x7FF), st.binary(max_size=8), st.sampled_from([0, EXTENDED, REMOTE, ERROR]))
def test_what_is_packed_is_unpacked(number, data, flags) -> None:
    assert unpack(pack(Frame(number, data, flags))) == Frame(number, data, flags)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_frame_or_refused(packet) -> None:
    try:
        frame = unpack(packet)
    except BadOption:
        assert len(packet) != 16 or packet[4] > 8
    else:
        assert len(frame.data) == packet[4] <= 8
