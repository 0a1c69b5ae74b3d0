"""What is asked of a real cell is refused by name before anything is opened."""

import math

import numpy as np
import pytest

from user_gym.core import Command, Device
from user_gym.errors import BadAction, BadOption
from user_gym.real import asked
from user_gym.real.cell import build
from user_gym.robots import specs
from user_gym.robots.address import physical
from user_gym.tasks.peg_insert import PegInsert

SPEC = specs.spec("franka-fr3")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("address", "twin", "device", "clock", "driver", "policy")
            for value in (3, "", b"x", [], "\0")
        ),
        *((name, value) for name in ("driver_options", "cameras", "camera_options") for value in ("x", [1], {1: 2})),
        *(("approve", value) for value in ("False", "no", 1, None, math.nan)),
        ("clock", np.array(["wall"])),
        ("driver", "nomodule_of_this_name:Class"),
        ("driver", "os:system_that_is_not_there"),
        ("driver", "user_gym.errors:BadAction"),
        ("driver_options", {"no_such_option": 1}),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused(name, value):
    with pytest.raises(BadOption):
        build(SPEC, PegInsert(SPEC), "tcp", **{name: value})


def test_the_options_of_our_drivers_are_known():
    build(SPEC, PegInsert(SPEC), "tcp", driver_options={"realtime": "ignore", "force_threshold": 50.0})
    with pytest.raises(BadOption, match=r"'no_such_option'; allowed: .*realtime"):
        build(SPEC, PegInsert(SPEC), "tcp", driver_options={"no_such_option": 1})


def test_an_address_that_is_none_has_a_name_all_the_same():
    assert physical(Device("x", "robot", "arx-x5", "virtual:")) != physical(Device("y", "robot", "arx-x5", "virtual:a"))


TCP, JOINTS = np.zeros(6), np.zeros(7)


@pytest.mark.parametrize(
    ("order", "parts"),
    [
        (None, ["None of type NoneType", "a Command"]),
        ("up", ["'up' of type str", "a Command"]),
        ([0.0] * 6, ["of type list", "a Command"]),
        (TCP, ["shape (6,) and dtype float64", "a Command"]),
        (Command(0.0, [0.0] * 6), ["order tcp [", "of type list", "shape (6,)"]),
        (Command(0.0, TCP[:5]), ["order tcp of shape (5,) and dtype float64", "shape (6,)"]),
        (Command(0.0, TCP.astype(complex)), ["dtype complex128", "numbers"]),
        (Command(0.0, TCP.astype(object)), ["dtype object"]),
        (Command(0.0, None, TCP), ["order joints of shape (6,)", "shape (7,)"]),
        (Command(None, TCP), ["order gripper None", "one number"]),
        (Command("shut", TCP), ["order gripper 'shut' of type str"]),
        (Command(np.zeros(2), TCP), ["order gripper of shape (2,)"]),
    ],
    ids=str,
)
def test_what_is_no_order_is_named_with_its_shape_and_type(order, parts) -> None:
    with pytest.raises(BadAction) as refusal:
        asked.order(order, 7)
    for part in parts:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    "order",
    [
        Command(0.0, TCP),
        Command(1, TCP.astype(np.float32)),
        Command(np.float64(0.5), None, JOINTS),
        Command(np.array(0.5), TCP),
    ],
    ids=["floats", "single precision", "joints", "numpy's numbers"],
)
def test_an_order_of_numbers_passes(order) -> None:
    asked.order(order, 7)
