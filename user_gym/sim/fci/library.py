"""The model library that protocol 5 sends its client: our own C from a RobotSpec, compiled where it is needed first.

libfranka up to 0.17 loads it with dlopen and calls its functions by name. Frames J1 .. J7 are the links', J8 is the flange, J9
the end effector; matrices are column-major, Jacobians 6 x 7. The numbers are the spec's, so client and physics agree.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from user_gym.core import RobotSpec
from user_gym.errors import MissingSystem
from user_gym.robots import pose

COMPILERS = ("cc", "gcc", "clang")
_PATIENCE = 60.0  # s
_MATHS = (Path(__file__).parent / "library.c").read_text  # read when it is compiled, not when this is imported


def library(spec: RobotSpec) -> bytes:
    """The shared library's bytes, from the cache or compiled now. Raises MissingSystem where that cannot be."""
    code = source(spec)
    path = _cache() / f"{spec.name}-{hashlib.sha256(code.encode()).hexdigest()[:16]}.so"
    if not path.exists():
        _compile(code, path)
    return path.read_bytes()


def source(spec: RobotSpec) -> str:
    """The library in C: the spec's numbers, then mathematics that are the same for every arm of 7 joints."""
    turns = pose.matrix(pose.rpy(spec.joint_rpy))  # (7, 3, 3)
    inertia = spec.link_inertia[1:, [0, 3, 4, 3, 1, 5, 4, 5, 2]]
    tables = (
        _table("double XYZ[7][3]", spec.joint_xyz),
        _table("double TURN[7][9]", turns.reshape(7, 9)),
        _table("double AXIS[7][3]", spec.joint_axis),
        _table("double MASS[7]", spec.link_mass[1:, None]),
        _table("double COM[7][3]", spec.link_com[1:]),
        _table("double INERTIA[7][9]", inertia),
        _table("double FLANGE[3]", spec.flange[:3, None]),
    )
    return "\n".join(tables) + "\n" + _MATHS()


def _table(declaration: str, rows: np.ndarray) -> str:
    return f"static const {declaration} = {{{','.join(_row(row) for row in rows)}}};"


def _row(values: Iterable[float]) -> str:
    numbers = [repr(float(v)) for v in values]
    return numbers[0] if len(numbers) == 1 else f"{{{','.join(numbers)}}}"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "user-gym"


def _compile(code: str, path: Path) -> None:
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise MissingSystem(
            f"no C compiler ({', '.join(COMPILERS)}) is installed; the FER's protocol sends its client a compiled model. "
            "Install one (Debian: apt-get install gcc libc6-dev)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "model.so"
        # No contraction of a * b + c: the same numbers on every machine.
        order = [compiler, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c", "-", "-o", str(built), "-lm"]
        try:
            subprocess.run(order, input=code, text=True, capture_output=True, check=True, timeout=_PATIENCE)
        except subprocess.CalledProcessError as error:
            raise MissingSystem(f"{compiler} cannot compile the FER's model: {error.stderr.strip()[-500:]}") from error
        except subprocess.TimeoutExpired as error:
            raise MissingSystem(f"{compiler} takes more than {_PATIENCE:g} s for the FER's model") from error
        os.replace(built, path)  # atomic: another process finds all of it or nothing
