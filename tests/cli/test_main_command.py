"""The command line as a whole: fast, light, and one line for an error."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from user_gym.cli import checkup
from user_gym.cli.main import COMMANDS, main, parser
from user_gym.cli.table import table

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "mujoco", "can", "franky", "panda_py", "cv2", "grpc", "matplotlib"}


def test_the_help_loads_nothing_heavy_and_names_every_command() -> None:
    code = (
        "import sys\nfrom user_gym.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print('loaded', *sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    *helped, loaded = result.stdout.splitlines()
    assert not set(loaded.split()) & HEAVY
    for command in COMMANDS:
        assert command.__name__.rpartition(".")[2] in "\n".join(helped)


def test_the_module_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "user_gym.cli", "--version"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert result.stdout.startswith("user-gym ")


def test_the_installed_command_is_the_same() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"user-gym": f"{main.__module__}:{main.__name__}"}


@pytest.mark.parametrize(
    "arguments", [[], ["frobnicate"], ["twin"], ["devices", "--color"], ["twin", "arx-x5", "--mode", "fast"]]
)
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err.startswith("usage: user-gym")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rnu peg.toml", "user-gym: error: argument COMMAND: invalid choice: 'rnu' "),
        ("rnu peg.toml", "; did you mean 'run'?\n"),
        ("run --stauts runs/peg", "user-gym run: error: unrecognized arguments: --stauts; did you mean '--status'?\n"),
        ("run peg.toml more.toml --run-dri=x", "more.toml --run-dri=x; did you mean '--run-dir'?\n"),
        ("buffer inof b", "; did you mean 'info'?\n"),
        ("doctor --weather", "user-gym doctor: error: unrecognized arguments: --weather\n"),
    ],
)
def test_a_word_that_is_none_gets_the_one_that_was_meant(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(line.split())
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [command.__name__.rpartition(".")[2] for command in COMMANDS])
def test_each_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: user-gym {command}" in capsys.readouterr().out


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("USER_GYM_INVENTORY", "/no/such/inventory.toml")
    assert main(["devices"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: bad inventory '/no/such/inventory.toml'")
    assert printed.err.count("\n") == 1


def test_control_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("user_gym.robots.discovery.look", interrupted)
    assert main(["devices"]) == 130


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    """As `user-gym ... | head -1`, with a pipe whose other end is closed."""
    code = (
        "import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
        "from user_gym.cli.main import main\nsys.exit(main(['devices']))"
    )
    environment = {"USER_GYM_INVENTORY": str(tmp_path / "i.toml"), "USER_GYM_LEASES": str(tmp_path / "leases")}
    (tmp_path / "i.toml").write_text("")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_command_says_what_it_runs() -> None:
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        needed = {"twin": ["arx-x5"], "approve": ["left"], "buffer": ["info", "runs/peg/buffer"], "watch": ["runs/peg"]}
        needed["edge"] = ["--policy", "mine:Policy", "--env", "User/PegInsert-sim-v0"]
        needed |= {"bench": ["link"], "tunnel": ["config", "--hub", "learner.example.org"]}
        required = needed.get(name, [])
        assert callable(parser().parse_args([name, *required]).run)


def test_a_table_wraps_its_last_column_only() -> None:
    text = table(("ID", ""), [("a", "one " * 20), ("long-name", "")], width=50)
    lines = text.splitlines()
    assert lines[0] == "ID"
    assert all(len(line) <= 51 for line in lines)
    assert lines[1].startswith("a          one one")
    assert lines[2].startswith("           one")
    assert lines[-1] == "long-name"


def test_the_doctor_wants_what_the_extras_install() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in checkup.PACKAGES:
        (line,) = (line for line in extras[package.extra] if line.startswith(package.distribution))
        line = line.partition(";")[0]
        assert f">={package.versions[0]}" in line
        assert f"<{package.versions[1]}" in line or package.distribution.startswith("opencv")
