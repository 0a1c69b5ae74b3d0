"""Entry points are real here: a dist-info folder on sys.path, as pip would write it."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from user_gym.errors import BadOption, MissingExtra, UnknownName
from user_gym.robots import plugins, registry, specs


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Install a package with a robot, two backends and a task."""

    def install(name="third_party_arms", backend="my-arm/own"):
        (tmp_path / f"{name}.py").write_text(
            textwrap.dedent("""
                from dataclasses import replace
                from user_gym.robots.specs import SPECS

                arm = replace(SPECS["franka-fr3"], name="my-arm")
                not_an_arm = 3
                def connect(*arguments): return "mine"
                def connect_any(*arguments): return "any"
                class Polish:
                    def __init__(self, spec, cloth="soft"): self.spec, self.cloth = spec, cloth
            """)
        )
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[user_gym.robots]\nmy-arm = {name}:arm\nno-arm = {name}:not_an_arm\n"
            f"[user_gym.backends]\n{backend} = {name}:connect\n*/anywhere = {name}:connect_any\n"
            f"[user_gym.batch_backends]\n{backend} = {name}:connect_any\n"
            f"[user_gym.tasks]\nPolish = {name}:Polish\n"
        )

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    for module in [m for m in sys.modules if m.startswith("third_party")]:
        del sys.modules[module]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported."""

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    return write


@pytest.mark.parametrize("path", [*registry.BACKENDS.values(), *registry.BATCH_BACKENDS.values(), *registry.TASKS.values()])
def test_every_string_of_the_tables_leads_to_something_callable(path):
    try:
        found = plugins.load_object(path)
    except MissingExtra as error:
        pytest.skip(str(error))
    assert callable(found)


def test_every_arm_has_a_simulated_backend_alone_and_in_batches():
    for robot in specs.SPECS:
        assert "sim" in registry.backends(robot)
        assert registry.load(robot, "sim") is not registry.load(robot, "sim", batch=True)


def test_importing_the_tables_imports_no_simulator_and_no_task():
    code = (
        "import sys, user_gym.robots.registry\n"
        "heavy = {'mujoco', 'torch', 'user_gym.sim', 'user_gym.tasks', 'user_gym.real', 'can', 'franky'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_list_the_known():
    with pytest.raises(UnknownName, match=r"unknown robot 'arx-x6'; known: arx-l5, arx-x5, .*did you mean 'arx-"):
        registry.load("arx-x6", "sim")
    with pytest.raises(UnknownName, match=r"unknown backend of 'arx-x5' 'sum'; known: .*sim"):
        registry.load("arx-x5", "sum")
    with pytest.raises(UnknownName, match=r"unknown batch backend of 'arx-x5' 'gpu'; known: .*sim"):
        registry.load("arx-x5", "gpu", batch=True)
    with pytest.raises(UnknownName, match=r"unknown task 'PegInsrt'; known: .*PegInsert"):
        registry.make_task("PegInsrt", specs.spec("arx-x5"))


def test_another_package_adds_robot_backend_and_task(third_party):
    third_party()
    assert specs.spec("my-arm").name == "my-arm"
    assert "my-arm" in specs.known()
    assert registry.backends("my-arm") == ("anywhere", "maniskill", "own", "real", "sim")
    assert registry.load("my-arm", "sim") is registry.load("arx-x5", "sim")  # a RobotSpec is all that takes
    assert registry.load("my-arm", "own")() == "mine"
    assert registry.load("my-arm", "own", batch=True)() == "any"
    assert registry.load("arx-x5", "anywhere")() == "any"
    assert "Polish" in registry.tasks()
    task = registry.make_task("Polish", specs.spec("my-arm"), {"cloth": "rough"})
    assert (task.spec.name, task.cloth) == ("my-arm", "rough")
    with pytest.raises(UnknownName, match=r"unknown backend of 'arx-x5' 'own'; known: anywhere, .*sim"):
        registry.load("arx-x5", "own")


def test_another_package_cannot_replace_our_own(third_party):
    own = registry.load("arx-x5", "sim")
    third_party(backend="arx-x5/sim")
    assert registry.load("arx-x5", "sim") is own


def test_two_packages_with_one_name_are_refused(third_party):
    third_party()
    third_party("third_party_rival")
    with pytest.raises(BadOption, match="uninstall all but one"):
        registry.load("my-arm", "own")


def test_a_robot_must_be_a_spec(third_party):
    third_party()
    with pytest.raises(BadOption, match="RobotSpec"):
        specs.spec("no-arm")


def test_a_task_is_made_from_its_class_too_and_names_its_options():
    class Wait:
        def __init__(self, spec, seconds=1.0):
            self.seconds = seconds

    arm = specs.spec("arx-l5")
    assert registry.make_task(Wait, arm, {"seconds": 2.0}).seconds == 2.0
    with pytest.raises(BadOption, match=r"'second'.*seconds"):
        registry.make_task(Wait, arm, {"second": 2.0})


def test_a_missing_package_of_an_extra_names_the_extra(module, monkeypatch):
    module("needs_torch", "import torch.nn\n")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"'torch' is not installed.*user-gym\[train\]"):
        plugins.load_object("needs_torch:anything")


def test_a_missing_module_of_nobodys_extra_passes_unchanged(module):
    module("needs_ghost", "import ghost_of_a_module\n")
    with pytest.raises(ModuleNotFoundError, match="ghost_of_a_module") as caught:
        plugins.load_object("needs_ghost:anything")
    assert not isinstance(caught.value, MissingExtra)


@pytest.mark.parametrize("path", ["numpy", ":array", "numpy:", "numpy:no_such_thing"])
def test_a_path_that_names_nothing_is_refused(path):
    with pytest.raises(BadOption, match="object path"):
        plugins.load_object(path)
    assert plugins.load_object("numpy:linalg.norm") is np.linalg.norm


def test_every_extra_that_an_error_may_name_exists():
    import tomllib
    from pathlib import Path

    text = Path(specs.__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert set(plugins.EXTRAS.values()) <= set(tomllib.loads(text)["project"]["optional-dependencies"])
