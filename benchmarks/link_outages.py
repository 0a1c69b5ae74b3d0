"""What a robot and its data go through: outages, losses, restarts and kills of either end; steps are counted by their numbers.

    python -m benchmarks.link_outages            # --long: an outage of five minutes, too

Hub and edge are processes, mutual TLS between them, in two network namespaces, 60 ms and 20 Mbit/s apart, the edge behind NAT.
The robot's policy is at the edge, at 10 Hz. Kept: what the edge's spool has taken before the robot went on.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench_link import MBIT, PORT, scenes
from benchmarks.link_processes import Pair
from benchmarks.machine import describe, keep
from user_gym.system.link.relay import Relay
from user_gym.system.link.wan import Line, Wan
from user_gym.system.link.wan.wan import CLOUD

RTT, RATE, FREQUENCY = 0.06, 20 * MBIT, 10.0
FLUSH = 120.0  # s
BAR = 2.0  # s until the hub hears an edge again


class Case(NamedTuple):
    """What was seen."""

    name: str
    kept: int  # steps
    lost: int
    doubled: int
    in_time: float  # of the control periods
    heard: list[float]  # s after the network, or the other end, was back


class Scene:
    """One edge that collects, and what it has kept."""

    def __init__(self, pair: Pair, journal: Path, wan: Wan | None = None, relay: Relay | None = None) -> None:
        self.pair, self.wan, self.relay, self._journal = pair, wan, relay, journal
        self._begun = 0
        self._periods = [0, 0]
        self.heard: list[float] = []

    def begin(self) -> None:
        """The robot begins; its steps have numbers that none had before."""
        self.pair.edge.ask("begin", frequency=FREQUENCY, first=self._begun * 100_000)
        self._begun += 1

    def listen(self, back: Callable[[], object], anew: bool = False) -> None:
        """Bring something back, and see when the hub hears the edge, anew: on another connection."""
        self.pair.hub.tell("heard", edge="arm", timeout=60.0, anew=anew)
        time.sleep(0.1)
        began = time.monotonic()
        back()
        answer = self.pair.hub.answer()
        self.heard.append(answer["at"] - began if answer["is"] else float("inf"))

    def end(self) -> None:
        """The robot holds, and all that is kept is stored."""
        answer = self.pair.edge.ask("end", timeout=FLUSH)
        assert answer["flushed"], "not all came through"
        self._periods = [a + b for a, b in zip(self._periods, (answer["in_time"], answer["periods"]), strict=True)]

    def case(self, name: str) -> Case:
        """By numbers."""
        kept = {int(x) for line in self._journal.read_text().splitlines() for x in line.split()}
        stored = Counter(self.pair.hub.ask("stored")["steps"])
        doubled = sum(count > 1 for count in stored.values())
        return Case(
            name, len(kept), len(kept - stored.keys()), doubled, self._periods[0] / max(1, self._periods[1]), self.heard
        )


@contextmanager
def across(pictures: Path, loss: float = 0.0) -> Iterator[Scene]:
    """A scene with a network of packets."""
    with tempfile.TemporaryDirectory(prefix="outages-") as place, Wan(Line(RTT / 2, RATE, loss=loss)) as wan:
        folder, journal = Path(place), Path(place) / "journal"
        pair = Pair(folder, CLOUD, PORT, hub=wan.cloud.start, edge=wan.site.start, pictures=str(pictures), journal=str(journal))
        with pair:
            yield Scene(pair, journal, wan)


@contextmanager
def through(pictures: Path) -> Iterator[Scene]:
    """A scene with a relay of TCP."""
    with tempfile.TemporaryDirectory(prefix="outages-") as place:
        folder, journal = Path(place), Path(place) / "journal"
        with Relay(f"127.0.0.1:{PORT}", delay=RTT / 2, rate=RATE) as relay:
            pair = Pair(folder, "127.0.0.1", PORT, dialled=relay.address, pictures=str(pictures), journal=str(journal))
            with pair:
                yield Scene(pair, journal, relay=relay)


def outage(pictures: Path, seconds: float) -> Case:
    """Silence."""
    with across(pictures) as scene:
        assert scene.wan is not None
        scene.begin()
        time.sleep(5.0)
        scene.wan.cut()
        time.sleep(seconds)
        scene.listen(scene.wan.restore)
        time.sleep(5.0)
        scene.end()
        return scene.case(f"{seconds:.0f} s without a network")


def loss(pictures: Path, share: float, seconds: float) -> Case:
    """Packets that never come."""
    with across(pictures, share) as scene:
        scene.begin()
        time.sleep(seconds)
        scene.end()
        return scene.case(f"{share:.0%} of the packets lost, {seconds:.0f} s")


def router(pictures: Path) -> Case:
    """The site's router forgets its table."""
    with across(pictures) as scene:
        assert scene.wan is not None
        scene.begin()
        for _ in range(3):
            time.sleep(3.0)
            scene.listen(scene.wan.forget, anew=True)
        time.sleep(2.0)
        scene.end()
        return scene.case("the site's router is restarted, 3 times")


