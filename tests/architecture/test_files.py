"""Files stay small, and each says what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.relative_to(ROOT) for folder in ("user_gym", "baselines") for path in (ROOT / folder).rglob("*.py"))
LIMIT = 300  # lines: a longer file usually has two subjects


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_short_and_begins_with_a_docstring(path: Path) -> None:
    text = (ROOT / path).read_text()
    assert text.count("\n") <= LIMIT
    assert ast.get_docstring(ast.parse(text))
