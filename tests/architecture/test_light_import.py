"""Importing user_gym costs no simulator, learner or network library."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "triton",
    "mujoco",
    "grpc",
    "stable_baselines3",
    "matplotlib",
    "mani_skill",
    "sapien",
    "ray",
    "pytest",
    "PIL",
    "rich",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a new interpreter holds after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "module", ["user_gym", "user_gym.core", "user_gym.system", "user_gym.tasks", "user_gym.robots", "user_gym.real"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY


def test_a_heavy_import_would_be_seen() -> None:
    assert "mujoco" in loaded_by("import mujoco")


def test_the_ids_are_known_after_the_import_alone() -> None:
    loaded = loaded_by("import user_gym, gymnasium\nassert any(i.startswith('User/') for i in gymnasium.registry)")
    assert not loaded & HEAVY
