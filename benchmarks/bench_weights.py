"""Weights: how long they stop a learner and a policy, how few bytes they travel in, and what it costs to code them.

    python -m benchmarks.bench_weights            # all of it, and results/weights.md; ten minutes, 4 GB
    python -m benchmarks.bench_weights --small    # without the 126 M parameters; keeps nothing

Times are medians; what is compared takes turns. Coding is measured in time of the thread, and by the clock.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.machine import RESULTS, describe, keep
from benchmarks.weight_coding import RECEIVERS, Coded, coding, for_several, of_noise, rounding
from benchmarks.weight_stopped import ROUNDS, SETS, Stopped, stopped

MOST_STOPPED = 1.1  # times a copy
MOST_WORK = 8e-9  # s for each parameter, of the thread, to encode and to decode
MOST_BYTES = {  # for each parameter, by learning rate: consecutive updates, ten apart
    3e-4: (0.34, 0.50),
    3e-5: (0.18, 0.29),
}

STOPPED = """{began}; at the end: {ended}. {missed}

Medians, ms, taking turns with a copy of the same float32 tensors into one piece of memory, {rounds} times with new memory. The
bar of {most} is on the ratio of medians; the last column is the median of ratios of single turns. Of each turn the second of
two is timed. Readers are processes that act at 20 Hz and read every version; the copy is timed right after a publication then,
while they read. Where a thread encodes, it does so all the time, beside the copies too.

| parameters | what | ms | copy, ms | ratio, <= {most} | median of ratios |
| --- | --- | --- | --- | --- | --- |
{rows}"""

CODED = """{began}; at the end: {ended}. {missed}

Bytes for each parameter, head and all (whole bfloat16: 2.0), and their bar; entropy: that of the differences where the old
values' exponents are known, which no coder that looks at nothing else can beat; int8: the same differences as int8 + zstd-1;
COO: RLinf's patch. ns for each parameter, bar {work:.0f}: time of the thread that codes, and by the clock while other programs
wanted the cores too. 0 -> 1 is the first step of Adam, which moves every parameter by the learning rate.

| network | parameters | rate | steps | ours | bar | entropy | int8 | COO | encode | by the clock | decode | by the clock |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

- Networks: ten critics and the actor of the RLPD baseline by its own updates; `mlp`: torch's layers and initial weights, four,
  1150 wide, regression; `transformer`: GPT-2's size, 52304 words, next-word loss (`benchmarks/weight_training.py`).
{rest}"""

PARTS = {"stopped": "Learner and policy stopped", "coding": "Bytes and times of differences"}
NOISE = 0.05  # that a ratio of two equal times may have


def mark(value: float, most: float, form: str = ".2f") -> str:
    """A figure, and whether it misses its bar."""
    return f"{value:{form}}" if float(f"{value:{form}}") <= most else f"{value:{form}} MISSED"


def stopped_row(row: Stopped) -> str:
    """Of the first table."""
    times = f"{row.seconds * 1e3:.3f} | {row.copy * 1e3:.3f}"
    return f"| {row.label} | {row.what} | {times} | {mark(row.ratio, MOST_STOPPED)} | {row.turns:.2f} |"


def coded_row(row: Coded) -> str:
    """Of the second table."""
    most = MOST_BYTES[row.learning_rate][row.step - row.before > 1] if row.learning_rate in MOST_BYTES else np.inf
    work = " | ".join(
        f"{mark(thread * 1e9, MOST_WORK * 1e9, '.1f')} | {clock * 1e9:.1f}" for thread, clock in (row.encode, row.decode)
    )
    return (
        f"| {row.name} | {row.parameters / 1e6:.1f} M | {row.learning_rate:g} | {row.before} -> {row.step} "
        f"| **{mark(row.nbytes, most, '.3f')}** | {most:.2f} | {row.entropy:.3f} | {row.int8:.2f} | {row.coo:.2f} | {work} |"
    )


def stops(sets: Sequence[str], repetitions: int) -> list[str]:
    """Rows of these sets of weights."""
    rows = []
    for label in sets:
        for row in stopped(label, repetitions if "126" not in label else max(1, repetitions // 8)):
            rows.append(stopped_row(row))
            print(rows[-1], flush=True)
    return rows


def codes(small: bool) -> list[str]:
    """Rows of every network and learning rate."""
    import torch

    from benchmarks import weight_training as training

    torch.set_num_threads(1)
    rows = []
    for train in (training.critics, training.actor, training.mlp, *([] if small else [training.transformer])):
        for rate in MOST_BYTES:
            for row in coding(train.__name__, rate, train(rate), 3 if train is training.transformer else 9):
                rows.append(coded_row(row))
                print(rows[-1], flush=True)
    return rows


def others() -> str:
    """What is no table."""
    from benchmarks.weight_training import mlp

    several, one, many = for_several(mlp(3e-4))
    noise, whole = of_noise(1_000_000)
    ns = rounding(2_600_000, 21) * 1e9
    return (
        f"- To round float32 to bfloat16 before that takes {ns:.1f} ns of the thread for each parameter.\n"
        f"- Encoding for {RECEIVERS} receivers takes {mark(several, 1.0 + NOISE)} times one receiver's time (bar 1.0, {NOISE}\n"
        f"  more for noise); {many} blobs were made for {RECEIVERS} of them, and {one} for one.\n"
        f"- From random patterns to others, the blob has {mark(noise, whole, '.0f')} bytes; whole with its head, {whole}."
    )


def bench_weights_travel_whole_and_in_differences(benchmark):
    noise = iter([{"w": np.random.default_rng(k).standard_normal(1000, np.float32)} for k in range(21)])
    rows = benchmark.pedantic(lambda: [coded_row(row) for row in coding("noise", 0.0, noise, 1)], rounds=1)
    assert len(rows) == 4
    assert len(stops(["2.7 M, eight tensors"], 1)) == 6


def main() -> None:
    """Measure, and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="without the 126 M parameters")
    parser.add_argument("--part", choices=tuple(PARTS), help="renew one table; both where not given")
    parser.add_argument("--repetitions", type=int, default=41, help="turns in each round of what is stopped")
    options = parser.parse_args()
    for part in [options.part] if options.part else PARTS:
        began, rest = describe(), ""
        if part == "stopped":
            rows = stops([label for label in SETS if not (options.small and "126" in label)], options.repetitions)
        else:
            rows, rest = codes(options.small), others()
            print(rest)
        if not options.small:
            renew(part, began, rows, rest)


def renew(part: str, began: str, rows: list[str], rest: str) -> None:
    """Put a part into the result; the other one stays as it was measured."""
    path = RESULTS / "weights.md"
    titles, said = list(PARTS.values()), (path.read_text() if path.exists() else "# Weights").strip()
    sections = dict(zip(titles, [""] * len(titles), strict=True))
    sections |= {title: text.strip() for title, _, text in (one.partition("\n") for one in said.split("\n\n## ")[1:])}
    missed = ("\n".join(rows) + rest).count("MISSED")
    sections[PARTS[part]] = (STOPPED if part == "stopped" else CODED).format(
        began=began, ended=describe(), missed=f"**Bars missed: {missed}.**" if missed else "**All bars are kept.**",
        rows="\n".join(rows), rest=rest, rounds=ROUNDS, most=MOST_STOPPED, work=MOST_WORK * 1e9,
    )  # fmt: skip
    keep("weights", "\n\n".join(["# Weights", *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]))


if __name__ == "__main__":
    main()
