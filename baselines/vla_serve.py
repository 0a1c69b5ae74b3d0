"""Serve the policy of a run of `baselines.vla` by openpi's websocket protocol.

    python -m baselines.vla_serve runs/vla-PegInsert-franka-fr3-seed0 --port 8000

Anything that speaks to an openpi server can then ask it, with a prompt or without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from baselines.command import arguments, command
from user_gym.errors import MissingExtra, UnknownName
from user_gym.integrations.openpi.conventions import LIBERO, OURS, lerobot
from user_gym.integrations.openpi.server import PolicyServer

try:
    import torch
    import tyro

    from baselines.vla import load
except ModuleNotFoundError as error:
    raise MissingExtra(error.name or "torch", "train") from error

CONVENTIONS = {"ours": OURS, "libero": LIBERO, "lerobot": lerobot()}


@dataclass(frozen=True, slots=True)
class Serve:
    """What is served, and where."""

    folder: Annotated[Path, tyro.conf.Positional]
    """of a run of baselines.vla, or of one that went on from it"""
    host: str = "127.0.0.1"
    """another than loopback lets strangers in"""
    port: int = 8000
    """0: a free one"""
    convention: str = "ours"
    """what clients call things: ours, libero or lerobot"""
    prompt: str | None = None
    """for observations that have none; None: that of the run's first task"""

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise UnknownName("convention", self.convention, CONVENTIONS)


def serving(options: Serve) -> PolicyServer:
    """The server, not open yet. Raises WrongRun for a folder without a checkpoint."""
    torch.set_num_threads(1)  # for a model this small, more threads only wait for each other
    policy = load(options.folder, options.prompt)
    metadata = {"prompt": policy.prompt, "horizon": policy.net.horizon, "cameras": list(policy.net.cameras)}
    convention = CONVENTIONS[options.convention]
    return PolicyServer(policy, options.host, options.port, convention=convention, metadata=metadata)


if __name__ == "__main__":
    with command(), serving(arguments(Serve, __doc__)) as server:
        print(f"{server.url} serves; Ctrl+C ends it", flush=True)
        server.wait()
