"""What v0 of the other tasks means does not change, either: see tests/test_golden.py."""

import hashlib
import inspect
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import user_gym  # noqa: F401
from user_gym.robots import registry, specs
from user_gym.sim import randomisation
from user_gym.tasks import cap_tighten, charger, pick_place, table_cleanup

ROBOTS = ("arx-l5", "arx-x5", "franka-fer", "franka-fr3")
MODULES = {"Charger": charger, "CapTighten": cap_tighten, "PickPlace": pick_place, "TableCleanup": table_cleanup}
GOLDEN = {
    "Charger": "2656473c1c41df7a919c3ecef72ddcc499c673a200183f61f319879996e47dc5",
    "CapTighten": "40301093e8188a650ab79175f868955fdeeaaaaa440fbe942cfed4cae1e72a63",
    "PickPlace": "749a97fba28d3179863d4ab1ce788eccf904414e13e5488603124d1a3539ed55",
    "TableCleanup": "8fc06e28db26f1c49b81a0c4cd23aab8a0a7bb34bda0c41c1cc80f8944e70427",
}


def numbers(values) -> list[str]:
    """Numbers as text with nine digits: rounding of the last bits between machines is no change of meaning."""
    return [f"{float(v):.9g}" for v in np.asarray(values, float).ravel()]


def body(b) -> list:
    shapes = [[s.kind, s.collides, numbers([*s.size, *s.pose, *s.rgba])] for s in b.shapes]
    j = b.joint
    joint = j and [j.kind, numbers([*j.axis, j.low, j.high, j.friction, j.damping, j.pitch, j.seat, j.seat_stiffness])]
    resists = [b.mass, b.friction, *([b.rolling] if b.rolling else []), *b.pose]
    return [b.name, b.mount, numbers(resists), shapes, joint]


def meaning(name: str) -> dict:
    """Constants, bodies, starts and spaces; what the constants mean, the tests of the task's rule say."""
    make = getattr(MODULES[name], name)
    described = {
        "constants": {key: repr(value) for key, value in sorted(vars(MODULES[name]).items()) if key.isupper()},
        "options": [[p.name, repr(p.default)] for p in list(inspect.signature(make).parameters.values())[1:]],
    }
    for robot in ROBOTS:
        task = registry.make_task(name, specs.spec(robot))
        starts = [task.start(np.random.default_rng(seed)) for seed in range(4)]
        env = gym.make(f"User/{name}-sim-v0", robot=robot)
        state, action = env.observation_space["state"], env.action_space
        described[robot] = {
            "bodies": [body(b) for b in task.bodies],
            "starts": [numbers([*s.tcp, s.gripper, *s.objects.ravel(), *s.joints, *s.progress]) for s in starts],
            "task": [task.rate, task.max_steps, task.moves_gripper, list(task.scene_keys), numbers(task.action_scale)],
            "box": [numbers(task.goal), numbers(task.workspace.low), numbers(task.workspace.high)],
            "spaces": [numbers(state.low), numbers(state.high), list(action.shape)],
        }
        env.close()
    return described


@pytest.mark.parametrize("name", MODULES)
def test_v0_means_what_it_meant(name) -> None:
    now = hashlib.sha256(json.dumps(meaning(name), sort_keys=True).encode()).hexdigest()
    assert now == GOLDEN[name], f"what v0 of {name} means has changed: a change is v1 (docs/ids.md); the hash is now {now}"


PAGE = (Path(__file__).parents[2] / "docs" / "ids.md").read_text()
PLUG, WRENCH = charger.Charger(specs.spec("franka-fr3")), cap_tighten.CapTighten(specs.spec("franka-fr3"))


