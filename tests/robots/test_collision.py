"""Capsules: distances against plain sampling, the workspace free, folded arms and arms in the table found."""

import numpy as np
import pytest

from user_gym.errors import BadOption
from user_gym.robots import collision, kinematics, reach, registry, specs

ROBOTS = sorted(specs.SPECS)


def sampled(spec, q) -> float:
    """The same by brute force: points along every capsule, all pairs."""
    frames = kinematics.links(spec, q)
    turns, points = [np.eye(3), *frames.turns], [np.zeros(3), *frames.points]

    def end(which):
        frame, point = which
        return points[frame + 1] + turns[frame + 1] @ np.array(point)

    parts, body = collision.capsules(spec), collision._body(spec)
    grid = np.linspace(0, 1, 201)[:, None]
    lines = [end(c.start) * (1 - grid) + end(c.end) * grid for c in parts]
    gaps = [
        np.linalg.norm(lines[i][:, None] - lines[j][None], axis=-1).min() - parts[i].radius - parts[j].radius
        for i, j in zip(body.a, body.b, strict=True)
    ]
    heights = [lines[k][:, 2].min() - c.radius for k, c in enumerate(parts) if c.table]
    return min(*gaps, *heights)


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_distance_is_what_sampling_finds(robot) -> None:
    spec, rng = specs.spec(robot), np.random.default_rng(0)
    for _ in range(10):
        q = rng.uniform(spec.q_min, spec.q_max)
        assert collision.clearance(spec, q).distance == pytest.approx(sampled(spec, q), abs=2e-3)


@pytest.mark.parametrize("robot", ROBOTS)
def test_the_whole_workspace_of_the_task_is_free(robot) -> None:
    spec = specs.spec(robot)
    box, rng = registry.make_task("PegInsert", spec).workspace, np.random.default_rng(0)
    for _ in range(50):
        q = reach.solve(spec, rng.uniform(box.low, box.high))
        assert collision.clearance(spec, q).distance > 2 * collision.MARGIN


@pytest.mark.parametrize("robot", ROBOTS)
def test_an_arm_that_lies_on_the_table_is_found(robot) -> None:
    spec = specs.spec(robot)
    q = spec.home.copy()
    q[1] = spec.q_max[1]
    found = collision.clearance(spec, q)
    assert found.distance < 0
    assert "table" in found.where or " and " in found.where


def test_a_folded_arm_names_the_parts_that_meet() -> None:
    spec = specs.spec("franka-fr3")
    q = np.array([0.0, -1.0, 0.0, -3.04, 0.0, 0.6, 0.8])
    found = collision.clearance(spec, q)
    assert found.distance < 0
    assert " and " in found.where


def test_a_step_of_the_tool_is_predicted_to_first_order() -> None:
    spec = specs.spec("franka-fr3")
    tcp = registry.make_task("PegInsert", spec).goal + [0, 0, 0.05, 0, 0, 0]
    target = tcp + [0.01, -0.005, 0.01, 0, 0, 0.05]
    q = collision.step(spec, reach.solve(spec, tcp), tcp, target)
    assert np.abs(kinematics.position(spec, q) - target[:3]).max() < 1e-3


def test_an_arm_nobody_measured_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(BadOption, match="family"):
        collision.capsules(replace(specs.spec("franka-fr3"), family="unknown"))
