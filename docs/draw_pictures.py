"""Draw docs/arms.png, duck.png and table.png: the arms at work, and what their cameras see. `python docs/draw_pictures.py`"""

from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

import user_gym
from user_gym.tasks.expert import PegInsertExpert
from user_gym.tasks.pick_place_expert import PickPlaceExpert
from user_gym.tasks.table_cleanup_expert import TableCleanupExpert

EXPERTS = {"PegInsert": PegInsertExpert, "PickPlace": PickPlaceExpert, "TableCleanup": TableCleanupExpert}
PICTURES = (("arms", "PegInsert", (14, 22)), ("duck", "PickPlace", (33, 68)), ("table", "TableCleanup", (115, 286)))
SMALL = 240  # pixels of an inset


def inset(picture: np.ndarray) -> np.ndarray:
    """A camera's picture, enlarged without smoothing: what a policy gets."""
    return np.array(Image.fromarray(picture).resize((SMALL, SMALL), Image.Resampling.NEAREST))


def at_work(task: str, robot: str, steps: int) -> np.ndarray:
    """The arm after `steps` steps of the scripted expert."""
    env = gymnasium.make(f"User/{task}-sim-v0", robot=robot, obs="pixels", render_mode="rgb_array")
    obs, _ = env.reset(seed=3)
    expert = EXPERTS[task](env.unwrapped.task)
    expert.watch(lambda: env.unwrapped.scene)
    for _ in range(steps):
        obs, _, over, _, _ = env.step(expert.read(env.unwrapped.state).action)
        if over:
            break
    picture = np.concatenate([env.render(), np.concatenate([inset(obs["wrist"]), inset(obs["side"])])], axis=1)
    env.close()
    return picture


if __name__ == "__main__":
    for name, task, when in PICTURES:
        arms = [at_work(task, robot, steps) for robot, steps in zip(("franka-fr3", "arx-x5"), when, strict=True)]
        path = Path(__file__).parent / f"{name}.png"
        Image.fromarray(np.concatenate(arms, axis=1)).quantize(256).save(path, optimize=True)
        print(f"{path} (user_gym {user_gym.__version__})")
