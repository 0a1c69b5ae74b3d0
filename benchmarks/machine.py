"""What a figure was measured on, and where its table is kept."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def describe() -> str:
    """One line: date, processor, load."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    load = ", ".join(f"{x:.2f}" for x in os.getloadavg())
    cores, python = os.cpu_count(), platform.python_version()
    return f"{datetime.date.today()}, {cores} cores of {model}, Python {python}, load {load} (1, 5, 15 min)"


def keep(name: str, text: str) -> Path:
    """Print a table and write it to benchmarks/results/<name>.md."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(text + "\n")
    print(text)
    return path


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
