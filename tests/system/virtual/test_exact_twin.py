"""The simulated twin and RLPD on the virtual clock: what was stopped or killed ends in the bits of what was not."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from threading import Event

import numpy as np
import pytest

exact_twin = pytest.importorskip("exact_twin", reason="needs torch")

CHILD = Path(__file__).parent / "exact_twin.py"
HERE = [str(CHILD.parent), str(CHILD.parent.parent), str(CHILD.parents[3])]
MODES = ("sync", "async")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What every run begins with."""
    folder = tmp_path_factory.mktemp("exact") / "prepared"
    exact_twin.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(prepared):
    """Folders and digests of whole runs, by mode."""
    folders = {mode: Path(shutil.copytree(prepared, prepared.with_name(mode))) for mode in MODES}
    return {mode: (folder, exact_twin.train(folder, mode == "sync")) for mode, folder in folders.items()}


@pytest.fixture
def folder(prepared, tmp_path):
    """Of a run that is going to be interrupted."""
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def child(folder, mode, kill_at):
    """What a process of its own prints; None where it was killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*HERE, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(CHILD), str(folder), mode, str(kill_at)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


def acknowledged_after_the_checkpoint(folder):
    """Keys of a source whose run was interrupted that its newest checkpoint does not count."""
    newest = json.loads((folder / "checkpoints" / "newest.json").read_text())
    with zipfile.ZipFile(folder / "checkpoints" / newest["agent"]) as file:
        state = json.loads(file.read("state.json"))
    rows = exact_twin.rows(folder)
    return {key: crc for key, crc in rows.items() if key[0] != "expert" and key[1] >= state["episodes"]}


def test_the_runs_learned_something(uninterrupted):
    for folder, (_, _, updates, steps) in uninterrupted.values():
        assert steps > exact_twin.STEPS
        assert updates >= 0.8 * 0.94 * (exact_twin.STEPS - 60)
        assert len(exact_twin.rows(folder)) > 20
    assert uninterrupted["sync"][1] != uninterrupted["async"][1]


def test_a_reset_of_the_twin_restores_all_that_its_steps_depend_on():
    """So a checkpoint between two episodes need not hold the simulation's state."""

    def episode(env, seed, steps=60):
        """Down into contact, and along the board: solver and history of forces are at work."""
        rng = np.random.default_rng(seed)
        seen = [env.reset(seed=seed)[0]["state"]]
        for n in range(steps):
            action = rng.uniform(-1, 1, 6)
            action[2] = -1.0 if n < 20 else action[2]
            seen.append(env.step(action.astype(np.float32))[0]["state"])
        return np.array(seen).tobytes()

    with closing(exact_twin.make(exact_twin.CONFIG)) as used, closing(exact_twin.make(exact_twin.CONFIG)) as new:
        episode(used, 1)
        episode(used, 2, steps=33)  # left in the middle, in contact
        assert episode(used, 7) == episode(new, 7)
        assert episode(used, 7) != episode(new, 8)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_stopped_at_any_event_ends_in_the_same_bits(mode, prepared, uninterrupted, tmp_path):
    rng, stops, repeated = random.Random(9), 0, 0
    whole, wanted = uninterrupted[mode]
    for trial in range(3):
        folder, ended = Path(shutil.copytree(prepared, tmp_path / str(trial))), None
        while ended is None:
            stop, left = Event(), [rng.randrange(1, 300)]

            def event(stop=stop, left=left):
                left[0] -= 1
                if left[0] == 0:
                    stop.set()

            ended = exact_twin.train(folder, mode == "sync", event, stop)
            stops += ended is None
            repeated += ended is None and len(acknowledged_after_the_checkpoint(folder)) > 0
            assert stops < 60
        assert ended == wanted
        assert exact_twin.rows(folder) == exact_twin.rows(whole)
    assert stops >= 5
    assert repeated >= 2


@pytest.mark.parametrize("mode", MODES)
def test_what_a_killed_run_had_stored_is_made_again_under_the_same_key_and_crc_and_stored_once(mode, uninterrupted, folder):
    whole, wanted = uninterrupted[mode]
    assert child(folder, mode, 270) is None
    before = acknowledged_after_the_checkpoint(folder)
    assert before
    assert child(folder, mode, -1) == wanted
    after = exact_twin.rows(folder)
    assert before.items() <= after.items()
    assert after == exact_twin.rows(whole)
