"""What a remote step costs on one host: through shared memory, and through gRPC, beside the floor and what services usually do.

All contestants take turns, some steps each, so that drift of the machine hits all alike. A ratio is the median over rounds of
the ratio of the rounds' medians. The environment costs nothing. The hub is an object of the client's process ("in process"),
or a process of its own, between the two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
import pytest

import user_gym
from benchmarks import remote_peers
from benchmarks.machine import describe, keep
from user_gym.system.link.hub import Hub
from user_gym.system.link.remote.env import RemoteEnv
from user_gym.vector.remote import RemoteVectorEnv

SIZES = {"100 KB": 100_000, "2 MB": 2_000_000}
ARMS = 8
BARS = {"shared memory": 1.5, "network": {"100 KB": 0.75, "2 MB": 0.3}, "vector": 1.5}
FLOOR, PICKLED, PEER = "bare shared memory + pipe", "shared memory + pickled results", "protobuf unary"
BARE_STREAM = "bare gRPC stream"
TEXT = """# Remote steps on one host

{machine}; user_gym {version}, gymnasium {gymnasium}

{table}

The load is that before the run; contestants take turns, so that it is the same for all. Bare shared memory carries no result,
only a signal each way; "pickled results" brings reward, flags and info as well, as a remote step does. A bare gRPC stream
carries nothing but the observation's bytes, between threads that do nothing else: the network path goes over such a stream. A
hub in the client's process is one connection away from the edge, like the server of protobuf; one between them makes two."""
_ACTION = np.zeros(remote_peers.ACTION, np.float32)
Step = Callable[[], Any]


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ours."""
    process = subprocess.Popen(
        [sys.executable, "-m", "user_gym.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def edge(hub: str, name: str, size: int) -> Iterator[None]:
    """A robot's machine, in a process."""
    serve = f"benchmarks.remote_peers:{remote_peers.ID}"
    options = ("--serve-option", f"size={size}", "--watchdog", "600")  # the turns of others are long
    with command("edge", "--hub", hub, "--name", name, "--serve", serve, *options) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield


@contextmanager
def hub_process() -> Iterator[str]:
    """A hub of its own; yields its address."""
    with command("hub", "--listen", "127.0.0.1:0") as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]


