from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from killed_training import CONFIG, line

from baselines.experience import DEMOS, OWN
from user_gym.errors import Gone
from user_gym.system import Buffer

KILLS = 6
PROGRAM = Path(__file__).with_name("killed_training.py")


def stored(buffer):
    """All chunks, as `line` tells of them."""
    lines, number = [], 0
    while number < buffer.live.total:
        try:
            chunk = buffer.chunk(number)
        except Gone:
            number += 1
            continue
        lines.append(line(chunk))
        number += len(chunk)
    return lines


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_all_that_was_acknowledged(tmp_path):
    moments = random.Random(4)
    folder, file = tmp_path / "run", tmp_path / "acknowledged"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROGRAM.parents[2]), *sys.path]), "OMP_NUM_THREADS": "1"}
    ends = []
    for seconds in [*(moments.uniform(0.0, 1.2) for _ in range(KILLS)), float("inf")]:
        command = [sys.executable, str(PROGRAM), str(folder), str(file), str(seconds)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        ends.append(done.returncode)
        assert done.returncode in (-9, 0), done.stderr
    assert ends[-1] == 0
    assert ends.count(-9) >= 3  # a fast machine may finish before the last kills
    with Buffer.open(folder / "buffer", read_only=True) as buffer:
        there = stored(buffer)
        assert len(buffer.view(OWN)) == CONFIG.steps
        assert len(buffer.view(f"{DEMOS} AND (terminated OR truncated)")) == CONFIG.demos
        assert buffer.stats()["transitions_ever"] == len(buffer)
    told = file.read_text().splitlines()
    assert len(set(told)) == len(told)
    assert set(told) <= set(there)
    assert len(set(there) - set(told)) <= ends.count(-9)  # stored, and killed before it could be told
    keys = [tuple(chunk.split()[:3]) for chunk in there]
    assert len(set(keys)) == len(keys)
    summary = json.loads((folder / "summary.json").read_text())
    updates = round((CONFIG.steps - CONFIG.learning_starts) * CONFIG.updates_per_step)
    assert (summary["env_steps"], summary["updates"]) == (CONFIG.steps, updates)
    state = json.loads((folder / "state.json").read_text())
    assert state["counters"]["env_steps"] == CONFIG.steps
    assert state["curve"][-1]["env_steps"] == CONFIG.steps
    assert not list(folder.glob("*.tmp"))
