"""The copy kernel: in Triton's interpreter on a CPU, and compiled for GPUs that are not there."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from copier_suite import LEVELS, CopierSuite

from user_gym.errors import BadOption, MissingSystem
from user_gym.system.cap import Unit

pytest.importorskip("torch", reason="torch comes with the extra 'gpu'")
pytest.importorskip("triton", reason="triton comes with the extra 'gpu'")

import torch

import user_gym.system.cap as cap
from user_gym.system.cap.persistent import PersistentCopier

KERNEL = Path(cap.__file__).with_name("kernel.py")


def kernel(monkeypatch):
    """The module, loaded anew: triton decides at the decorator that a function is interpreted."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.spec_from_file_location("copy_kernel_under_test", KERNEL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestPersistentCopier(CopierSuite):
    @pytest.fixture(autouse=True)
    def interpreter(self, monkeypatch):
        module = kernel(monkeypatch)
        monkeypatch.setitem(sys.modules, "user_gym.system.cap.kernel", module)
        monkeypatch.setattr(cap, "kernel", module, raising=False)

    def make(self, levels, limit=None, **clock):
        return PersistentCopier("cpu", levels, limit, piece=4096, **clock)

    def arena(self, values):
        return torch.from_numpy(np.array(values))

    def test_the_limit_is_in_multiprocessors(self, copier):
        assert copier.unit is Unit.MULTIPROCESSORS
        copier.limit = 16
        assert copier.multiprocessors == 16
        source, target = self.pair(5)
        assert copier.copy(source, target).multiprocessors is None  # the interpreter has none to count

    def test_tensors_of_any_type_are_bytes_to_it(self, copier):
        source, target = torch.randn(333, 7, dtype=torch.bfloat16), torch.zeros(333, 7, dtype=torch.bfloat16)
        assert copier.copy(source, target).bytes == 333 * 7 * 2
        assert torch.equal(source, target)

    def test_a_tensor_that_is_scattered_is_refused(self, copier):
        with pytest.raises(BadOption, match="contiguous"):
            copier.copy(torch.zeros(4, 4).t(), torch.zeros(4, 4))

    @pytest.mark.parametrize("piece", [0, 8, 17])
    def test_a_piece_that_would_break_the_alignment_is_refused(self, piece):
        with pytest.raises(BadOption, match="piece"):
            PersistentCopier("cpu", LEVELS, piece=piece)


def test_different_multiprocessors_are_counted_by_piece(monkeypatch):
    """With a kernel that says where it ran: program i of a piece on multiprocessor i modulo 3, other ones for each piece."""
    began = []

    class Kernel:
        BLOCK, WARPS = 1, 1

        def __init__(self):
            self.copy_bytes = self

        def __getitem__(self, grid):
            def launch(source, target, where, count, **_):
                target.copy_(source)
                where.copy_(100 * len(began) + torch.arange(grid[0], dtype=torch.int32) % 3)
                began.append(grid)

            return launch

    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(cap, "kernel", Kernel(), raising=False)
    monkeypatch.setitem(sys.modules, "user_gym.system.cap.kernel", cap.kernel)
    copier = PersistentCopier("cpu", (1, 2, 8), piece=16)
    with copier:
        copier._records = True
        source, target = torch.arange(100, dtype=torch.uint8), torch.zeros(100, dtype=torch.uint8)
        for limit, seen in ((1, 1), (2, 2), (8, 3)):
            copier.limit = limit
            began.clear()
            assert copier.copy(source, target).multiprocessors == seen
            assert set(began) == {(limit,)}  # the grid is the limit
    assert torch.equal(source, target)


def test_a_cpu_is_refused_outside_the_interpreter(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(BadOption, match="MemoryCopier"):
        PersistentCopier("cpu").open()


@pytest.mark.parametrize("programs", LEVELS)
@pytest.mark.parametrize("blocks", [0, 1, 3, 40])
def test_the_kernel_copies_arenas_of_odd_sizes_and_writes_nothing_else(programs, blocks, monkeypatch):
    module = kernel(monkeypatch)
    for rest in (0, 1, 15, module.BLOCK - 1):
        count = blocks * module.BLOCK + rest
        if count == 0:
            continue
        source = torch.randint(0, 256, (count,), dtype=torch.uint8)
        target = torch.full((count + 64,), 7, dtype=torch.uint8)
        where = torch.full((programs,), -1, dtype=torch.int32)
        module.copy_bytes[(programs,)](source, target, where, count, BLOCK=module.BLOCK, RECORD=False)
        assert torch.equal(target[:count], source)
        assert (target[count:] == 7).all()
        assert (where == -1).all()


@pytest.mark.parametrize("capability", [80, 90])
def test_compiled_it_moves_sixteen_bytes_at_a_time_and_asks_for_its_multiprocessor(capability, tmp_path):
    environ = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(Path(__file__).with_name("compile_copy.py")), str(capability)]
    result = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["wide_loads"] * found["bytes_of_wide_loads_of_a_program"] == found["block"]  # a whole block in flight
    assert found["wide_stores"] == found["wide_loads"]
    assert found["smid"] == 1
    assert found["shared"] == 0
    assert found["elf"]


def test_behind_an_llvm_of_others_it_is_an_error_and_no_death(monkeypatch):
    maps = Path("/proc/self/maps")
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: "/usr/lib/libLLVM-15.so.1" if path == maps else read(path))
    monkeypatch.delitem(sys.modules, "triton")
    with pytest.raises(MissingSystem, match="import triton before the first picture"):
        PersistentCopier("cpu", (1,)).open()
