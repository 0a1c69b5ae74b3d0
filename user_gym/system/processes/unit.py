"""A unit of systemd that keeps a run going from the start of the machine on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path


def unit(plan: Path, run_dir: Path, folder: Path, options: Sequence[str]) -> str:
    """The text of a user's unit; the run's folder is `run_dir`, and it is started in `folder`. `options`: of the command."""
    arguments = [str(plan.resolve()), "--run-dir", str(run_dir.resolve()), *options]
    command = " ".join(map(_word, [sys.executable, "-m", "user_gym.cli", "run", *arguments]))
    return f"""\
[Unit]
Description=user-gym run {_text(run_dir.name)}

[Service]
Type=exec
WorkingDirectory={_text(str(folder.resolve()))}
ExecStart={command}
# The parent stops the others in order: robots are held, all data is committed. If it is killed, they go on and are found again.
KillMode=process
TimeoutStopSec=240
Restart=on-failure
RestartSec=1
# 2: the plan cannot be done. 130: it was told to stop.
RestartPreventExitStatus=2 130
SuccessExitStatus=130

[Install]
WantedBy=default.target
"""


def _text(value: str) -> str:
    """As systemd reads it as `value`: a % begins a specifier."""
    return value.replace("%", "%%")


def _word(value: str) -> str:
    """One argument of a command, by the rules of systemd.service(5), which are not the shell's."""
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w./:@%$+,=-]+", escaped) else f'"{escaped}"'
