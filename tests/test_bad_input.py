"""Whatever a user gets wrong through gym.make is answered by an error of our tree that names the cure."""

import os
import subprocess
import sys
import textwrap

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.errors import BadAction, BadOption, Closed, NotReset, UnknownName, UserGymError
from user_gym.robots.plugins import load_object

ID = "User/PegInsert-sim-v0"


@pytest.mark.parametrize(
    ("options", "error", "parts"),
    [
        ({"robot": "frnka-fr3"}, UnknownName, ["robot 'frnka-fr3'", "arx-x5", "did you mean 'franka-fr3'?"]),
        ({"robot": None}, UnknownName, ["robot None", "franka-fr3"]),
        ({"task": "PegInsrt"}, UnknownName, ["task 'PegInsrt'", "did you mean 'PegInsert'?"]),
        ({"backend": "moon"}, UnknownName, ["backend", "'moon'", "sim"]),
        ({"obs": "image"}, BadOption, ["obs 'image'", "state | pixels"]),
        ({"control": "torque"}, BadOption, ["control 'torque'", "tcp | joint"]),
        ({"dt": 0.02}, BadOption, ["dt 0.02", "0.001 .. 0.005"]),
        ({"dt": 0.003}, BadOption, ["dt 0.003", "0.001, 0.002, 0.004 or 0.005"]),
        ({"dt": float("nan")}, BadOption, ["dt nan"]),
        ({"dt": "fast"}, BadOption, ["dt 'fast'"]),
        ({"hole_offset": 0.01}, BadOption, ["hole_offset 0.01", "0.003", "metres"]),
        ({"hole_offset": -0.001}, BadOption, ["hole_offset -0.001"]),
        ({"hole_offset": float("nan")}, BadOption, ["hole_offset nan"]),
        ({"hole_offset": "wide"}, BadOption, ["hole_offset 'wide'", "0.003"]),
        ({"success": "often"}, BadOption, ["success 'often'", "strict | 1cm"]),
        ({"hole_ofset": 0.001}, BadOption, ["hole_ofset", "hole_offset"]),
        ({"render_mode": "ansi"}, BadOption, ["render_mode 'ansi'", "rgb_array | human"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [gym.make, lambda id, **options: gym.make_vec(id, 2, **options)], ids=["single", "vector"])
def test_an_option_that_is_not_allowed(make, options, error, parts) -> None:
    if options.get("render_mode") and make is not gym.make:
        parts = ["render_mode 'ansi'", "rgb_array"]
    with pytest.raises(error) as caught:
        make(ID, **options)
    assert isinstance(caught.value, UserGymError)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("action", "parts"),
    [
        (np.zeros(7, np.float32), ["(7,)", "(6,)", "allowed"]),
        (np.zeros((2, 6), np.float32), ["(2, 6)", "(6,)"]),
        (np.array([0, 0, np.nan, 0, 0, 0], np.float32), ["[2]", "nan", "finite"]),
        (np.array([0, 0, 0, 0, -np.inf, 0], np.float32), ["[4]", "finite"]),
        ("forward", ["'forward'", "numbers"]),
    ],
    ids=["wide", "batch", "nan", "infinity", "word"],
)
def test_an_action_that_no_robot_may_be_given(action, parts) -> None:
    env = gym.make(ID, disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(BadAction) as caught:
        env.step(action)
    for part in parts:
        assert part in str(caught.value)
    env.close()


def test_the_life_of_an_environment() -> None:
    env = gym.make(ID).unwrapped
    for use in (lambda: env.step(np.zeros(6)), env.render, lambda: env.state):
        with pytest.raises(NotReset, match=r"call env\.reset\(\) first"):
            use()
    env.reset()
    env.close()
    for use in (env.reset, lambda: env.step(np.zeros(6)), env.render):
        with pytest.raises(Closed, match="make a new one"):
            use()


@pytest.mark.parametrize("error", [BadOption, BadAction, UnknownName, Closed, NotReset])
def test_our_errors_are_also_what_a_caller_expects(error) -> None:
    standard = {
        BadOption: ValueError,
        BadAction: ValueError,
        UnknownName: KeyError,
        Closed: RuntimeError,
        NotReset: RuntimeError,
    }
    assert issubclass(error, UserGymError)
    assert issubclass(error, standard[error])


def message_of(code: str, **environment: str) -> str:
    """What the UserGymError says that `code` ends with, in a new interpreter."""
    wrapped = (
        "import gymnasium as gym, user_gym\nfrom user_gym.errors import UserGymError\n"
        f"try:\n{textwrap.indent(code, '    ')}\nexcept UserGymError as e:\n    print(type(e).__name__, e)\n"
    )
    keep = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "PYOPENGL_PLATFORM")}
    run = subprocess.run(
        [sys.executable, "-c", wrapped], env={**keep, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# Makes the system's graphics libraries unloadable, as on a machine that lacks the packages.
WITHOUT_GRAPHICS = """
import ctypes
_open = ctypes.CDLL.__init__
def _refuse(self, name, *args, **kwargs):
    if name and any(library in str(name) for library in ("libEGL", "libGL", "libOpenGL", "libOSMesa")):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    _open(self, name, *args, **kwargs)
ctypes.CDLL.__init__ = _refuse
"""


@pytest.mark.parametrize("options", ["obs='pixels'", "render_mode='rgb_array'"])
@pytest.mark.parametrize("make", ["make", "make_vec"])
def test_missing_egl_names_the_packages(options, make) -> None:
    said = message_of(f"{WITHOUT_GRAPHICS}gym.{make}('{ID}', {options}).reset()")
    for part in ("MissingSystem", "egl", "libegl1", "apt-get install", "State observations need none of this"):
        assert part in said


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_a_backend_that_mujoco_gl_names_and_the_machine_lacks_names_the_packages(backend) -> None:
    said = message_of(f"{WITHOUT_GRAPHICS}gym.make('{ID}', obs='pixels').reset()", MUJOCO_GL=backend)
    for part in ("MissingSystem", f"cannot draw with {backend}", "libegl1", "libosmesa6"):
        assert part in said


@pytest.mark.parametrize("environment", [{}, {"MUJOCO_GL": "egl"}, {"MUJOCO_GL": "osmesa"}], ids=str)
def test_state_observations_need_no_graphics(environment) -> None:
    code = f"env = gym.make('{ID}')\nenv.reset()\nprint(env.step(env.action_space.sample())[1])"
    assert message_of(WITHOUT_GRAPHICS + code, **environment).strip() == "0.0"


def test_egl_without_a_driver_names_the_packages() -> None:
    nowhere = "/nonexistent"
    said = message_of(f"gym.make('{ID}', obs='pixels').reset()", __EGL_VENDOR_LIBRARY_FILENAMES=nowhere)
    assert "MissingSystem" in said
    assert "apt-get install" in said


def test_a_window_without_a_display_says_so() -> None:
    said = message_of(f"gym.make('{ID}', render_mode='human').reset()")
    for part in ("MissingSystem", "DISPLAY", "rgb_array", "Xvfb"):
        assert part in said


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['stable_baselines3'] = None\nimport user_gym.integrations.sb3"
    assert "user-gym[sb3]" in message_of(code)


def test_an_error_inside_a_backend_is_not_taken_for_a_wrong_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_backend.py").write_text("build = None.nothing")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AttributeError, match="nothing"):
        load_object("broken_backend:build")
    (tmp_path / "sound_backend.py").write_text("build = 1")
    with pytest.raises(BadOption, match="sound_backend"):
        load_object("sound_backend:bild")
