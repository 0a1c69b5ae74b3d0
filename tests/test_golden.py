"""What v0 means does not change. If this fails, either undo the change or register v1 beside v0: see docs/ids.md."""

import hashlib
import inspect
import itertools
import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import user_gym.interface
from user_gym.core import RobotState, Scene
from user_gym.env import RobotEnv
from user_gym.ids import IDS
from user_gym.interface import Interface
from user_gym.robots import safety, specs
from user_gym.robots.registry import ENV_OPTIONS
from user_gym.sim import cell
from user_gym.tasks import peg_insert
from user_gym.tasks.peg_insert import PegInsert
from user_gym.testing.bench import Bench
from user_gym.testing.env_suite import RESET_INFO, STEP_INFO
from user_gym.vector import RobotVectorEnv

GOLDEN = "daf430b7d0fe7a5bd754ac4afe249fc1077e86d10cd279e184b73ab1f77bc994"
ROBOTS = ("arx-l5", "arx-x5", "franka-fer", "franka-fr3")
FR3 = specs.spec("franka-fr3")
ORDERS = (0.0, 0.3, -0.4, 1.0, -1.0)  # of every axis at once; the last two meet the limits


def numbers(values) -> list[str]:
    """Numbers as text with nine digits: rounding of the last bits between machines is no change of meaning."""
    return [f"{float(v):.9g}" for v in np.asarray(values, float).ravel()]


def space(box: gym.spaces.Box) -> dict:
    bounds = {"low": numbers(box.low), "high": numbers(box.high)} if box.dtype != np.uint8 else {"low": ["0"], "high": ["255"]}
    return {"shape": list(box.shape), "dtype": str(box.dtype), **bounds}


LATER = {"randomise": "None", "board": "None"}  # options that v0 got afterwards, whose defaults leave everything as it was


def defaults() -> dict:
    """Every option of the beginning and its default; one without a default says so."""
    makers = {"env": RobotEnv, "vector": RobotVectorEnv, "PegInsert": PegInsert, "sim": cell.build, "batch": cell.build_batch}
    return {name: [option for option in options(maker) if LATER.get(option[0]) != option[1]] for name, maker in makers.items()}


def options(maker) -> list[list[str]]:
    return [[p.name, "" if p.default is p.empty else repr(p.default)] for p in inspect.signature(maker).parameters.values()]


def verdicts(task: PegInsert) -> str:
    """The judgements, 0 or 1 each, of a grid of poses around the goal."""
    hole = np.array([[*task.goal[:2] + [0.001, 0.0], peg_insert.RIM, 0, 0, 0, 1.0]])
    scene = Scene(("board",), hole, np.ones(1, bool), "sim", 0.0)
    aside, height, tilt = (
        (-0.0113, -0.0027, -0.0013, 0.0003, 0.0017, 0.0031, 0.0093),
        (0.0, 0.0043, 0.0057, 0.0111),
        (-0.008, 0.0),
    )
    answers = []
    for x, y, z, roll, pitch in itertools.product(aside, aside, height, tilt, tilt):
        verdict = task.judge(at(task.goal + np.array([x, y, z, roll, pitch, 0.0])), scene, np.zeros(0))
        assert float(verdict.reward) == float(verdict.success)
        assert not verdict.failure
        answers.append(str(int(verdict.success)))
    return "".join(answers)


def at(tcp, gripper=0.0, q=FR3.home) -> RobotState:
    return RobotState(np.float64(0), q, 0 * q, 0 * q, tcp, np.zeros(6), np.zeros(6), np.float64(gripper))


def rule(robot: str) -> dict:
    """The task: its numbers, things, starts and judgements."""
    task = PegInsert(specs.spec(robot))
    starts = [task.start(np.random.default_rng(seed)) for seed in range(4)]
    return {
        "constants": {name: repr(value) for name, value in sorted(vars(peg_insert).items()) if name.isupper()},
        "bodies": [
            [
                b.name,
                b.mount,
                numbers([b.mass, b.friction, *b.pose]),
                [[s.kind, numbers([*s.size, *s.pose, *s.rgba])] for s in b.shapes],
            ]
            for b in task.bodies
        ],
        "starts": [numbers([*s.tcp, s.gripper, *s.objects.ravel(), *s.progress]) for s in starts],
        "success": {name: verdicts(PegInsert(specs.spec(robot), success=name)) for name in peg_insert.SUCCESS_RULES},
        "rate": task.rate,
        "steps": task.max_steps,
        "moves gripper": task.moves_gripper,
        "origin": numbers(task.goal),
        "workspace": [numbers(task.workspace.low), numbers(task.workspace.high)],
    }


