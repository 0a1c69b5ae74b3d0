"""Episodes across a wide-area network: policy far away, action chunks, and the default, a policy at the edge.

    python -m benchmarks.bench_link

Hub and edge are processes in two network namespaces, the edge behind NAT, mutual TLS between them; delay and rate are those of
packets. The robot waits for its control periods and has two cameras, whose pictures are renders of the shipped environment.
Far away, `User/Remote-v0` steps: a message each way for each step (raw pictures, as such systems send them), or for ten.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import buffer_content
from benchmarks.link_processes import Facts, Pair
from benchmarks.machine import describe, keep
from user_gym.system.link.trial.paced import ROW_BYTES
from user_gym.system.link.wan import Line, Wan
from user_gym.system.link.wan.wan import CLOUD

MBIT = 125_000.0  # bytes
PORT = 5870
CHUNK = 10  # actions a message
SECONDS = 5.0  # of an episode on its own
PAPER = 69.0, 22.0  # s an episode: without and with the anchor's link


class Row(NamedTuple):
    """One setting."""

    rtt: float  # s
    rate: float  # bytes per second
    frequency: float
    steps: int
    local: Facts
    far: Facts
    chunks: Facts
    near: Facts
    sent: float  # bytes of an episode on the wire, packets and all


def scenes(folder: Path) -> Path:
    """Pictures of an episode or two, as a file."""
    path = folder / "scenes.npy"
    if not path.exists():
        renders = buffer_content.render(folder, 100)
        np.save(path, np.stack([np.load(renders / f"{name}.npy")[:100] for name in buffer_content.CAMERAS], axis=1))
    return path


@contextmanager
def across(rtt: float, rate: float, pictures: Path | None) -> Iterator[tuple[Wan, Pair]]:
    """Hub in the cloud, edge at a site behind NAT. Without pictures of its own the robot draws some, with a sensor's noise."""
    with tempfile.TemporaryDirectory(prefix="bench-link-") as folder, Wan(Line(rtt / 2, rate)) as wan:
        shown = {} if pictures is None else {"pictures": str(pictures)}
        pair = Pair(Path(folder), CLOUD, PORT, hub=wan.cloud.start, edge=wan.site.start, **shown)
        with pair:
            yield wan, pair


def measure(wan: Wan, pair: Pair, rtt: float, rate: float, frequency: float, steps: int, repeats: int) -> Row:
    """One setting, local and default in turns."""
    local, near, sent = [], [], []
    for _ in range(repeats):
        pair.edge.ask("robot", frequency=frequency, steps=steps)
        with tempfile.TemporaryDirectory() as folder:
            local.append(pair.edge.ask("local", steps=steps, folder=f"{folder}/buffer"))
        pair.edge.ask("robot", frequency=frequency, steps=steps)
        before = wan.carried[0].carried
        near.append(pair.edge.ask("near", steps=steps))
        sent.append(wan.carried[0].carried - before)
    far = []
    for actions in (1, CHUNK):
        pair.edge.ask("robot", frequency=frequency, steps=steps)
        far.append(pair.hub.ask("far", edge="arm", steps=steps, chunk=actions))
    return Row(rtt, rate, frequency, steps, _median(local), far[0], far[1], _median(near), statistics.median(sent))


def _median(runs: list[Facts]) -> Facts:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def like_the_paper(pictures: Path, repeats: int) -> Row:
    """10 Hz, 20 s of robot time, and the rate at which a far policy takes what the paper says."""
    rtt, steps, frequency = 0.06, 200, 10.0
    rate = ROW_BYTES / (PAPER[0] / steps - 1 / frequency - rtt)
    for _ in range(2):  # what TCP and TLS add is found by trying
        with across(rtt, rate, pictures) as (wan, pair):
            pair.edge.ask("robot", frequency=frequency, steps=30)
            pair.hub.ask("far", edge="arm", steps=30, chunk=1)
            pair.edge.ask("robot", frequency=frequency, steps=30)
            tried = pair.hub.ask("far", edge="arm", steps=30, chunk=1)["seconds"] / 30
        wire = tried - 1 / frequency - rtt
        rate *= wire / (PAPER[0] / steps - 1 / frequency - rtt)
    with across(rtt, rate, pictures) as (wan, pair):
        return measure(wan, pair, rtt, rate, frequency, steps, repeats)


