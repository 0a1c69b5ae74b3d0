"""A program that drives an ARX arm, in the wall's time until it is killed: python arx_child.py MODE ROBOT BUS SIDE."""

import sys

import numpy as np

from user_gym.core import Command
from user_gym.real.arx.driver import ArxDriver
from user_gym.real.clock import WallClock
from user_gym.robots import specs


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def gated(robot, bus, side):
    """Print all states of an episode in full precision."""
    import gymnasium as gym

    import user_gym  # noqa: F401

    env = gym.make("User/PegInsert-real-v0", robot=robot, address=bus, twin=side)
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        obs, _ = env.reset(seed=seed)
        for _ in range(40):
            say({key: value.tobytes().hex() for key, value in obs.items()})
            obs, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
    env.close()


def main(mode, robot, bus, side):
    if mode == "gated":
        gated(robot, bus, side)
        return
    spec = specs.spec(robot)
    if mode == "env":
        import gymnasium as gym

        import user_gym  # noqa: F401

        env = gym.make("User/PegInsert-real-v0", robot=robot, address=bus, twin=side, clock="wall")
        env.reset(seed=0)
        say("ready")
        while True:
            env.step(np.zeros(env.action_space.shape, np.float32))
    clock = WallClock()
    driver = ArxDriver(spec, "tcp", bus, clock)
    driver.connect()
    state = driver.begin()
    target, jaw = state.tcp.copy(), float(state.gripper)
    for i in range(10_000):
        if mode == "descend":
            target = state.tcp - [0, 0, 0.01, 0, 0, 0]
        state = driver.exchange(Command(jaw, target), 0.02)
        if i == 20:
            say("ready")


if __name__ == "__main__":
    main(*sys.argv[1:])