def reached(make: Callable[[], Any]) -> Any:
    """Made once its edge is there."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return make()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def contestants(size: int) -> Iterator[dict[str, Step]]:
    """Everybody, ready to step."""
    with ExitStack() as opened:
        hub = opened.enter_context(Hub())
        address = opened.enter_context(hub_process())
        opened.enter_context(edge(f"127.0.0.1:{hub.port}", "e1", size))
        opened.enter_context(edge(f"127.0.0.1:{hub.port}", "e2", size))
        opened.enter_context(edge(address, "e3", size))
        steps: dict[str, Step] = {
            FLOOR: opened.enter_context(remote_peers.bare(size)),
            PICKLED: opened.enter_context(remote_peers.pickled(size)),
            BARE_STREAM: opened.enter_context(remote_peers.stream(size)),
            PEER: opened.enter_context(remote_peers.protobuf(size)),
        }
        for name, where, at, channel in [
            ("shared memory", hub, "e1", "shared memory"),
            ("network, hub in process", hub, "e2", "network"),
            ("network, hub between", address, "e3", "network"),
        ]:
            env = reached(lambda w=where, a=at, c=channel: RemoteEnv(w, a, remote_peers.ID, channel=c, timeout=20.0))
            opened.callback(env.close)
            env.reset()
            steps[name] = lambda env=env: env.step(_ACTION)
        yield steps


def measured(steps: Mapping[str, Step], rounds: int, count: int) -> dict[str, np.ndarray]:
    """Seconds of each step, (rounds, count), by contestant."""
    times = {name: np.zeros((rounds, count)) for name in steps}
    for step in steps.values():
        for _ in range(count):
            step()
    for r in range(rounds):
        for name, step in steps.items():
            for k in range(count):
                begun = perf_counter()
                step()
                times[name][r, k] = perf_counter() - begun
    return times


def ratio(times: Mapping[str, np.ndarray], ours: str, theirs: str) -> float:
    """Of medians, in each round."""
    return statistics.median(np.median(times[ours], axis=1) / np.median(times[theirs], axis=1))


def single(rounds: int, count: int) -> list[str]:
    """Rows of the table of single environments."""
    rows: list[str] = []
    for label, size in SIZES.items():
        with contestants(size) as steps:
            times = measured(steps, rounds, count)
        for name, found in times.items():
            compared = ["", ""]
            if name == BARE_STREAM:
                compared = [f"{ratio(times, name, PEER):.2f} of {PEER}", ""]
            elif name not in (FLOOR, PICKLED, PEER):
                peer, bar = (FLOOR, BARS["shared memory"]) if name == "shared memory" else (PEER, BARS["network"][label])
                other = PICKLED if peer == FLOOR else BARE_STREAM
                more = f"; {ratio(times, name, other):.2f} of {other}"
                compared = [f"{ratio(times, name, peer):.2f} of {peer}{more}", _verdict(ratio(times, name, peer), bar)]
            rows.append(_row(label, name, *_quantiles(found), *compared))
    return rows


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _quantiles(seconds: np.ndarray) -> tuple[str, str]:
    """p50 and p99, us."""
    return f"{np.median(seconds) * 1e6:.0f}", f"{np.quantile(seconds, 0.99) * 1e6:.0f}"


def _verdict(found: float, bar: float) -> str:
    return f"<= {bar}: {'met' if found <= bar else 'MISSED'}"


def vector(rounds: int, count: int, size: int) -> list[str]:
    """Rows of the table of vectors."""
    with ExitStack() as opened:
        hub = opened.enter_context(Hub())
        for i in range(ARMS):
            opened.enter_context(edge(f"127.0.0.1:{hub.port}", f"e{i}", size))
        names = [f"e{i}" for i in range(ARMS)]
        many = reached(lambda: RemoteVectorEnv(ARMS, edges=names, hub=hub, env_id=remote_peers.ID, timeout=20.0))
        opened.callback(many.close)
        makers = [lambda: remote_peers.Instant(size)] * ARMS
        theirs = gymnasium.vector.AsyncVectorEnv(makers, shared_memory=True, context="spawn")
        opened.callback(theirs.close)
        actions = np.zeros((ARMS, remote_peers.ACTION), np.float32)
        many.reset()
        theirs.reset()
        assert {env.channel for env in many.envs} == {"shared memory"}
        ours, peer = "remote, shared memory", "AsyncVectorEnv, shared memory"
        times = measured({peer: lambda: theirs.step(actions), ours: lambda: many.step(actions)}, rounds, count)
    found = ratio(times, ours, peer)
    return [
        _row(peer, *_quantiles(times[peer]), "", ""),
        _row(ours, *_quantiles(times[ours]), f"{found:.2f}", _verdict(found, BARS["vector"])),
    ]


def table(rounds: int = 15, count: int = 200) -> str:
    """All figures, as markdown."""
    head = [_row("observation", "what", "p50 us", "p99 us", "ratio", "bar"), "| --- | --- | --- | --- | --- | --- |"]
    more = ["", f"{ARMS} environments, 100 KB each:", "", _row("what", "p50 us", "p99 us", "ratio", "bar")]
    rows = [*more, "| --- | --- | --- | --- | --- |", *vector(rounds, count, SIZES["100 KB"])]
    return "\n".join([*head, *single(rounds, count), *rows])


@pytest.mark.slow  # fifteen processes begin and end
def bench_table_has_every_row(benchmark: Any) -> None:
    pytest.importorskip("google.protobuf")
    rows = benchmark.pedantic(table, kwargs={"rounds": 1, "count": 5}, rounds=1)
    assert rows.count("\n| ") >= 16


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    said = {"machine": describe(), "version": user_gym.__version__, "gymnasium": gymnasium.__version__}
    keep("remote", TEXT.format(**said, table=table(given.rounds, given.count)))
