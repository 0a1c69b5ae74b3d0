"""Steps of inference and of learning, timed in turns alone and beside copies that another thread makes. It knows no copier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from user_gym.system.cap import Copied, Copier

Step = Callable[[], float]  # does one step and returns its s


@dataclass(frozen=True)
class Size:
    """Of the steps: a stack of transformer layers, large enough that the GPU and not its caller sets the pace."""

    width: int = 1024
    layers: int = 8
    batch: int = 32
    tokens: int = 256


def timed(device: torch.device, work: Callable[[], object], priority: int) -> Step:
    """The work on a stream of its own, to its end."""
    if device.type == "cpu":

        def on_cpu() -> float:
            began = perf_counter()
            work()
            return perf_counter() - began

        return on_cpu
    stream = torch.cuda.Stream(device, priority=priority)
    torch.cuda.synchronize(device)  # what it works on was made on another stream

    def on_gpu() -> float:
        began = perf_counter()
        with torch.cuda.stream(stream):
            work()
        stream.synchronize()
        return perf_counter() - began

    return on_gpu


def network(device: torch.device, size: Size) -> tuple[nn.Module, torch.Tensor]:
    """Transformer layers and a batch for them; bf16 on a GPU."""
    torch.manual_seed(0)
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    layers = [
        nn.TransformerEncoderLayer(size.width, 8, 4 * size.width, dropout=0.0, batch_first=True) for _ in range(size.layers)
    ]
    made = nn.Sequential(*layers).to(device, kind)
    return made, torch.randn(size.batch, size.tokens, size.width, device=device, dtype=kind)


def inference(device: torch.device, size: Size) -> Step:
    """Forward passes, before others where the GPU has to choose."""
    net, batch = network(device, size)
    net.eval()

    def forward() -> None:
        with torch.inference_mode():
            net(batch)

    return warm(timed(device, forward, priority=-1))


def learning(device: torch.device, size: Size) -> Step:
    """Forward and backward passes and an optimiser's step."""
    net, batch = network(device, size)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6)

    def update() -> None:
        optimiser.zero_grad(set_to_none=True)
        net(batch).square().mean().backward()
        optimiser.step()

    return warm(timed(device, update, priority=0))


def warm(step: Step, times: int = 10) -> Step:
    """The same step, after some that nobody counts."""
    for _ in range(times):
        step()
    return step


@dataclass
class Copying:
    """Copies again and again, or once, in a thread of its own, from `with` to its end."""

    copier: Copier[Any]
    source: Any
    target: Any
    once: bool = False
    copies: list[Copied] = field(default_factory=list)
    error: BaseException | None = None

    def __enter__(self) -> Copying:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copying")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(120)
        if self._thread.is_alive():
            raise TimeoutError("a copy lasted longer than 120 s")
        if self.error is not None:
            raise self.error

    @property
    def running(self) -> bool:
        """Whether the thread is still at it."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self.copies.append(self.copier.copy(self.source, self.target))
                if self.once:
                    return
        except BaseException as error:  # raised again where the thread is joined
            self.error = error


@dataclass(frozen=True)
class Beside:
    """What copies and steps did to each other; medians over rounds."""

    slowdown: float  # relative
    extra: float  # s that a step lasts longer
    alone: float  # s, a step
    latency: float  # s, a copy beside the steps
    idle: float  # s, a copy while nothing else runs
    multiprocessors: int | None  # most that one piece was seen on


def beside(step: Step, copier: Copier[Any], source: Any, target: Any, rounds: int, steps: int) -> Beside:
    """So many rounds of steps alone, a copy alone, and steps while copies run one after another."""
    slowdowns, extras, alones, idles, copies = [], [], [], [], []
    for _ in range(rounds):
        alone = median(step() for _ in range(steps))
        idles.append(copier.copy(source, target))
        with Copying(copier, source, target) as copying:
            slow = median(step() for _ in range(steps))
        copies += copying.copies
        slowdowns.append(slow / alone - 1.0)
        extras.append(slow - alone)
        alones.append(alone)
    seen = [one.multiprocessors for one in (*copies, *idles) if one.multiprocessors is not None]
    return Beside(
        median(slowdowns),
        median(extras),
        median(alones),
        median(one.elapsed for one in copies),
        median(one.elapsed for one in idles),
        max(seen, default=None),
    )