def test_the_pages_numbers_of_the_charger_are_the_programs() -> None:
    for sentence in (
        f"{charger.PRONG[0] * 2000:g} x {charger.PRONG[1] * 2000:g} mm and {charger.PRONG[2] * 1000:g} mm long",
        f"each {charger.SPACING * 1000:g} mm from the plug's axis",
        f"the TCP is {charger.FACE * 1000:g} mm above the face",
        f"{PLUG.clearance * 1000:g} mm wider on each side (`clearance`, {charger.MIN_CLEARANCE} .. {charger.MAX_CLEARANCE})",
        f"its face is {charger.RIM * 1000:g} mm above the table; friction {charger.FRICTION:g}",
        f"**exactly** {PLUG.hole_offset * 1000:g} mm (`hole_offset`, 0 .. {charger.MAX_OFFSET:g} m)",
        f"exactly {PLUG.turn_offset:g} rad (`turn_offset`, 0 .. {charger.MAX_TURN:g} rad)",
        f"(work point x, y, {PLUG.goal[2]:g}, 0, 0, 0)`, the plug's face",
        f"({charger.DEPTH_SHARE * charger.PRONG[2] * 1000:g} of {charger.PRONG[2] * 1000:g} mm)",
        f"each less than {charger.INSIDE * 1000:g} mm off its slot's axis",
    ):
        assert sentence in PAGE, sentence


def test_the_pages_numbers_of_the_cap_are_the_programs() -> None:
    c = cap_tighten
    for sentence in (
        f"its mouth is {c.MOUTH * 1000:g} mm below the TCP, its ceiling {c.CEILING * 1000:g} mm",
        f"{c.CAP[0] * 2000:g} mm wide and {c.CAP[1] * 1000:g} mm",
        f"whose top is {c.CAP_TOP * 1000:g} mm above the table",
        f"{WRENCH.clearance * 1000:g} mm wider on each side (`clearance`, {c.MIN_CLEARANCE:g} .. {c.MAX_CLEARANCE:g})",
        f"**exactly** {WRENCH.cap_offset * 1000:g} mm (`cap_offset`, 0 .. {c.MAX_OFFSET:g} m)",
        f"thread of {c.PITCH * 1000:g} mm a turn",
        f"half of `torque` ({WRENCH.torque:g} N m; {c.MIN_TORQUE:g} .. {c.MAX_TORQUE:.1f}). After {c.RUN:g} rad",
        f"and is `torque` {c.SEAL:g} rad farther",
        f"(work point x, y, {WRENCH.goal[2]:g}, 0, 0, 0)`, the cap all the way",
        f"{(WRENCH.workspace.low - WRENCH.goal)[2] * 100:.1f} .. +{c.HEIGHT * 100:g} cm in z",
        f"starts {c.HEIGHT * 100:g} cm above the goal",
        f"yaw {c.BEGIN:g} rad (how the cap stands)",
        f"turned by at least {c.RUN + c.TIGHT:g} rad",
        f"within {c.ASIDE * 1000:g} mm of the cap's axis with at least {c.ON * 1000:g} mm of the cap in it",
        f"within {c.LIFTED * 1000:g} mm of the height",
        f"tilted by less than {c.TILTED:g} rad",
    ):
        assert sentence in PAGE, sentence


