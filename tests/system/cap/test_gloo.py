"""A broadcast between real processes on one host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch comes with the extra 'train'")

from user_gym.errors import BadOption, Closed
from user_gym.system.cap.broadcast import GlooCopier

RANK = Path(__file__).with_name("broadcast_rank.py")
SIZE = 1_000_003


def play(folder, ranks, *scenes):
    """What each rank saw, by scene."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    outs = [folder / f"{rank}.json" for rank in range(ranks)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(RANK), str(rank), str(ranks), str(folder / "store"), str(out), *scenes],
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank, out in enumerate(outs)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=100)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return [json.loads(out.read_text()) if out.exists() else {} for out in outs]


@pytest.mark.slow
def test_ranks_in_processes_of_their_own_keep_the_contract(tmp_path):
    """In one test, since three processes that load torch are most of what it costs."""
    root, *others = play(tmp_path, 3, "arrives", "held", "sizes", "ends", "leaves", "closed")

    # Every byte arrives at every rank, at the root's rate.
    for limit, (right, count, lowest, highest, multiprocessors, elapsed) in zip(
        (4_000_000, 16_000_000, 1_000_000_000), root["arrives"]["seen"], strict=True
    ):
        assert (right, count, lowest, highest, multiprocessors) == (True, SIZE, limit, limit, 0)
        assert elapsed >= (SIZE - max(65536, 0.05 * limit)) / limit
    for other in others:
        assert [row[:5] for row in other["arrives"]["seen"]] == [row[:5] for row in root["arrives"]["seen"]]

    # A sender that is held for longer than the ranks wait for each other, 3 s, loses no receiver.
    assert root["held"]["seen"][1] >= 1.2 * 3.0
    assert all(other["held"]["seen"] == [SIZE, 0.0, True] for other in others)

    # Arenas of different sizes are refused everywhere.
    for rank in (root, *others):
        assert rank["sizes"]["error"] == "BadOption"
        assert f"[{SIZE}, {SIZE + 1}, {SIZE + 2}]" in rank["sizes"]["message"]

    # Swapped ends are refused, and both ends, and the next copy works.
    assert all(rank["ends"]["seen"] == [["BadOption", "BadOption"], SIZE] for rank in (root, *others))

    # A receiver that is closed has the whole arena first.
    assert all(rank["leaves"]["seen"] == [SIZE, True] for rank in (root, *others))

    # A sender that is closed says so.
    assert root["closed"]["error"] == "Closed"
    for other in others:
        assert other["closed"]["error"] == "PeerLost"
        assert "gave up" in other["closed"]["message"]


@pytest.mark.slow
def test_a_sender_that_dies_is_noticed(tmp_path):
    _, receiver = play(tmp_path, 2, "killed")
    assert receiver["killed"]["error"] == "PeerLost"
    assert receiver["killed"]["elapsed"] < 30


def test_it_opens_only_in_a_process_group():
    with pytest.raises(Closed, match="init_process_group"):
        GlooCopier().open()


@pytest.mark.parametrize(
    ("options", "name"), [({"root": -1}, "root"), ({"timeout": 0.0}, "timeout"), ({"levels": ()}, "levels")]
)
def test_options_that_make_no_broadcast_are_refused(options, name):
    with pytest.raises(BadOption, match=name):
        GlooCopier(**options)