def told_backlog(rtt: float, rate: float) -> str:
    """How long 40 s of noisy pictures take that come faster than the network."""
    with across(rtt, rate, None) as (wan, pair):
        pair.edge.ask("send", blocks=5)  # the window has found its size
        before = wan.carried[0].carried
        seconds = pair.edge.ask("send", blocks=40)["seconds"]
        sent = wan.carried[0].carried - before
    return (
        f"{1000 * rtt:.0f} ms and {rate / MBIT:.0f} Mbit/s {seconds:.2f} s for {sent / 1e6:.2f} MB, {seconds * rate / sent:.3f}"
    )


def line(row: Row) -> str:
    """Of the table."""

    def told(facts: Facts) -> str:
        return f"{facts['seconds']:.2f} | {facts['in_time'] / facts['periods']:.0%}"

    floor = max(row.near["seconds"], row.sent / row.rate)
    return " | ".join(
        [
            f"| {1000 * row.rtt:.0f} ms, {row.rate / MBIT:.4g} Mbit/s, {row.frequency:.0f} Hz",
            *map(told, (row.local, row.far, row.chunks, row.near)),
            f"{row.near['seconds'] / row.local['seconds']:.3f}",
            f"{row.far['seconds'] / row.near['seconds']:.2f}",
            f"{row.sent / row.steps / 1000:.1f}",
            f"{row.near['upload'] / floor:.3f} |",
        ]
    )


COLUMNS = (
    "", "local: s", "in time", "far: s", "in time", "chunks of 10: s", "in time", "default: s", "in time", "default / local",
    "far / default", "sent, KB a step", "stored / floor",
)  # fmt: skip
TEXT = """# Episodes across a network

{machine}

`python -m benchmarks.bench_link`. Hub and edge are processes in two network namespaces, the edge behind NAT, mutual TLS
between them; delay and rate are those of packets. The robot waits for its control periods and has two cameras, whose pictures
are renders of the shipped environment; an observation has {row_bytes} bytes. Far: the policy is at the hub, a message each way
per step (`User/Remote-v0`), raw pictures. Chunks: the same with ten actions a message, whose ten observations come back with
the answer. Default: the policy is at the edge, and what is collected travels beside. Local: no link; what is collected goes to
a buffer.

Medians of {repeats} episodes, local and default in turns; far and chunks one. In time: control periods whose order was there
within a tenth of a period of the end of the one before; otherwise the robot held meanwhile. Floor of what is stored: the
episode itself, or its bytes at the network's rate, packets and TLS counted.

| {columns} |
| --- |{rule}
{rows}

The last row is tuned so that far takes the paper's {without:.0f} s; the paper's own link is said to need {with_link:.0f} s.

A backlog of 400 steps, pictures with a sensor's noise, over the time that its bytes take at the network's rate: {queued}."""


def main() -> None:
    """Run and write benchmarks/results/link.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-link")
    chosen = parser.parse_args()
    pictures = scenes(chosen.folder)
    machine = describe()
    rows = []
    for rtt in (0.03, 0.06):
        for rate in (100 * MBIT, 20 * MBIT):
            for frequency in (10.0, 50.0):
                with across(rtt, rate, pictures) as (wan, pair):
                    steps = int(SECONDS * frequency)
                    rows.append(measure(wan, pair, rtt, rate, frequency, steps, chosen.repeats))
                    print(line(rows[-1]), flush=True)
    rows.append(like_the_paper(pictures, chosen.repeats))
    queued = [told_backlog(rtt, rate) for rtt, rate in ((0.03, 100 * MBIT), (0.06, 20 * MBIT))]
    text = TEXT.format(
        machine=machine, row_bytes=ROW_BYTES, repeats=chosen.repeats, columns=" | ".join(COLUMNS),
        rule=" --- |" * (len(COLUMNS) - 1), rows="\n".join(map(line, rows)), without=PAPER[0], with_link=PAPER[1],
        queued=", ".join(queued),
    )  # fmt: skip
    keep("link", text)


if __name__ == "__main__":
    main()
