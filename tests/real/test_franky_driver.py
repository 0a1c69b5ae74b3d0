"""The FR3's driver, through franky, on a twin."""

from importlib.util import find_spec

import pytest
from franka_cases import FrankaDriverCases

if find_spec("franky") is None:
    pytest.skip("franky-control is not installed", allow_module_level=True)


class TestFranky(FrankaDriverCases):
    vendor = "franky"
    robot = "franka-fr3"
