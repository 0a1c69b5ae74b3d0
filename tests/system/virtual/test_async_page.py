"""What docs/async.md shows is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "async.md").read_text()


def test_its_programs_run_as_they_stand_and_a_second_time(tmp_path):
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.S))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-W", "error", "-c", f"import torch\ntorch.set_num_threads(1)\n{program}"]
    for _ in range(2):  # the second one finds the checkpoints of the first
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert " s of the clock for " in done.stdout
    assert list((tmp_path / "runs" / "exact" / "checkpoints").glob("agent-*"))


def test_its_commands_and_names_exist():
    config = (ROOT / "baselines" / "config.py").read_text()
    plan = (ROOT / "user_gym" / "system" / "processes" / "plan.py").read_text()
    assert "asynchronous: bool" in config
    for option in ("tolerance", "updates_per_step", "learning_starts", "publish_every"):
        assert f"`{option}`" in PAGE
        assert re.search(rf"^    {option}: ", plan, re.M), option
