"""Our FR3 driver against franky-sim: an FCI server that somebody else wrote."""

import os
import queue
import subprocess
import sys
import threading
from importlib.util import find_spec

import numpy as np
import pytest
from franka_rig import Rig, address

if find_spec("franky") is None:
    pytest.skip("franky-control is not installed", allow_module_level=True)
_PYTHON = os.environ.get("USER_GYM_FRANKY_SIM") or (sys.executable if find_spec("franky_sim") else "")
pytestmark = pytest.mark.skipif(not _PYTHON, reason="no franky-sim: install it, or name its python in USER_GYM_FRANKY_SIM")


@pytest.fixture
def server():
    at = address()
    command = [_PYTHON, "-u", "-m", "franky_sim.run_server", "-s", "mujoco", "--hostname", at]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout])
        reader.start()
        while at not in lines.get(timeout=60):
            pass
        yield at
        process.kill()
        reader.join(10)


@pytest.mark.slow
def test_our_driver_moves_the_arm_of_another_projects_server(server):
    rig = Rig()
    told = rig.run("foreign", server)
    rig.close()
    # Its joints have friction, and its position controller is soft: it comes to rest millimetres away.
    np.testing.assert_allclose(told["reached"], 0.0, atol=8e-3)
    np.testing.assert_allclose(told["posture"], 0.0, atol=1e-2)
    assert abs(told["followed"][2]) < 0.02
    assert 0.9 < told["time"] < 1.1
    assert np.abs(told["held"]).max() < 0.05
    assert told["opened"] > 0.95
