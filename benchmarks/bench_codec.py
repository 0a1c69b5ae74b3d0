"""What pictures of the shipped environment cost on their way into a block and out of it: bytes and time, for each coding.

`python -m benchmarks.bench_codec` writes the table.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import pytest

from benchmarks.buffer_content import CAMERAS, CHUNK, SIGMA, episodes, render
from benchmarks.machine import describe, keep
from user_gym.core import Chunk
from user_gym.system import check
from user_gym.system.buffer.block import Block, read_block
from user_gym.system.buffer.codec import RAW, Coding, encode
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.items import row_bytes
from user_gym.system.buffer.segment import Segment
from user_gym.system.buffer.trial import LZ4, ZSTD, Trial

CODINGS = (
    RAW,
    LZ4[0],
    Coding("key-lz4", 4),
    LZ4[1],
    Coding("previous-lz4", 4),
    LZ4[2],
    *ZSTD,
    Coding("jpeg", quality=95),
)
KINDS = ("clean", "noisy")


def chunks(kind: str, transitions: int, renders: Path | None) -> Iterator[tuple[Chunk, bool]]:
    """The common experience in chunks of a second, and whether each follows the one before."""
    for episode in episodes(kind, transitions, str(renders or "")):
        for sequence, (begin, end) in enumerate(pairwise([*range(0, len(episode), CHUNK), len(episode)])):
            steps = end - begin
            yield (
                Chunk(
                    source="bench",
                    episode=episode.number,
                    sequence=sequence,
                    robot="franka-fr3",
                    task="peg-insert",
                    kind="policy",
                    obs={name: column[begin : end + 1] for name, column in episode.obs.items()},
                    action=episode.action[begin:end],
                    ordered=episode.action[begin:end],
                    reward=episode.reward[begin:end],
                    terminated=episode.terminated[begin:end],
                    truncated=episode.truncated[begin:end],
                    success=episode.terminated[begin:end],
                    policy_version=np.zeros(steps, np.int64),
                    is_intervention=np.zeros(steps, np.bool_),
                    reward_source=("rule",) * steps,
                    time=np.arange(begin + 1, end + 1) * 0.1,
                    wall_time=1.7e9,
                    env_id="User/PegInsert-sim-v0",
                ),
                sequence > 0,
            )


class _Fixed(Encoder):
    """An encoder that is told the coding of every picture."""

    def __init__(self, coding: Coding) -> None:
        lossy = dict.fromkeys(CAMERAS, coding.quality) if coding.name == "jpeg" else None
        super().__init__(lossy=lossy)
        self._candidates = ()
        self._told = coding

    def _plan(self, chunk: Chunk) -> Any:
        plan = super()._plan(chunk)
        for number, how in plan.heavy.items():
            if isinstance(how, Trial):
                plan.heavy[number] = self._told  # pyright: ignore[reportIndexIssue]
        return plan


def raw_bytes(chunk: Chunk, follows: bool) -> int:
    """Of its columns: T + 1 rows of an episode's observations, T of the others, whatever the cut into chunks."""
    rows = sum(column.nbytes // len(column) * (len(column) - follows) for column in chunk.obs.values())
    names = ("action", "ordered", "reward", "terminated", "truncated", "success", "policy_version", "is_intervention", "time")
    return rows + sum(getattr(chunk, name).nbytes for name in names)


def timed(call: Callable[[], Any]) -> float:
    """Seconds of this thread on a core: others may want it too."""
    began = thread_time()
    call()
    return thread_time() - began


def coding_table(renders: Path, transitions: int, rounds: int) -> str:
    """Bytes and times of each coding, by camera."""
    lines = ["| camera | pictures | coding | keyframe | bytes / raw | encode MB/s | decode a pair, us |", "|" + " --- |" * 7]
    for camera in CAMERAS:
        for kind in KINDS:
            given = [
                (Chunk(**{**_fields(chunk), "obs": {camera: chunk.obs[camera]}}), follows)
                for chunk, follows in chunks(kind, transitions, renders)
            ]
            lines += _codings(camera, kind, given, rounds)
    return "\n".join(lines)


def _codings(camera: str, kind: str, given: list[tuple[Chunk, bool]], rounds: int) -> list[str]:
    key, rng = f"obs.{camera}", np.random.default_rng(0)
    out = np.empty((2, *given[0][0].obs[camera].shape[1:]), np.uint8)
    sizes = {coding: 0 for coding in CODINGS}
    coded: Mapping[Coding, list[float]] = {coding: [] for coding in CODINGS}
    pairs: Mapping[Coding, list[float]] = {coding: [] for coding in CODINGS}
    encoders = {coding: _Fixed(coding) for coding in CODINGS}
    for chunk, follows in given:
        rows = np.ascontiguousarray(chunk.obs[camera][int(follows) :]).reshape(len(chunk) + 1 - follows, -1)
        for coding in CODINGS:
            block = encoders[coding].encode(chunk, follows)
            begin, end = block.head.items.span(0, len(chunk))
            sizes[coding] += end - begin
            coded[coding].append(
                rows.nbytes / timed(lambda rows=rows, coding=coding: list(encode(rows, coding, out.shape[1:])))
            )
        if len(chunk) < 3:
            continue
        blocks = {coding: encoders[coding].encode(chunk, follows) for coding in CODINGS}
        for _ in range(rounds):
            row = int(rng.integers(int(follows), len(chunk)))
            for coding, block in blocks.items():
                span = block.head.items.span(row, row + 1)
                data = memoryview(block.data)[slice(*span)]
                decode = block.head.items.decode
                pairs[coding].append(timed(lambda: decode(data, span[0], [row, row + 1], {key: row_bytes(out)})))  # noqa: B023
    raw = sum(chunk.obs[camera][0].nbytes * (len(chunk) + 1 - follows) for chunk, follows in given)
    return [
        f"| {camera} | {kind} | {coding.name}{' (lossy)' if coding.quality else ''} | {coding.keyframe} | "
        f"{sizes[coding] / raw:.3f} | {median(coded[coding]) / 1e6:.0f} | {median(pairs[coding]) * 1e6:.1f} |"
        for coding in CODINGS
    ]


def block_table(renders: Path, transitions: int) -> str:
    """What an encoder makes of the whole experience by itself: all columns, heads and tables."""
    lines = ["| experience | codings it chose (wrist, side) | bytes / raw | raw bytes of a transition |", "|" + " --- |" * 4]
    for kind in KINDS:
        for zstd in (False, True):
            encoder, size, raw, steps, names = Encoder(zstd=zstd), 0, 0, 0, {}
            for chunk, follows in chunks(kind, transitions, renders):
                block = encoder.encode(chunk, follows)
                size, raw, steps = size + len(block.data), raw + raw_bytes(chunk, follows), steps + len(chunk)
                for key, column in block.head.layout.heavy.items():
                    names.setdefault(key, set()).add(column.coding.name)
            chose = ", ".join(" or ".join(sorted(names[f"obs.{camera}"])) for camera in CAMERAS)
            lines.append(f"| {kind}{', zstd allowed' if zstd else ''} | {chose} | {size / raw:.4f} | {raw / steps:.0f} |")
    return "\n".join(lines)


def durable_table(renders: Path, transitions: int, folder: Path, rounds: int) -> str:
    """Encode, append and fdatasync beside a bare write and fdatasync of as many raw bytes; and an encoder alone."""
    lines = ["| experience | bare write + fdatasync, MB/s | encode + append + fdatasync, MB/s of raw | ratio | encode, CPU |"]
    lines.append("|" + " --- |" * 5)
    for kind in KINDS:
        given = list(chunks(kind, transitions, renders))[:30]
        rates = np.array([_durable(given, folder / "file") for _ in range(rounds)])
        bare, ours, alone = np.median(rates, axis=0) / 1e6
        ratio = np.median(rates[:, 1] / rates[:, 0])
        lines.append(f"| {kind} | {bare:.0f} | {ours:.0f} | {ratio:.2f} | {alone:.0f} MB/s |")
    return "\n".join(lines)


def _durable(given: list[tuple[Chunk, bool]], path: Path) -> tuple[float, float, float]:
    """Raw bytes per second of a bare file, of a segment, and of an encoder that writes nothing."""
    raws = [raw_bytes(*one) for one in given]
    noise = memoryview(os.urandom(max(raws)))
    with path.open("wb", buffering=0) as file:
        began = perf_counter()
        for size in raws:
            file.write(noise[:size])
            os.fdatasync(file.fileno())
        bare = sum(raws) / (perf_counter() - began)
    path.unlink()
    encoder = Encoder()
    with Segment.create(path) as segment:
        began = perf_counter()
        for one in given:
            segment.append(encoder.encode(*one).data)
            segment.sync()
        ours = sum(raws) / (perf_counter() - began)
    path.unlink()
    encoder = Encoder()
    return bare, ours, sum(raws) / timed(lambda: [encoder.encode(*one) for one in given])


def state_table(rounds: int) -> str:
    """Blocks without pictures."""
    lines = ["| steps of a block | bytes | encode, us | of it `system.check` | read the block back, us | steps/s encoded |"]
    lines.append("|" + " --- |" * 6)
    whole = next(episodes("state", 1))
    for steps in (10, 50):
        given, _ = next(iter(chunks("state", 1, None)))
        if steps == len(whole):
            given = _joined([chunk for chunk, _ in chunks("state", 1, None)])
        encoder = Encoder()
        block: Block = encoder.encode(given)
        calls = {"encode": lambda: encoder.encode(given), "check": lambda: check(given), "read": lambda: read_block(block.data)}  # noqa: B023
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(timed(call))
        us = {name: median(taken) * 1e6 for name, taken in times.items()}
        rate = len(given) / us["encode"] * 1e6
        lines.append(
            f"| {len(given)} | {len(block.data)} | {us['encode']:.0f} | {us['check']:.0f} | {us['read']:.0f} | {rate:,.0f} |"
        )
    return "\n".join(lines)


def _fields(chunk: Chunk) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in Chunk.__slots__}


