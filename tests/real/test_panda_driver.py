"""The FER's driver, through panda-python's libfranka, on a twin."""

import shutil
from importlib.util import find_spec

import pytest
from franka_cases import FrankaDriverCases

if find_spec("panda_py") is None:
    pytest.skip("panda-python is not installed", allow_module_level=True)
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("the FER's client wants a model library, and no C compiler is here to build it", allow_module_level=True)


class TestPanda(FrankaDriverCases):
    vendor = "panda"
    robot = "franka-fer"
