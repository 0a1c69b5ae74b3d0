"""Without the extra, or a library of the system, the ids exist, and say what to install."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["sapien"] = None  # as where it is not installed
import gymnasium, user_gym
from user_gym.errors import MissingExtra
for make in (gymnasium.make, gymnasium.make_vec):
    try:
        make("User/PickPlace-maniskill-v0")
    except MissingExtra as error:
        print(error)
"""


def test_a_missing_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()
        == ["'sapien' is not installed; it comes with the extra 'maniskill': pip install 'user-gym[maniskill]'"] * 2
    )


def test_a_missing_library_is_named_with_its_package(tmp_path) -> None:
    """As sapien fails where there is no X11, also for physics alone."""
    text = "libX11.so.6: cannot open shared object file: No such file or directory"
    (tmp_path / "sapien.py").write_text(f"raise ImportError({text!r})")
    program = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import gymnasium, user_gym
gymnasium.make("User/PegInsert-maniskill-v0")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1].startswith(f"user_gym.errors.MissingSystem: sapien does not load: {text}; ")
    assert "libx11-6" in done.stderr.splitlines()[-1]
