"""What can be known of a batch on a GPU where there is none: SAPIEN has what is called, and who asks for one is told."""

import ast
import inspect
import subprocess
import sys
from unittest.mock import Mock
from zipfile import BadZipFile

import gymnasium as gym
import pytest
import torch

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)

import sapien  # pyright: ignore[reportMissingImports]
from sapien import physx, render  # pyright: ignore[reportMissingImports]

import user_gym  # noqa: F401  (registers the ids)
from user_gym.errors import BadOption, MissingSystem
from user_gym.sim.maniskill import scene
from user_gym.sim.maniskill.gpu import device, physx_gpu, pictures, visuals

PLAIN = """
import sys, gymnasium, user_gym
env = gymnasium.make_vec("User/PegInsert-maniskill-v0", num_envs=2, device="cpu")
env.reset(seed=0)
env.step(env.action_space.sample())
print("torch" in sys.modules)
"""
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as where it is not installed
import gymnasium, user_gym
from user_gym.errors import MissingExtra
try:
    gymnasium.make_vec("User/PegInsert-maniskill-v0", num_envs=2, device="cuda")
except MissingExtra as error:
    print(error)
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def called(module, *names: str) -> set[str]:
    """Attributes that a module takes of the objects of these names."""
    nodes = (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if ast.unparse(node.value) in names}


def test_sapiens_gpu_system_has_all_that_is_asked_of_it() -> None:
    asked = called(physx_gpu, "system", "self._system")
    assert {"gpu_init", "step", "cuda_articulation_qpos", "set_scene_offset"} <= asked
    assert {name for name in asked if not hasattr(physx.PhysxGpuSystem, name)} == set()
    assert {name for name in called(physx_gpu, "physx") if not hasattr(physx, name)} == set()
    assert {name for module in (physx_gpu, pictures) for name in called(module, "sapien") if not hasattr(sapien, name)} == set()
    assert hasattr(sapien.CudaArray, "torch")
    assert hasattr(physx.PhysxArticulationLinkComponent, "index")


def test_sapiens_renderer_has_all_that_is_asked_of_it() -> None:
    group, camera = render.RenderSystemGroup, render.RenderCameraComponent
    assert hasattr(sapien.Device, "can_render")
    assert hasattr(render, "RenderSystem")
    for names, owner in (
        ({"render"}, render),
        ({"self._group"}, group),
        ({"self._groups[name]", "self._groups[camera]"}, render.RenderCameraGroup),
        ({"shape"}, render.RenderShape),
        ({"camera", "made"}, camera),
        ({"self._system", "system"}, physx.PhysxGpuSystem),
    ):
        asked = called(pictures, *names) | (called(visuals, *names) if names & {"render"} else set())
        assert asked
        assert {name for name in asked if not hasattr(owner, name)} == set()


def test_sapien_takes_the_arguments_that_it_is_given() -> None:
    """By its own docstrings: none of these can be called here."""
    assert "device: str" in physx.PhysxGpuSystem.__init__.__doc__
    assert "index_buffer" in physx.PhysxGpuSystem.gpu_apply_rigid_dynamic_data.__doc__
    assert "offset" in physx.PhysxGpuSystem.set_scene_offset.__doc__
    assert "systems" in render.RenderSystemGroup.__init__.__doc__
    assert "picture_names" in render.RenderSystemGroup.create_camera_group.__doc__
    assert hasattr(physx.PhysxArticulationLinkComponent, "gpu_pose_index")
    assert hasattr(physx.PhysxRigidDynamicComponent, "gpu_pose_index")
    for name in ("max_rigid_contact_count", "max_rigid_patch_count", "found_lost_pairs_capacity"):
        assert name in physx.set_gpu_memory_config.__doc__
    assert hasattr(physx.PhysxArticulation, "gpu_index")
    assert hasattr(physx.PhysxRigidDynamicComponent, "gpu_index")


@pytest.mark.skipif(torch.cuda.is_available(), reason="for where there is no CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "gpu", 0], ids=str)
def test_without_cuda_a_device_is_refused_with_the_cure(name) -> None:
    with pytest.raises(BadOption, match=rf"bad device {name!r}; allowed: cpu; torch finds no CUDA device here"):
        gym.make_vec("User/PegInsert-maniskill-v0", num_envs=2, device=name)


def test_a_device_that_is_not_there_is_told_which_are(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.find("cuda") == torch.device("cuda:0")
    assert device.find("cuda:1") == torch.device("cuda:1")
    with pytest.raises(BadOption, match=r"bad device 'cuda:2'; allowed: cpu \| cuda \| cuda:0 \| cuda:1"):
        device.find("cuda:2")


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (
            OSError("libcuda.so: cannot open shared object file"),
            r"driver does not load: libcuda\.so: .* libcuda\.so\.1 to link",
        ),
        (OSError("libPhysXGpu_64.so: file too short"), r"PhysX's library .* file too short; remove ~/\.sapien/physx/\d"),
        (BadZipFile("File is not a zip file"), r"PhysX's library .* not a zip file; remove ~/\.sapien/physx/\d"),
    ],
    ids=["driver", "library", "download"],
)
def test_a_library_that_does_not_load_is_named(error, cure, monkeypatch) -> None:
    monkeypatch.setattr(physx, "enable_gpu", Mock(side_effect=error))
    with pytest.raises(MissingSystem, match=cure):
        physx_gpu._enable("cuda:0")


def test_a_second_gpu_is_refused_with_the_cure(monkeypatch) -> None:
    monkeypatch.setattr(physx, "PhysxGpuSystem", Mock(side_effect=RuntimeError("one device")))
    with pytest.raises(BadOption, match=r"bad device 'cuda:1'; .*SAPIEN says: one device; use another process"):
        scene.gpu_system(9.81, "cuda:1", 4)


def test_arms_on_the_cpu_need_no_torch() -> None:
    assert said(PLAIN) == "False"


def test_without_torch_the_extra_that_brings_it_is_named() -> None:
    assert said(WITHOUT_TORCH) == "'torch' is not installed; it comes with the extra 'train': pip install 'user-gym[train]'"
