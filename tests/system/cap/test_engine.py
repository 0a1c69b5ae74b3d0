"""Copy engines: what is refused without a GPU, and the driver's function by its own header."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch comes with the extra 'gpu'")

import torch

from user_gym.errors import BadOption, MissingSystem
from user_gym.system.cap import Unit
from user_gym.system.cap.driver import overlapped_copy
from user_gym.system.cap.engine import EngineCopier

# A driver that does what cuda.h says, and tells what it was asked for: code 7 unless the attributes are right.
DRIVER = """
#include <string.h>
#include <cuda.h>
#undef cuMemcpyBatchAsync
CUresult NAME(CUdeviceptr *to, CUdeviceptr *from, size_t *sizes, size_t count, CUmemcpyAttributes *attrs, size_t *first,
              size_t numAttrs, MORE CUstream stream) {
  if (count != 1 || numAttrs != 1 || first[0] != 0 || stream != (CUstream)0x1234) return 5;
  if (attrs->srcAccessOrder != CU_MEMCPY_SRC_ACCESS_ORDER_STREAM) return 6;
  if (attrs->flags != CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE) return 7;
  if (attrs->srcLocHint.type || attrs->srcLocHint.id || attrs->dstLocHint.type || attrs->dstLocHint.id) return 8;
  memcpy((void *)to[0], (void *)from[0], sizes[0]);
  return CUDA_SUCCESS;
}
"""


@pytest.fixture
def build(tmp_path):
    """A driver's library whose function has this name, and these parameters more."""
    triton = pytest.importorskip("triton", reason="triton, which brings cuda.h, comes with the extra 'gpu'")
    headers = Path(triton.__file__).parent / "backends" / "nvidia" / "include"
    compiler = shutil.which("cc")
    if compiler is None or not (headers / "cuda.h").exists():
        pytest.skip("needs a C compiler and the cuda.h that triton brings")

    def run(name, more):
        source, library = tmp_path / "driver.c", tmp_path / "driver.so"
        source.write_text(DRIVER)
        flags = ["-shared", "-fPIC", f"-DNAME={name}", f"-DMORE={more}", f"-I{headers}"]
        subprocess.run([compiler, *flags, source, "-o", library], check=True, timeout=60)
        return str(library)

    return run


@pytest.mark.parametrize(("name", "more"), [("cuMemcpyBatchAsync", "size_t *failed,"), ("cuMemcpyBatchAsync_v2", "")])
def test_both_versions_of_the_drivers_function_are_called_as_its_header_says(build, name, more):
    enqueue = overlapped_copy(build(name, more))
    source, target = torch.randint(0, 256, (5001,), dtype=torch.uint8), torch.zeros(5001, dtype=torch.uint8)
    enqueue(target.data_ptr(), source.data_ptr(), 5001, 0x1234)
    assert torch.equal(source, target)
    with pytest.raises(MissingSystem, match="CUresult 5"):
        enqueue(target.data_ptr(), source.data_ptr(), 5001, 0x4321)


def test_a_driver_that_is_too_old_says_which_is_not(build):
    with pytest.raises(MissingSystem, match="570"):
        overlapped_copy(build("cuMemcpyAsyncOnly", ""))


def test_no_driver_is_named():
    with pytest.raises(MissingSystem, match="no CUDA driver"):
        overlapped_copy("libcuda-that-is-not-there.so")


def test_an_engine_belongs_to_a_gpu():
    with pytest.raises(BadOption, match="MemoryCopier"):
        EngineCopier("cpu")
    copier = EngineCopier("cuda:0", (1_000_000,))
    assert copier.unit is Unit.BYTES_PER_SECOND
    assert copier.multiprocessors == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(MissingSystem, match="MemoryCopier"):
        EngineCopier().open()
