"""The file of an agent: tensors and numbers by name, and which networks they belong to. Nothing in it is executed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from user_gym.errors import WrongRun


def write(path: Path, spec: str, state: Mapping[str, Any]) -> None:
    """Write what `read` reads; `spec` names the networks."""
    made = io.BytesIO()  # given a file, torch hides why the disk would not take it
    torch.save({**state, "spec": spec}, made)
    path.write_bytes(made.getbuffer())


def read(path: Path, spec: str) -> dict[str, Any]:
    """What was written. Raises WrongRun where it belongs to other networks."""
    kept = torch.load(path, weights_only=True)
    if kept["spec"] != spec:
        raise WrongRun(f"{path} holds networks of another shape than this run has; choose another --run-dir")
    return kept
