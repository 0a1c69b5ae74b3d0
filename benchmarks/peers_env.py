"""Env steps per second of peers: robosuite Lift and gymnasium-robotics FetchPush, and of ours, one after the other.

The peers pin other versions than ours, so each runs in the interpreter it is given:

    python -m venv /tmp/peers && /tmp/peers/bin/pip install robosuite gymnasium-robotics "mujoco<3.4"
    python -m benchmarks.peers_env --peers /tmp/peers/bin/python

Counted are steps per CPU second of one process with random actions, state observations and each package's defaults at its own
control rate (robosuite at 10 Hz, as ours). Rounds alternate, so the machine's drift hits all alike; the median is reported.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from benchmarks.machine import describe, keep

COMMON = """
import time, warnings
warnings.filterwarnings("ignore")
def rate(reset, step, steps):
    reset()
    start = time.process_time()
    for k in range(steps):
        if k % 50 == 49: reset()
        step()
    print("RATE", steps / (time.process_time() - start))
"""
PROGRAMS = {
    "user_gym PegInsert, franka-fr3, dt 2 ms": """
import gymnasium, user_gym
env = gymnasium.make("User/PegInsert-sim-v0", dt=0.002); env.reset(seed=0)
rate(env.reset, lambda: env.step(env.action_space.sample()), 1000)
""",
    "user_gym PegInsert, franka-fr3, dt 4 ms (default)": """
import gymnasium, user_gym
env = gymnasium.make("User/PegInsert-sim-v0"); env.reset(seed=0)
rate(env.reset, lambda: env.step(env.action_space.sample()), 1000)
""",
    "gymnasium-robotics FetchPush (25 Hz)": """
import gymnasium, gymnasium_robotics
gymnasium.register_envs(gymnasium_robotics)
env = gymnasium.make(max(i for i in gymnasium.registry if i.startswith("FetchPush-v")))
env.reset(seed=0)
rate(env.reset, lambda: env.step(env.action_space.sample()), 1000)
""",
    "robosuite Lift, Panda, OSC, 10 Hz": """
import logging, numpy as np
import robosuite
logging.disable(logging.CRITICAL)
env = robosuite.make("Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False,
                     control_freq=10, hard_reset=False)
low, high = env.action_spec; rng = np.random.default_rng(0)
rate(env.reset, lambda: env.step(rng.uniform(low, high)), 150)
""",
}


def measure(python: str, program: str) -> float:
    """Steps per CPU second. Raises RuntimeError with the program's own words where it fails."""
    result = subprocess.run([python, "-c", COMMON + program], capture_output=True, text=True, timeout=300, check=False)
    rates = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("RATE ")]
    if not rates:
        raise RuntimeError(result.stderr.strip()[-500:])
    return float(rates[0])


def main() -> None:
    """Measure all and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="interpreter that has robosuite and gymnasium-robotics")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(args.rounds):
        for name, program in PROGRAMS.items():
            rates[name].append(measure(sys.executable if name.startswith("user_gym") else args.peers, program))
    rows = [f"| {name} | {statistics.median(r):.0f} | {min(r):.0f} .. {max(r):.0f} |" for name, r in rates.items()]
    head = "| environment | env steps per CPU second | range |\n| --- | --- | --- |"
    keep("peers_env", f"# Peers of the step path\n\n{describe()}; median of {args.rounds} rounds\n\n{head}\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