def _joined(parts: list[Chunk]) -> Chunk:
    fields = _fields(parts[0])
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            fields[name] = np.concatenate([getattr(part, name) for part in parts])
    obs = {name: [part.obs[name][1:] for part in parts[1:]] for name in parts[0].obs}
    fields["obs"] = {name: np.concatenate([parts[0].obs[name], *rest]) for name, rest in obs.items()}
    fields["reward_source"] = ("rule",) * sum(map(len, parts))
    return Chunk(**fields)


def bench_codec(tmp_path: Path) -> None:
    """Every part once, small."""
    pytest.importorskip("zstandard")
    pytest.importorskip("PIL")
    assert measure(tmp_path, transitions=40, rounds=1).count("| noisy") > 20


def measure(folder: Path, transitions: int, rounds: int) -> str:
    """All tables."""
    renders = render(folder, transitions)
    return "\n\n".join(
        (
            "## Codings, chunks of 10 steps, cameras of 128 x 128 x 3\n\nBytes of the items alone. A pair is two neighbouring "
            "rows, as a sampler draws them, with the CRC of each item that is read. Raw rows are not touched before the block "
            "is put together: that copy is in the encoder's figure below.",
            coding_table(renders, transitions, rounds),
            "## Blocks\n\nAll columns, heads, tables and padding, against the columns alone, each observation once.",
            block_table(renders, transitions),
            durable_table(renders, transitions, folder, max(rounds, 1)),
            "## Blocks without pictures: 19 numbers of state, 6 of action",
            state_table(200 * rounds),
        )
    )


def main() -> None:
    """Measure, and keep."""
    began = describe()
    with tempfile.TemporaryDirectory() as folder:
        text = measure(Path(folder), transitions=400, rounds=5)
    about = (
        f'{began}. Rendered by `User/PegInsert-sim-v0`, obs="pixels", half of the episodes random, half the expert\'s; noisy: '
        f"the same with sensor noise of {SIGMA} grey levels. Codings take turns; medians; CPU time, but for writes."
    )
    keep("buffer_codecs", f"# Codings of pictures\n\n{about}\n\n{text}")


if __name__ == "__main__":
    main()