def half_open(pictures: Path) -> Case:
    """The old connection is dead and does not say so; new ones work."""
    with through(pictures) as scene:
        assert scene.relay is not None
        scene.begin()
        for _ in range(2):
            time.sleep(3.0)
            scene.listen(scene.relay.halve, anew=True)
        time.sleep(8.0)
        scene.end()
        return scene.case("half-open, twice: noticed and dialled anew")


def restarts(pictures: Path) -> Case:
    """Both ends, on purpose, in turns."""
    with across(pictures) as scene:
        scene.begin()
        for _ in range(2):
            time.sleep(3.0)
            scene.pair.hub.close()
            scene.pair.hub.begin()
            scene.listen(lambda: None)
            time.sleep(3.0)
            scene.pair.edge.ask("end", timeout=0.0)
            scene.pair.edge.close()
            scene.pair.edge.begin()
            scene.pair.edge.ask("wait")
            scene.begin()
        time.sleep(2.0)
        scene.end()
        return scene.case("hub and edge restarted, 2 times each")


def kills(pictures: Path, times: int, seed: int) -> Case:
    """Both ends, with -9, at moments that are drawn."""
    rng = random.Random(seed)
    with across(pictures) as scene:
        scene.begin()
        for k in range(times):
            time.sleep(rng.uniform(0.5, 4.0))
            victims = [("hub",), ("edge",), ("hub", "edge")][k % 3]
            for victim in victims:
                getattr(scene.pair, victim).kill()
            if "hub" in victims:
                scene.pair.hub.begin()
            if "edge" in victims:
                scene.pair.edge.begin()
                scene.pair.edge.ask("wait")
                scene.begin()
            else:
                scene.listen(lambda: None)
        time.sleep(3.0)
        scene.end()
        return scene.case(f"kill -9 of hub, edge, both, in turns, {times} times")


def row(case: Case) -> str:
    """Of the table."""
    heard = ", ".join(f"{seconds:.2f}" for seconds in case.heard) or "-"
    return f"| {case.name} | {case.kept} | {case.lost} | {case.doubled} | {case.in_time:.1%} | {heard} |"


HEAD = "| | steps kept | lost | doubled | orders in time | heard again after, s |\n| --- | --- | --- | --- | --- | --- |"


TEXT = """# Outages and deaths on the link

{machine}

`python -m benchmarks.link_outages --long`. Hub and edge are processes, mutual TLS between them, in two network namespaces, 60
ms and 20 Mbit/s apart, the edge behind NAT (half-open: through `link.relay`, as bad). The robot's policy is at the edge, at 10
Hz. Steps are counted by their numbers: kept is what the edge's spool has taken before the robot went on, lost what of that is
not in the hub's buffer at the end, doubled what is there twice. Heard again: after the network, or the hub, was back.

{head}
{rows}"""


def main() -> None:
    """Run and write benchmarks/results/link_outages.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="an outage of five minutes, too")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "user-gym-link")
    chosen = parser.parse_args()
    pictures, machine, cases = scenes(chosen.folder), describe(), []
    parts = [
        lambda: outage(pictures, 1.0), lambda: outage(pictures, 30.0), lambda: loss(pictures, 0.05, 20.0),
        lambda: router(pictures), lambda: half_open(pictures), lambda: restarts(pictures),
        lambda: kills(pictures, chosen.kills, chosen.seed),
    ]  # fmt: skip
    if chosen.long:
        parts.append(lambda: outage(pictures, 300.0))
    for part in parts:
        cases.append(part())
        print(row(cases[-1]), flush=True)
    keep("link_outages", TEXT.format(machine=machine, head=HEAD, rows="\n".join(map(row, cases))))


if __name__ == "__main__":
    main()
