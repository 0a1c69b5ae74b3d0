"""What is installed is user_gym alone, and every extra that an error names exists."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def named_extras() -> set[tuple[str, str]]:
    """(module, extra) of each `MissingExtra("...", "extra")` in the package."""
    found = set()
    for path in (ROOT / "user_gym").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "MissingExtra":
                extra = node.args[1]
                if isinstance(extra, ast.Constant):
                    found.add((str(path.relative_to(ROOT)), str(extra.value)))
    return found


def test_every_extra_that_an_error_names_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    unknown = {(path, extra) for path, extra in named_extras() if extra not in project["optional-dependencies"]}
    assert not unknown


def test_torchvision_is_in_no_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert not [line for line in lines if line.startswith("torchvision")]


@pytest.mark.slow
def test_the_wheel_contains_only_user_gym(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    for name in ("user_gym", "baselines", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", tmp_path, source],
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"user_gym"}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "user_gym").rglob("*.py")}
    assert modules <= names
    assert "user_gym/py.typed" in names
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
