"""On the virtual clock a run that was stopped or killed at any event ends in the same bits as one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import numpy as np
import pytest

exact_training = pytest.importorskip("exact_training", reason="needs torch")

CHILD = Path(__file__).parent / "exact_training.py"
HERE = [str(CHILD.parent), str(CHILD.parent.parent), str(CHILD.parents[3])]


def child(folder, mode, kill_at):
    """What a process of its own prints; None where it was killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*HERE, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(CHILD), str(folder), mode, str(kill_at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Digests of whole runs, by mode."""
    return {mode: exact_training.train(tmp_path_factory.mktemp(mode), mode == "sync") for mode in ("sync", "async")}


def test_the_runs_did_something(uninterrupted):
    for mode, (agent, rows, updates, steps) in uninterrupted.items():
        assert steps == 130
        assert updates >= 0.8 * 230, mode
        assert agent != rows
    assert uninterrupted["sync"] != uninterrupted["async"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_run_that_is_stopped_at_any_event_ends_in_the_same_bits(mode, uninterrupted, tmp_path):
    rng = random.Random(5)
    for trial in range(6):
        folder, stops = tmp_path / str(trial), 0
        ended = None
        while ended is None:
            stop, left = Event(), [rng.randrange(1, 300)]

            def event(stop=stop, left=left):
                left[0] -= 1
                if left[0] == 0:
                    stop.set()

            ended = exact_training.train(folder, mode == "sync", event, stop)
            stops += ended is None
            assert stops < 60
        assert ended == uninterrupted[mode]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits(mode, uninterrupted, tmp_path):
    rng = np.random.default_rng(11)
    ended = None
    for kill_at in [*rng.integers(100, 250, 2).tolist(), -1]:
        ended = child(tmp_path, mode, kill_at)
        if ended is not None:
            break
    assert ended == uninterrupted[mode]
