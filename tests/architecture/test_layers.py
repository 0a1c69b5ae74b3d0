"""The contracts of pyproject.toml hold, and each of them can break."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("importlinter", reason="import-linter comes with the extra 'dev'")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter on the user_gym that lies in `folder`."""
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "user_gym", tmp_path / "user_gym", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_package_keeps_its_contracts() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("core/planted.py", "import user_gym.robots", "Imports go downward only"),
        ("sim/planted.py", "def late():\n    import user_gym.tasks", "Imports go downward only"),
        ("planted.py", "", "Imports go downward only"),
        ("system/planted.py", "import user_gym.robots", "The system half begins with a gymnasium.Env"),
        ("tasks/planted.py", "import mujoco", "Simulators only in sim"),
        ("robots/planted.py", "import franky", "Vendor SDKs only in real"),
        ("system/planted.py", "import grpc", "gRPC only in system.link"),
        ("system/planted.py", "import ray", "Ray only in system.cluster"),
        ("core/planted.py", "import torch", "Learning libraries only in integrations"),
        ("tasks/planted.py", "import pytest", "pytest only in testing"),
    ],
)
def test_a_planted_violation_is_caught(copy: Path, module: str, line: str, contract: str) -> None:
    (copy / "user_gym" / module).write_text(line + "\n")
    result = lint_imports(copy)
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout


@pytest.mark.parametrize(("module", "line"), [("sim/planted.py", "import mujoco"), ("real/planted.py", "import franky")])
def test_the_place_that_may_import_a_package_may(copy: Path, module: str, line: str) -> None:
    (copy / "user_gym" / module).write_text(line + "\n")
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr
