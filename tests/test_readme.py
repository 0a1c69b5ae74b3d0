"""What the README says is so."""

import re
import subprocess
import sys
from pathlib import Path

from user_gym.ids import IDS
from user_gym.robots import registry, specs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_first_program_runs_as_it_stands() -> None:
    program = re.search(r"```python\n(.*?)```", README, re.S)
    assert program
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program[1]], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_ids_is_the_registry() -> None:
    rows = []
    for name, (task, backend, steps, nondeterministic) in IDS.items():
        where = "real" if backend == "remote" else backend
        robots = ", ".join(sorted(r for r in specs.known() if where in registry.backends(r)))
        rate = registry.make_task(task, specs.spec("franka-fr3")).rate
        equal = "may differ" if nondeterministic else "equal episodes, bit for bit"
        rows.append(f"| `{name}` | {task} | {backend} | {robots} | {steps} at {rate:g} Hz | {equal} |")
    assert re.findall(r"^\| `User/.*$", README, re.M) == rows


def test_every_file_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_its_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.findall(r"^[A-Z]{4,}$", README, re.M)


def test_the_files_it_says_a_run_leaves_are_those_a_run_leaves() -> None:
    code = "".join(path.read_text() for path in (ROOT / "baselines").glob("*.py"))
    named = set(re.findall(r"`(\w+\.(?:json|png|gif))`", README))
    assert named >= {"summary.json", "curve.png", "film.gif"}
    assert not [name for name in named if f'"{name}"' not in code]
