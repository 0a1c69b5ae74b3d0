"""Kill -9 at random moments: a process that stores at full speed dies again and again; what it was promised must be there.

    python -m benchmarks.kill_buffer --kills 200

Every second writer dies beside a process that reads, every third prunes and compacts while it appends. After each death the
store is opened, every acknowledged chunk is looked up, and what is new is decoded and compared with what was stored.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import numpy as np

from user_gym.core import Chunk
from user_gym.errors import Gone, WrongRun
from user_gym.system.buffer.block import Block
from user_gym.system.buffer.encoder import Encoder
from user_gym.system.buffer.store import Store

STEPS, SIDE, THREADS = 8, 48, 2
SEGMENT = 1 << 20  # bytes: small, so that many begin and end
PATIENCE = 60.0  # s for a process to begin
_NOISE = np.random.default_rng(0).integers(0, 256, (STEPS + 1, SIDE, SIDE, 3), dtype=np.uint8)

Key = tuple[str, int, int]


def made(source: str, episode: int, sequence: int) -> Chunk:
    """A chunk whose numbers tell its key."""
    rng = np.random.default_rng([len(source), episode, sequence])
    rows = np.arange(STEPS, dtype=np.float32)
    none = np.zeros(STEPS, bool)
    return Chunk(
        source=source, episode=episode, sequence=sequence, robot="franka-fr3", task="peg", kind="policy",
        obs={"image": _NOISE ^ np.uint8(rng.integers(256)), "state": rng.random((STEPS + 1, 7), np.float32)},
        action=np.stack([rows, rows], -1), ordered=np.stack([rows, rows], -1), reward=rows + 1000 * episode + sequence,
        terminated=none, truncated=none, success=none, policy_version=np.full(STEPS, episode), is_intervention=none,
        reward_source=("rule",) * STEPS, time=0.1 * rows.astype(float), wall_time=float(episode),
    )  # fmt: skip


def agrees(block: Block) -> bool:
    """Whether a block, decoded, is what was stored under its key."""
    chunk = block.chunk()
    meant = made(chunk.source, chunk.episode, chunk.sequence)
    pairs = [(chunk.obs[name], meant.obs[name]) for name in meant.obs] + [(chunk.reward, meant.reward)]
    return all(one.tobytes() == other.tobytes() for one, other in pairs)


def write(folder: str, first: int, durability: str, prunes: bool, descriptor: int) -> None:
    """The process that dies: says each acknowledged key, and what it is about to prune."""

    def say(text: str) -> None:
        os.write(descriptor, f"{text}\n".encode())

    store = Store.open(folder, durability=durability, segment_bytes=SEGMENT)
    say("open")

    def collect(source: str) -> None:
        encoder, episode = Encoder(), first
        while True:
            blocks = [encoder.encode(made(source, episode, sequence)) for sequence in range(3)]
            for answer, block in zip(store.append(blocks), blocks, strict=True):
                assert not answer.repeated
                say(f"stored {source} {episode} {block.head.sequence}")
            episode += 1

    for number in range(THREADS):
        Thread(target=collect, args=(f"writer-{number}",), daemon=True).start()
    while True:
        time.sleep(0.02)
        if prunes:
            gone = max(first - 20, 0)
            say(f"pruning {gone}")
            store.prune(f"episode < {gone} AND sequence > 0")
            store.compact(0.3)


def read(folder: str, descriptor: int) -> None:
    """A process that reads beside it until it is killed; says what was wrong."""
    rng = np.random.default_rng(0)
    os.write(descriptor, b"open\n")
    while True:
        try:
            with Store.open(folder, read_only=True) as store:
                for _ in range(20):
                    live = store.live
                    if len(live):
                        found, _ = store.locate(rng.integers(0, len(live), 4), live)
                        for row in range(len(found)):
                            if not agrees(store.read_block(found.entry(row))):
                                os.write(descriptor, b"wrong content\n")
        except (Gone, WrongRun):
            continue  # pruned meanwhile, or not there yet
        except Exception as error:
            os.write(descriptor, f"reader: {type(error).__name__}: {error}".replace("\n", " ").encode() + b"\n")
            return


@dataclass
class Tally:
    """What came of it."""

    kills: int = 0
    acknowledged: int = 0
    unopened: int = 0
    lost: int = 0
    corrupt: int = 0
    reader_failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # to open

    @property
    def clean(self) -> bool:
        return not (self.unopened or self.lost or self.corrupt or self.reader_failures)


def trial(
    folder: Path, kills: int, seed: int, durability: str = "kill", progress: Callable[[Tally], object] = lambda _: None
) -> Tally:
    """Kill so many writers of one store, and compare after each."""
    rng, tally = random.Random(seed), Tally()
    promised: set[Key] = set()
    first = 0
    for number in range(kills):
        with_reader, prunes = number % 2 == 1, number % 3 == 2
        said, troubles = _life(folder, first, durability, prunes, with_reader, rng.uniform(0.0, 0.6))
        tally.kills += 1
        tally.reader_failures += troubles
        for line in said:
            if line[0] == "stored":
                promised.add((line[1], int(line[2]), int(line[3])))
                first = max(first, int(line[2]) + 1)
                tally.acknowledged += 1
            elif line[0] == "pruning":
                promised = {key for key in promised if key[1] >= int(line[1]) or key[2] == 0}
        first += 2  # what was stored and not yet acknowledged has a key too
        _compare(folder, promised, tally, rng)
        progress(tally)
    return tally


def _life(
    folder: Path, first: int, durability: str, prunes: bool, with_reader: bool, lasts: float
) -> tuple[list[list[str]], list[str]]:
    """One writer from birth to death: what it said, and what a reader beside it complained of."""
    with ExitStack() as stack:
        reader, heard = (None, -1)
        if with_reader:
            reader, heard = _start(stack, f"read({str(folder)!r}, FD)")
            _line(heard)
        writer, lines = _start(stack, f"write({str(folder)!r}, {first}, {durability!r}, {prunes}, FD)")
        begun = _line(lines)
        time.sleep(lasts)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        said = [line.split() for line in (begun + _rest(lines)).splitlines()]
        if said[:1] != [["open"]]:
            raise RuntimeError(f"the writer did not begin: {said}")
        if reader is None:
            return said, []
        time.sleep(0.05)
        reader.send_signal(signal.SIGKILL)
        reader.wait()
        return said, _rest(heard).splitlines()


def _start(stack: ExitStack, call: str) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = os.pipe()
    code = f"from benchmarks.kill_buffer import *; {call.replace('FD', str(theirs))}"
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs])
    os.close(theirs)
    stack.callback(os.close, ours)
    stack.callback(process.wait, PATIENCE)
    stack.callback(process.kill)
    return process, ours


def _line(descriptor: int) -> str:
    data = b""
    while not data.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            break
        data += byte
    return data.decode()


def _rest(descriptor: int) -> str:
    data = b""
    while piece := os.read(descriptor, 1 << 16):
        data += piece
    return data[: data.rfind(b"\n") + 1].decode()


def _compare(folder: Path, promised: set[Key], tally: Tally, rng: random.Random) -> None:
    began = time.perf_counter()
    try:
        store = Store.open(folder, segment_bytes=SEGMENT)
    except Exception as error:
        tally.unopened += 1
        print(f"not opened: {error!r}", file=sys.stderr)
        return
    with store:
        tally.seconds.append(time.perf_counter() - began)
        with store.lookup.reading() as catalog:
            query = "SELECT source, episode, sequence, first FROM chunks"
            stored = {
                (source, episode, sequence): first for source, episode, sequence, first in catalog.database.execute(query)
            }
        tally.lost += len(promised - stored.keys())
        newest = sorted(stored.values())[-200:]
        some = rng.sample(sorted(stored.values()), min(50, len(stored)))
        found = store.lookup.find(np.array(sorted({*newest, *some}), np.int64))
        for row in range(len(found)):
            tally.corrupt += not agrees(store.read_block(found.entry(row)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--durability", default="kill", choices=("kill", "power"))
    chosen = parser.parse_args()

    def progress(tally: Tally) -> None:
        if tally.kills % 10 == 0 or not tally.clean:
            print(summary(tally), flush=True)

    with tempfile.TemporaryDirectory(prefix="kill_buffer-") as folder:
        tally = trial(Path(folder) / "store", chosen.kills, chosen.seed, chosen.durability, progress)
    print(summary(tally))
    sys.exit(not tally.clean)


def summary(tally: Tally) -> str:
    opened = f"{1e3 * float(np.median(tally.seconds)):.0f} ms" if tally.seconds else "-"
    return (
        f"{tally.kills} kills, {tally.acknowledged} chunks acknowledged: {tally.unopened} not opened, {tally.lost} lost, "
        f"{tally.corrupt} corrupt, {len(tally.reader_failures)} reader failures {tally.reader_failures[:2]}; "
        f"open {opened} (median)"
    )


if __name__ == "__main__":
    main()
