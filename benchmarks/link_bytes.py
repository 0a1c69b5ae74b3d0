"""What travels by default against what devices say: real recorder, spool, socket and hub; the same lossless codec for both.

python -m benchmarks.link_bytes            # writes results/link_bytes.md
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe, keep
from benchmarks.native_cell import NATIVE, SIGMA, NativeCell, native_rate
from user_gym.system.buffer import Buffer
from user_gym.system.chunk import ChunkBuilder
from user_gym.system.link.edge import Edge, Spool
from user_gym.system.link.hub import BufferStore, Hub
from user_gym.system.link.raw import Archive
from user_gym.system.link.raw.marking import Marking
from user_gym.system.link.raw.rows import Labels
from user_gym.system.link.relay import Relay

EPISODES, STEPS = 4, 50  # of 5 s each
_TIMEOUT = 300.0  # s


@dataclass(frozen=True, slots=True)
class Bytes:
    """Of one run. All per second of robot time."""

    seconds: float  # of robot time
    native: float  # raw blocks in the edge's archive
    dropped: int  # raw samples
    wire: float  # all that went up the edge's connection: beats, heads and acknowledgements included
    training: float  # blocks of the training group
    columns: dict[str, Any]  # of the training group, as Costs.facts says
    raw_columns: dict[str, Any]  # of the raw group


def run(folder: Path, zstd: bool) -> Bytes:
    """Collect a few episodes."""
    env, rng = NativeCell(steps=STEPS), np.random.default_rng(1)
    with (
        Buffer.open(folder / "buffer", durability="kill") as buffer,
        Hub(store=BufferStore(buffer)) as hub,
        Relay(f"127.0.0.1:{hub.port}") as relay,
        Spool.open(folder / "spool", durability="kill") as spool,
        Archive.open(folder / "raw", spare_bytes=0) as archive,
        Edge(relay.address, spool, name="e1", archive=archive, zstd=zstd) as edge,
    ):
        edge.wait(_TIMEOUT)
        recorder = edge.record("robot", env.raw_sources, Labels())
        assert recorder is not None
        before = relay.carried[0]
        with recorder:
            builder = Marking(ChunkBuilder("e1/robot", "franka-fr3", "PegInsert"), recorder)
            for episode in range(EPISODES):
                obs, info = env.reset()
                builder.start(obs, episode, info["time"])
                over = False
                while not over:
                    action = rng.uniform(-1, 1, 6).astype(np.float32)
                    obs, reward, _, over, info = env.step(action)
                    if (chunk := builder.add(action, reward, False, over, info, obs, 0)) is not None:
                        edge.outlet.put(chunk)
        assert edge.flush(_TIMEOUT)
        env.close()
        facts, costs = recorder.facts(), edge.outlet.costs.facts()
        seconds = EPISODES * STEPS / 10
        assert len(buffer) == EPISODES * STEPS
        dropped = sum(stream["dropped"] for stream in facts["streams"].values())
        for episode in range(EPISODES):  # each has T + 1 rows at the rate of control, and as many native ones as there were
            assert dropped or len(archive.stream("e1/robot", episode, "state")) == 100 * STEPS + 1
        return Bytes(
            seconds, archive.nbytes / seconds, dropped, (relay.carried[0] - before) / seconds,
            costs["steps"] * costs["after"] / seconds, costs["columns"], recorder.costs.facts()["columns"],
        )  # fmt: skip


def table(runs: dict[str, Bytes]) -> str:
    """As markdown."""
    plain = native_rate()
    lines = [
        "# What travels, and what stays", "",
        f"{describe()}. {EPISODES} episodes of {STEPS / 10:.0f} s: two cameras of {NATIVE[1]} x {NATIVE[0]} at 30 Hz with "
        f"sensor noise of {SIGMA} grey levels, drawn from the shipped task; a state of 40 numbers at 1 kHz. They say "
        f"{plain / 1e6:.1f} MB/s before coding. By default two pictures of 128 x 128, made of the same frames as those of a "
        "real camera are, and 19 numbers travel at 10 Hz, lossless, T + 1 rows for T steps. The native streams stay in the "
        "edge's archive: each sample once, from the one that an episode begins with to that of its last step, as T + 1 rows "
        "are. The same encoder, the buffer's, for both.", "",
        "## bytes", "",
        "| codec | native streams, kB/s | travels, kB/s on the wire | blocks of it, kB/s | native / wire | samples dropped |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, one in runs.items():
        lines.append(
            f"| {name} | {one.native / 1e3:,.0f} | {one.wire / 1e3:,.1f} | {one.training / 1e3:,.1f} | "
            f"**{one.native / one.wire:.1f}** | {one.dropped} |"
        )
    lines += ["", "Wanted: 5 or more. On the wire: all bytes that left the edge, with heads, beats and acknowledgements.", ""]
    for name, one in runs.items():
        head = "| group | column | coding | bytes of a row | as coded |", "| --- | --- | --- | --- | --- |"
        lines += [f"### by column, {name}", "", *head]
        for group, columns in (("training", one.columns), ("raw", one.raw_columns)):
            for column, (before, after, coding) in columns.items():
                coded = "with light" if after is None else f"{after:,.1f}"
                lines.append(f"| {group} | {column} | {coding} | {before:,.1f} | {coded} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Both codecs."""
    runs: dict[str, Bytes] = {}
    for name, zstd in (("LZ4 (default)", False), ("LZ4 or Zstandard", True)):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            runs[name] = run(Path(folder), zstd)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    keep("link_bytes", table(runs))


if __name__ == "__main__":
    main()
