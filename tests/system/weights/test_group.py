"""Weights over torch.distributed, by gloo between real processes."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from user_gym.errors import BadOption

pytest.importorskip("torch")

CHILD = Path(__file__).with_name("group_child.py")
RANKS = 3


def test_every_rank_gets_the_source_s_weights_bit_for_bit_also_under_a_cap_and_notices_a_rank_that_is_gone():
    """In one test, since three processes that load torch are most of what it costs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        subprocess.Popen([sys.executable, CHILD, str(rank), str(port)], stdout=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    try:
        said = [process.communicate(timeout=60)[0].splitlines() for process in ranks]
    finally:
        for process in ranks:
            process.kill()
            process.wait(10)
    assert [line.split()[0] for line in said[0]] == ["3", "3", "PeerLost"]
    assert said == [said[0], said[0], said[0][:2]], "the last one is gone"


def test_without_a_process_group_it_says_so():
    from user_gym.system.weights.group import Group

    with pytest.raises(BadOption, match="init_process_group first"):
        Group()


def test_the_package_without_it_needs_no_torch():
    code = "import sys, user_gym.system.weights; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert not {"torch", "zstandard"} & set(loaded)
