"""Two arenas that are tensors, as bytes. Importing it needs torch."""

from __future__ import annotations

import torch

from user_gym.errors import BadOption


def octets(name: str, arena: torch.Tensor) -> torch.Tensor:
    """A tensor's bytes as (n,) uint8, without a copy. Raises BadOption unless it is contiguous."""
    if not arena.is_contiguous():
        raise BadOption(name, f"tensor of shape {tuple(arena.shape)} and strides {arena.stride()}", "a contiguous tensor")
    return arena.detach().view(-1).view(torch.uint8)


def pair(source: torch.Tensor | None, target: torch.Tensor | None, cure: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Both arenas as bytes. Raises BadOption unless both are here and equally long."""
    if source is None or target is None:
        raise BadOption("arena", None, "two tensors of this process", cure)
    here, there = octets("source", source), octets("target", target)
    if here.numel() != there.numel():
        raise BadOption("target", f"{there.numel()} bytes", f"the source's {here.numel()} bytes")
    return here, there
