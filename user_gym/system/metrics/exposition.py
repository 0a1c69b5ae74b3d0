"""A record as Prometheus reads it: its text format, version 0.0.4. It knows no socket.

Names and units follow prometheus.io/docs/practices/naming: base units, `_total` on what only grows, shares as `_ratio`. Rates
are left to `rate()`, which knows about restarts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from user_gym.system.metrics.record import BOUNDS, RunRecord, Staleness, State

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = Mapping[str, str]


class Family(NamedTuple):
    """One metric and its samples."""

    name: str  # without the prefix
    kind: str  # gauge, counter or histogram
    words: str
    samples: Iterable[tuple[str, Labels, float]]  # what follows the name, labels, value


def text(record: RunRecord) -> bytes:
    """The body of an answer to a scrape."""
    lines: list[str] = []
    for name, kind, words, samples in _families(record):
        whole = f"user_gym_{name}"
        lines += [f"# HELP {whole} {words}", f"# TYPE {whole} {kind}"]
        lines += [f"{whole}{suffix}{_labels(labels)} {_value(value)}" for suffix, labels, value in samples]
    return ("\n".join(lines) + "\n").encode()


def _families(record: RunRecord) -> Iterator[Family]:
    def one(name: str, kind: str, words: str, value: float) -> Family:
        return Family(name, kind, words, [("", {}, value)])

    def robots(name: str, kind: str, words: str, field: str) -> Family:
        samples = [("", {"robot": robot.name}, float(getattr(robot, field))) for robot in record.robots]
        return Family(f"robot_{name}", kind, words, samples)

    yield Family("run_info", "gauge", "The run; always 1.", [("", {"run": record.run}, 1)])
    yield one("record_timestamp_seconds", "gauge", "When these figures were taken.", record.time)
    yield one("run_ended", "gauge", "1 once the run has ended.", record.ended)
    yield one("env_steps_total", "counter", "Environment steps stored.", record.env_steps)
    yield robots("up", "gauge", "Whether the robot's collector is there and answers.", "alive")
    states = [("", {"robot": r.name, "state": s.value}, float(r.state is s)) for r in record.robots for s in State]
    yield Family("robot_state", "gauge", "1 for the state that the robot is in.", states)
    yield robots("heard_timestamp_seconds", "gauge", "When the robot's collector was heard last.", "heard")
    yield robots("steps_total", "counter", "Environment steps of the robot.", "steps")
    yield robots("episodes_total", "counter", "Episodes that the robot finished.", "episodes")
    yield robots("success_ratio", "gauge", "Successful share of the latest 20 episodes.", "success_rate")
    yield robots("intervention_ratio", "gauge", "Share of these episodes' steps that a person ordered.", "intervention_rate")
    yield robots("faults_total", "counter", "Faults of the robot.", "faults")
    yield robots("utilisation_ratio", "gauge", "Share of the time that the robot did not wait.", "utilisation")
    yield robots("staleness_versions", "gauge", "Versions that the policy of the robot's newest chunk was behind.", "staleness")
    yield one("learner_updates_total", "counter", "Updates of the agent.", record.learner.updates)
    yield one("learner_updates_per_step", "gauge", "Updates per environment step so far.", record.learner.ratio)
    yield one("learner_policy_version", "gauge", "Version of the weights published last.", record.learner.version)
    shown = [("", {"metric": name}, value) for name, value in record.learner.metrics.items()]
    yield Family("learner_metric", "gauge", "What the agent says of its last update.", shown)
    yield one("buffer_transitions", "gauge", "Transitions that can be drawn.", record.buffer.transitions)
    yield one("buffer_memory_bytes", "gauge", "Memory that the buffer takes.", record.buffer.nbytes)
    yield one("buffer_queued_chunks", "gauge", "Chunks that wait to be stored.", record.buffer.queued)
    words = "Versions that the acting policy was behind, per stored step."
    yield Family("staleness_versions", "histogram", words, _histogram(record.staleness))
    waits = [("", {"side": wait.side, "reason": wait.reason}, wait.seconds) for wait in record.waits]
    yield Family("wait_seconds_total", "counter", "Time that a side has waited, and why.", waits)


def _histogram(staleness: Staleness) -> Iterator[tuple[str, Labels, float]]:
    bounds = [*map(str, BOUNDS), "+Inf"]
    for bound, steps in zip(bounds, accumulate(staleness.counts), strict=True):
        yield "_bucket", {"le": bound}, steps
    yield "_sum", {}, staleness.total
    yield "_count", {}, sum(staleness.counts)


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _value(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