def arm(robot: str) -> dict:
    """What of an arm a policy feels: limits, compliance, gripper, cameras."""
    spec = specs.spec(robot)
    fields = (
        "q_min",
        "q_max",
        "dq_max",
        "tau_max",
        "tcp_speed",
        "joint_margin",
        "joint_stiffness",
        "joint_damping",
        "work_point",
    )
    hand = Interface(spec, Bench(spec, moves_gripper=True), "state", "tcp")
    here = at(Bench(spec).start(np.random.default_rng(0)).tcp, 0.0, spec.home)
    none = Scene((), np.zeros((0, 7)), np.zeros(0, bool), "sim", 0.0)
    return {
        **{name: numbers(getattr(spec, name)) for name in fields},
        "compliance": [numbers(getattr(spec.compliance, name)) for name in ("stiffness", "damping", "error_clip")],
        "damping": spec.damping.value,
        "force": spec.force_estimate.value,
        "hand": numbers([spec.gripper.width, spec.gripper.speed, spec.gripper.force, *spec.flange, *spec.tcp]),
        "gripper order": numbers([hand.command([0, 0, 0, 0, 0, 0, a], here)[0].gripper for a in (-1, -0.5, 0, 1)]),
        "gripper seen": numbers([hand.observe(at(here.tcp, g), none, {}, here.tcp)["state"][18] for g in (0, 0.25, 1)]),
        "cameras": [[c.name, c.mount, numbers(c.pose), numbers([c.fovy]), c.height, c.width] for c in spec.cameras],
    }


def executed(env: gym.Env) -> list[list[str]]:
    """What becomes of fixed orders, each given at the same start: half way up in the box, aside and turned."""
    task, rows = env.unwrapped.task, []
    tcp = task.goal + np.array([0.03, -0.02, 0.05, 0.0, 0.0, 0.3])
    for size in ORDERS:
        env.reset(seed=0, options={"tcp": tcp})
        done = env.step(np.full(env.action_space.shape, size, np.float32))[4]["executed_action"]
        rows.append([f"{round(float(value), 6) + 0.0:.6f}" for value in done])  # + 0.0: no minus zero
    return rows


def meaning(id: str, robot: str, obs: str, control: str) -> dict:
    """All that a policy trained on an id relies on besides the arm and the task."""
    env = gym.make(id, robot=robot, obs=obs, control=control)
    described = {
        "observation": {name: space(box) for name, box in env.observation_space.items()},  # names in their order
        "action": space(env.action_space),
        "action scale": numbers(env.unwrapped.task.action_scale if control == "tcp" else [user_gym.interface.JOINT_STEP]),
        "steps": env.spec.max_episode_steps,
        "executed": executed(env) if obs == "state" else None,
    }
    env.close()
    return described


def everything(robots=ROBOTS) -> dict:
    simulated = sorted(id for id, (task, backend, _, _) in IDS.items() if backend == "sim" and task == "PegInsert")
    kinds = itertools.product(simulated, robots, ("state", "pixels"), ("tcp", "joint"))
    return {
        "defaults": defaults(),
        "info": [sorted(STEP_INFO), sorted(RESET_INFO)],
        "task": {robot: rule(robot) for robot in robots},
        "arm": {robot: arm(robot) for robot in robots},
        "kinds": {" ".join(kind): meaning(*kind) for kind in kinds},
    }


def digest(described: dict) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=False, separators=(",", ":")).encode()).hexdigest()


def test_v0_means_what_it_meant() -> None:
    now = digest(everything())
    assert now == GOLDEN, f"what v0 means has changed: a change is v1 (docs/ids.md); the hash is now {now}"


def test_the_robots_of_the_hash_are_all_we_have() -> None:
    assert set(specs.SPECS) == set(ROBOTS)


def other_spec(**changes):
    return lambda patch: patch.setattr(
        specs, "SPECS", {**specs.SPECS, "franka-fr3": replace(specs.spec("franka-fr3"), **changes)}
    )


def scaled(module, name, by=1.01):
    return lambda patch: patch.setattr(module, name, getattr(module, name) * by)


def default(index, value):
    def change(patch):
        old = list(PegInsert.__init__.__defaults__)
        old[index] = value
        patch.setattr(PegInsert.__init__, "__defaults__", tuple(old))

    return change


def leans(task, state, scene, progress):
    """The judge with one sign wrong."""
    return JUDGE(task, replace(state, tcp=state.tcp * [1, 1, 1, 1, -1, 1]), scene, progress)


