"""Which GPU `device=` means."""

from __future__ import annotations

import torch

from user_gym.errors import BadOption


def find(name: object) -> torch.device:
    """The CUDA device of that name, with its number.

    Raises:
        BadOption: it is no name of one that is here.
    """
    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in found:
        if not found:
            cure = (
                "torch finds no CUDA device here: a batch on a GPU needs one, its driver, and a torch that was built for CUDA"
            )
            raise BadOption("device", name, "cpu", cure)
        raise BadOption("device", name, " | ".join(["cpu", "cuda", *found]))
    return torch.device(str(wanted))
