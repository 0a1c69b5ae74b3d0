"""Pictures drawn in software, and a learner, in one process."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

DRAW = """
import gymnasium
import user_gym
from user_gym.errors import MissingSystem

try:
    gymnasium.make("User/PegInsert-sim-v0", obs="pixels").reset(seed=0)
except MissingSystem as error:
    raise SystemExit(f"skipped: {error}")
"""
LEARN = """
import torch

model = torch.nn.Linear(3, 3)
optimizer = torch.optim.Adam(model.parameters())
model(torch.zeros(1, 3)).sum().backward()
optimizer.step()
print("learned")
"""


@pytest.mark.skipif(not find_spec("torch"), reason="torch is not installed")
@pytest.mark.parametrize("program", [DRAW + LEARN, "import torch\n" + DRAW + LEARN], ids=["drawn first", "torch first"])
def test_a_process_that_has_drawn_can_learn(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    if "skipped: " in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout.strip()) == (0, "learned"), done.stderr
