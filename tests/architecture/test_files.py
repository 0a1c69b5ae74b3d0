"""Files stay small, and each says what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(ROOT) for folder in ("user_gym", "baselines") for path in (ROOT / folder).rglob("*.py"))
LIMIT = 300  # lines: a longer file usually has two subjects
BASELINE = 400  # lines: an algorithm is one file from options to evaluation, to be read from top to bottom


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_short_and_begins_with_a_docstring(path: Path) -> None:
    text = (ROOT / path).read_text()
    assert text.count("\n") <= (BASELINE if path.parts[0] == "baselines" else LIMIT)
    assert ast.get_docstring(ast.parse(text))


def test_every_folder_has_its_line_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = {f"user_gym/{path.parent.name}/" for path in (ROOT / "user_gym").glob("*/*.py")}
    folders |= {f"{name}/" for name in ("baselines", "benchmarks", "docs", "tests", "typings")}
    assert not [folder for folder in sorted(folders) if f"`{folder}`" not in text]


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert not sorted({name for name in names if names.count(name) > 1})  # pytest imports them by name alone
