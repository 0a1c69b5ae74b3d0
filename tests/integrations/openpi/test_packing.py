"""Bytes of openpi's policy protocol: as its own package writes them, and whatever else may come."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack", reason="msgpack comes with the extra 'openpi'")
import msgpack
from hypothesis import given
from hypothesis import strategies as st

from user_gym.errors import BadBlock, BadOption
from user_gym.integrations.openpi.packing import pack, unpack

MESSAGE: dict[str, Any] = {
    "observation/state": np.array([0.0, -0.0, np.nan, np.inf, 1e-40], np.float32),
    "picture": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
    "turned": np.arange(6, dtype=np.int16).reshape(2, 3).T,
    "none": np.zeros((0, 7), np.float64),
    "flag": np.array(True),
    "texts": np.array(["peg", "insertion"]),
    "half": np.float16(0.5),
    "count": np.int64(-(2**62)),
    "prompt": "insert the pég",
    "nested": {"list": [1, 2.5, None, False, b"\x00\xff"], "array": np.float64([1.0])},
}


def equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            equal(one[name], other[name])
    elif isinstance(one, np.ndarray | np.generic):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def array(dtype: Any = "<f4", shape: Any = (2,), data: Any = bytes(8)) -> bytes:
    """A message with one array whose description is not what numpy would have made."""
    return msgpack.packb({"a": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}})


def test_what_is_packed_comes_back_bit_for_bit() -> None:
    equal(MESSAGE, unpack(pack(MESSAGE)))


def test_the_bytes_of_an_array_are_those_that_openpi_defines() -> None:
    assert pack({"x": np.array([1, 2], "<u2")}) == (
        b"\x81\xa1x\x84\xc4\x0b__ndarray__\xc3\xc4\x04data\xc4\x04\x01\x00\x02\x00\xc4\x05dtype\xa3<u2\xc4\x05shape\x91\x02"
    )
    assert pack({"x": np.float32(1.5)}) == (
        b"\x81\xa1x\x83\xc4\x0d__npgeneric__\xc3\xc4\x04data\xcb?\xf8\x00\x00\x00\x00\x00\x00\xc4\x05dtype\xa3<f4"
    )


def test_the_bytes_are_those_of_the_package_of_openpi() -> None:
    theirs = pytest.importorskip("openpi_client.msgpack_numpy", reason="the package 'openpi-client' is not installed")
    assert pack(MESSAGE) == theirs.packb(MESSAGE)
    equal(MESSAGE, theirs.unpackb(pack(MESSAGE)))
    equal(MESSAGE, unpack(theirs.packb(MESSAGE)))


def test_arrays_that_came_are_the_callers_own_and_in_native_order() -> None:
    made = unpack(pack({"x": np.array([1.0, 2.0], ">f8"), "y": np.zeros(3, np.float32)}))
    made["y"][0] = 1.0
    assert made["x"].dtype == np.dtype("=f8")
    assert made["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("value", [np.array([object()]), np.zeros(2, complex), np.zeros(2, "i4,f4"), object(), {1j}, 2**70])
def test_what_the_protocol_has_no_bytes_for_is_refused(value: Any) -> None:
    with pytest.raises(BadOption, match="bad message"):
        pack({"value": value})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (array("|O"), "dtype of an array is '|O'"),
        (array("<c8"), "dtype of an array"),
        (array("i4,f4"), "dtype of an array"),
        (array("<f3", (1,), bytes(3)), "dtype of an array is '<f3'"),
        (array(5), "dtype of an array is 5"),
        (array("<U0", (2**40,), b""), "dtype of an array is '<U0'"),
        (array(shape=(3,)), "data of an array is '8 bytes'; allowed: 12 bytes"),
        (array(shape=(1,)), "data of an array is '8 bytes'; allowed: 4 bytes"),
        (array(shape=(-1, -2)), "shape of an array"),
        (array(shape=(2.0,)), "shape of an array"),
        (array(shape=(True, 2)), "shape of an array"),
        (array(shape=[1] * 33), "shape of an array"),
        (array(shape=(0, 2**62, 2**62), data=b""), "shape of an array"),
        (array(shape=8), "shape of an array is 8"),
        (array(data="texttext"), "data of an array is 'texttext'"),
        (msgpack.packb({"a": {b"__ndarray__": True}}), "dtype of an array is None"),
        (msgpack.packb({"a": {b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}}), "scalar of uint8 is 300"),
        (msgpack.packb({"a": {b"__npgeneric__": True, b"data": [1], b"dtype": "<f4"}}), r"scalar of float32 is \[1\]"),
        (msgpack.packb({"a": msgpack.ExtType(7, b"x")}), "msgpack extension is 7"),
        (msgpack.packb([1, 2]), "a map whose keys are texts"),
        (msgpack.packb({b"a": 1}), "a map whose keys are texts"),
        (msgpack.packb({"a": 1}) + b"\x01", "extra data"),
        (b"", "message is"),
        (b"\x81\xa1a", "message is"),
        (b"\x91" * 5000, "message is"),
        (b"\xdf\xff\xff\xff\xff", "message is"),
    ],
)
def test_foreign_bytes_get_one_error_that_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(BadBlock, match=message) as caught:
        unpack(data)
    assert len(str(caught.value)) < 1000


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_bad_block(data: bytes) -> None:
    with suppress(BadBlock):
        assert isinstance(unpack(data), dict)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_message_with_one_byte_changed_is_a_message_or_a_bad_block(place: int, value: int) -> None:
    data = bytearray(pack(MESSAGE))
    data[place % len(data)] = value
    with suppress(BadBlock):
        assert isinstance(unpack(bytes(data)), dict)