def test_the_pages_numbers_of_the_duck_are_the_programs() -> None:
    p, task = pick_place, pick_place.PickPlace(specs.spec("franka-fr3"))
    box, middle = task.workspace, np.array([*specs.spec("franka-fr3").work_point[:2], 0, 0, 0, 0])
    for sentence in (
        f"{p.MASS * 1000:g} g, its body {p.BODY[0] * 2000:g} mm long and {p.BODY[1] * 2000:g} mm wide",
        f"its middle {p.SITS * 1000:g} mm above the table; friction {p.FRICTION:g}",
        f"Its place is {-p.PLACE * 1000:g} mm from the work point along -y",
        f"up to {task.spread * 100:g} cm (`spread`, 0 .. {p.MAX_SPREAD:g} m)",
        f"up to {task.turn:g} rad (`turn`, 0 .. {p.MAX_TURN:g} rad)",
        f"{p.BOX * 1000:g} mm from the work point along +y",
        f"walls {p.RIM * 1000:g} mm high and {p.WALL * 1000:g} mm thick, floor {p.FLOOR * 1000:g} mm thick",
        f"twice {task.opening * 1000:g} mm (`opening`, {p.MIN_OPENING:g} .. {p.MAX_OPENING:g} m)",
        f"(work point x, y + {p.BOX:g}, {p.ABOVE:g}, 0, 0, 0)",
        f"+-{(box.high - middle)[0] * 100:g} cm in x, +-{(box.high - middle)[1] * 100:g} cm in y",
        f"{box.low[2] * 100:g} .. {box.high[2] * 100:g} cm above the table",
        f"+-{box.high[5]:g} rad yaw",
        f"{task.max_steps} steps ({task.max_steps / task.rate:g} s)",
        f"moved by more than {p.REST * 1000:g} mm",
        f"the last {p.RESTING} periods; the fingers are at least {p.OPEN * 1000:g} mm apart",
        f"at least {p.AWAY * 1000:g} mm from the duck's middle",
    ):
        assert sentence in PAGE, sentence


def test_the_pages_numbers_of_the_table_are_the_programs() -> None:
    t, task = table_cleanup, table_cleanup.TableCleanup(specs.spec("franka-fr3"))
    box, middle = task.workspace, np.array([*specs.spec("franka-fr3").work_point[:2], 0, 0, 0, 0])
    for sentence in (
        f"each {t.MASS * 1000:g} g and {t.HALF * 2000:g} mm wide",
        *(f"a {name} ({t.ITEMS[name][1][-1] * 2000:g} mm high)" for name in t.ITEMS),
        f"friction {t.FRICTION:g}",
        f"up to {task.spread * 100:g} cm (`spread`, 0 .. {t.MAX_SPREAD:g} m)",
        f"up to {task.turn:g} rad (`turn`, 0 .. {t.MAX_TURN:g} rad)",
        ", ".join(f"({x * 1000:g}, {y * 1000:g})" for x, y in t.SPOTS),
        f"{t.BOX * 1000:g} mm from the work point along +y",
        f"walls {t.RIM * 1000:g} mm high and {t.WALL * 1000:g} mm thick, floor {t.FLOOR * 1000:g} mm thick",
        f"{t.ROOM[0] * 2000:g} mm long (along x) and {t.ROOM[1] * 2000:g} mm wide",
        f"{t.LID_MASS * 1000:g} g and {t.LID * 1000:g} mm thick",
        f"open by {t.STANDS[0]:g} .. {t.STANDS[1]:.2f} rad, and stops at {t.FALLS_BACK:g} rad",
        f"{task.lid_friction:g} N m (`lid_friction`, {t.MIN_LID_FRICTION:g} .. {t.MAX_LID_FRICTION:g})",
        f"(work point x, y + {t.BOX:g}, {t.ABOVE:.2f}, 0, 0, 0)`, over the open box",
        f"work point {(box.low - middle)[0] * 100:g} .. +{(box.high - middle)[0] * 100:g} cm in x",
        f"{box.low[2] * 100:g} .. {box.high[2] * 100:g} cm above the table",
        f"has {task.max_steps} steps ({task.max_steps / task.rate:g} s)",
        f"open by at most {t.CLOSED:g} rad",
        f"more than {t.REST * 1000:g} mm or turned by more than {t.TURNED:g} rad in any of the last {t.RESTING} periods",
        f"at least {t.AWAY * 1000:g} mm above the rim",
    ):
        assert sentence in PAGE, sentence


def test_the_pages_numbers_of_what_is_drawn_are_the_programs() -> None:
    for name in randomisation.NAMES:
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.endswith(f"| {getattr(randomisation.USUAL, name):g} | {getattr(randomisation.LIMITS, name):g} |"), row
