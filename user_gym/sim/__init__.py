"""The MuJoCo twins. Nothing outside this package imports mujoco.

Importing mujoco loads at once the graphics that MUJOCO_GL names, and fails where the machine lacks them. Physics needs none,
and `painter` opens its own and says what is missing; so here such a failure is no failure.
"""

from __future__ import annotations

import os

try:
    import mujoco
except (AttributeError, OSError, RuntimeError):  # what OpenGL's loader and mujoco raise then
    _named = os.environ.get("MUJOCO_GL")
    if _named is None:
        raise
    os.environ["MUJOCO_GL"] = "disable"
    try:
        import mujoco  # noqa: F401
    finally:
        os.environ["MUJOCO_GL"] = _named
