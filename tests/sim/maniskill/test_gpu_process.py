"""What a GPU changes in a whole process, seen without one: SAPIEN cooks for it as soon as it is told that there is one."""

import subprocess
import sys

import pytest

pytest.importorskip("user_gym.sim.maniskill", reason="comes with the extra 'maniskill'", exc_type=ImportError)
pytest.importorskip("torch", reason="comes with the extra 'train'")

FIRST_ON_THE_CPU = """
import gymnasium, user_gym
from sapien import physx
from user_gym.errors import BadOption
from user_gym.sim.maniskill.gpu import physx_gpu
physx.enable_gpu = physx._enable_gpu  # without the library, which only a GPU's scenes need
env = gymnasium.make("User/PickPlace-maniskill-v0")
env.reset(seed=0)
try:
    physx_gpu._enable("cuda:0")
except BadOption as error:
    print(error)
env.step(env.action_space.sample())
env.close()
physx_gpu._enable("cuda:0")
try:
    gymnasium.make("User/PickPlace-maniskill-v0").reset(seed=0)
except BadOption as error:
    print(error)
"""
CORNERS = """
from sapien import physx
physx._enable_gpu()
from user_gym.sim.maniskill import bodies
ball = bodies._ball(*bodies.GPU_FACETS)
for size in ((1.0, 1.0, 1.0), (0.03, 0.02, 0.015)):
    print(len(ball), len(physx.PhysxCollisionShapeConvexMesh(ball, size, bodies.material(0.5)).vertices))
"""


def said(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_process_has_arms_on_the_cpu_or_on_a_gpu() -> None:
    gpu, cpu = said(FIRST_ON_THE_CPU)
    assert gpu.startswith("bad device 'cuda:0'; allowed: cpu; a process has arms on the CPU or on a GPU")
    assert "close those on the CPU first, or use another process" in gpu
    assert cpu.startswith("bad device 'cpu'; allowed: cuda; a process has arms on the CPU or on a GPU")
    assert "use another process" in cpu


def test_ellipsoids_cooked_for_a_gpu_keep_all_corners() -> None:
    assert said(CORNERS) == ["48 48"] * 2
