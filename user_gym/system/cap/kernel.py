"""The copy kernel: as many programs as may run, each striding through the arena. Importing it needs triton.

A program (CTA) runs on one multiprocessor from its begin to its end, so a grid of k programs occupies at most k of them.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = 1 << 15  # bytes that a program moves at a time: 16 warps x 32 threads x four loads of 16 bytes
WARPS = 16


@triton.jit(do_not_specialize=["count"])  # one compilation serves pieces of every size
def copy_bytes(source, target, where, count, BLOCK: tl.constexpr, RECORD: tl.constexpr):
    """Copy `count` bytes; with RECORD, program i writes the number of its multiprocessor to where[i]."""
    me = tl.program_id(0).to(tl.int64)
    if RECORD:
        multiprocessor = tl.inline_asm_elementwise("mov.u32 $0, %smid;", "=r", [], dtype=tl.int32, is_pure=False, pack=1)
        tl.store(where + me, multiprocessor)
    stride = tl.num_programs(0).to(tl.int64) * BLOCK
    begin = me * BLOCK
    within = tl.arange(0, BLOCK)
    # evict_first: weights that pass through once should not push the working set of inference out of the L2 cache.
    while begin + BLOCK <= count:
        piece = tl.load(source + begin + within, eviction_policy="evict_first")
        tl.store(target + begin + within, piece, eviction_policy="evict_first")
        begin += stride
    if begin < count:  # at most one program comes to the last, partial block
        inside = begin + within < count
        tl.store(target + begin + within, tl.load(source + begin + within, mask=inside), mask=inside)
