"""Compile the copy kernel for a GPU that need not be there: `python compile_copy.py CAPABILITY`; prints JSON.

In a process of its own, since Triton's interpreter changes the language for the whole process.
"""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from user_gym.system.cap import kernel

SIGNATURE = {"source": "*u8", "target": "*u8", "where": "*i32", "count": "i32", "BLOCK": "constexpr", "RECORD": "constexpr"}


def main(capability):
    source = ASTSource(
        kernel.copy_bytes,
        SIGNATURE,
        constexprs={"BLOCK": kernel.BLOCK, "RECORD": True},
        attrs={(0,): [["tt.divisibility", 16]], (1,): [["tt.divisibility", 16]]},
    )
    options = {"num_warps": kernel.WARPS, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    lines = compiled.asm["ptx"].splitlines()
    found = {
        "wide_loads": len([line for line in lines if "ld.global" in line and ".v4.b32" in line]),
        "wide_stores": len([line for line in lines if "st.global" in line and ".v4.b32" in line]),
        "smid": len([line for line in lines if "%smid" in line]),
        "shared": compiled.metadata.shared,
        "elf": compiled.asm["cubin"][:4] == b"\x7fELF",
        "bytes_of_wide_loads_of_a_program": 16 * 32 * kernel.WARPS,
        "block": kernel.BLOCK,
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
