"""What is asked of a real cell is refused by name before anything is opened."""

import math

import numpy as np
import pytest

from user_gym.core import Device
from user_gym.errors import BadOption
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