JUDGE, START = PegInsert.judge, PegInsert.start
SOFTER = replace(FR3.compliance, damping=FR3.compliance.damping * 0.9)
CHANGES = {
    "a joint step": scaled(user_gym.interface, "JOINT_STEP"),
    "slack": scaled(user_gym.interface, "SLACK"),
    "speed bound": scaled(user_gym.interface, "SPEED"),
    "force bound": scaled(user_gym.interface, "FORCE"),
    "friction": scaled(peg_insert, "FRICTION"),
    "depth share": scaled(peg_insert, "DEPTH_SHARE"),
    "hole offset": default(0, 0.002),
    "success rule": default(1, "1cm"),
    "env default": lambda patch: patch.setattr(
        RobotEnv.__init__, "__defaults__", (*RobotEnv.__init__.__defaults__[:-2], 0.002, None)
    ),
    "judge": lambda patch: patch.setattr(PegInsert, "judge", leans),
    "start": lambda patch: patch.setattr(
        PegInsert, "start", lambda task, rng: START(task, np.random.default_rng(rng.integers(9)))
    ),
    "episode length": lambda patch: patch.setattr(PegInsert, "max_steps", 99),
    "tcp speed": other_spec(tcp_speed=(0.2, 1.25)),
    "joint margin": other_spec(joint_margin=0.03),
    "joint speed": other_spec(dq_max=FR3.dq_max * 1.01),
    "joint limits": other_spec(q_max=FR3.q_max * 1.01),
    "compliance": other_spec(compliance=SOFTER),
    "gripper": other_spec(gripper=replace(FR3.gripper, width=0.081)),
    "clamp": lambda patch: patch.setattr(safety, "clamp", lambda order, *_: safety.Clamped(order, False)),
}


@pytest.fixture(scope="module")
def before() -> str:
    return digest(everything(("franka-fr3",)))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_meaning_changes_the_hash(monkeypatch, before, change) -> None:
    change(monkeypatch)
    assert digest(everything(("franka-fr3",))) != before


def test_the_hash_of_no_change_is_the_same(before) -> None:
    assert digest(everything(("franka-fr3",))) == before


def test_the_reward_rule_is_the_documented_one() -> None:
    """The tip 80 % of 25 mm below the rim, and less than 2 mm off the hole's axis; a resting peg is no success."""
    task = PegInsert(FR3)
    hole = np.array([[FR3.work_point[0] + 0.0005, FR3.work_point[1], 0.03, 0, 0, 0, 1.0]])
    scene = Scene(("board",), hole, np.ones(1, bool), "sim", 0.0)

    def judged(depth: float, aside: float = 0.0) -> tuple[float, bool]:
        tcp = np.array([hole[0, 0] + aside, hole[0, 1], 0.03 + 0.05 - depth, 0, 0, 0])
        verdict = task.judge(at(tcp), scene, np.zeros(0))
        return float(verdict.reward), bool(verdict.success)

    assert judged(0.0201) == (1.0, True)
    assert judged(0.0199) == (0.0, False)
    assert judged(0.0) == (0.0, False)  # on the board
    assert judged(0.0201, aside=0.0021) == (0.0, False)  # beside the hole


PAGE = (Path(__file__).parents[1] / "docs" / "ids.md").read_text()


def test_the_page_names_every_key_option_and_id() -> None:
    for name in (*STEP_INFO, *RESET_INFO, *IDS, *ROBOTS, *ENV_OPTIONS, "hole_offset", "success", "reset_mask", "final_obs"):
        assert f"`{name}`" in PAGE or f'"{name}"' in PAGE, name


def test_the_pages_numbers_are_the_programs() -> None:
    task, offset = PegInsert(FR3), inspect.signature(PegInsert).parameters["hole_offset"].default
    box, scale = task.workspace, task.action_scale
    for sentence in (
        f"clearance {peg_insert.CLEARANCE * 1000:g} mm a side",
        f"({peg_insert.DEPTH_SHARE * peg_insert.HOLE_DEPTH * 1000:g} of {peg_insert.HOLE_DEPTH * 1000:g} mm)",
        f"friction {peg_insert.FRICTION:g}",
        f"rim is {peg_insert.RIM * 1000:g} mm above the table",
        f"m, 0 .. {peg_insert.MAX_OFFSET:g}: the hole is **exactly** this far",
        f"no observation tells | {offset:g} |",
        f"{peg_insert.PEG_WIDTH * 1000:g} mm square",
        f"{peg_insert.PEG_LENGTH * 1000:g} mm beyond the TCP",
        f"less than {peg_insert.INSIDE * 1000:g} mm off its axis",
        f"{scale[0]:g} m (x, y, z), {scale[3]:g} rad",
        f"{user_gym.interface.JOINT_STEP:g} rad, added to the measured joint",
        f"(work point x, y, {task.goal[2]:g}, 0, 0, 0)",
        f"0 .. +{(box.high - task.goal)[2] * 100:g} cm in z, +-{(box.high - task.goal)[3]:g} rad roll and pitch",
        f"{FR3.tcp_speed[0]:g} m/s and {FR3.tcp_speed[1]:g} rad/s",
        f"{task.rate:g} actions a second",
        f"{task.max_steps} steps ({task.max_steps / task.rate:g} s)",
    ):
        assert sentence in PAGE, sentence
