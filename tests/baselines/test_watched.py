from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch

from baselines import online, rlpd
from baselines.config import Config
from baselines.report import Live
from user_gym.errors import BadOption, Busy
from user_gym.system.metrics import Endpoint, Recorder, TensorBoard, newest

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="the extra 'viz'")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(online, "GLANCE", 1)
    return Config(
        steps=40, learning_starts=10, eval_every=20, eval_episodes=1, demos=1, batch_size=8, hidden=8, film=False,
        run_dir=tmp_path / "run",
    )  # fmt: skip


def tags(folder: Path) -> set[str]:
    read = accumulator.EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return set(read.Tags()["scalars"])


def test_a_run_can_be_watched_from_its_folder_and_keeps_its_looks(tiny):
    rlpd.main(tiny)
    record = newest(tiny.folder)
    assert (record.run, record.env_steps, record.learner.updates, record.ended) == ("run", 40, 120, True)
    (robot,) = record.robots
    assert (robot.name, robot.robot, robot.steps) == ("collector-0", "franka-fr3", 40)
    assert sum(record.staleness.counts) == 40
    assert {"success/deterministic", "updates"} <= tags(tiny.folder)
    assert "robots/collector-0/steps" not in tags(tiny.folder)


def test_a_run_is_served_and_drawn_where_that_is_asked_for(tiny, monkeypatch, capsys):
    pages = []

    class Scraped(Recorder):
        def write(self, record):
            super().write(record)
            (endpoint,) = (sink for sink in self._sinks if isinstance(sink, Endpoint))
            with urlopen(endpoint.url, timeout=10) as answer:
                pages.append(answer.read().decode())

    monkeypatch.setattr(online, "Recorder", Scraped)
    rlpd.main(replace(tiny, metrics_port=0, tensorboard=True))
    assert "metrics: http://127.0.0.1:" in capsys.readouterr().out
    assert 'user_gym_robot_steps_total{robot="collector-0"} 40\n' in pages[-1]
    assert "user_gym_run_ended 1\n" in pages[-1]
    assert {"success/deterministic", "robots/collector-0/steps", "learner/updates"} <= tags(tiny.folder)
    assert rlpd.main(tiny) is not None  # who watches makes no other run


def test_the_same_bits_come_out_whoever_watches(tiny):
    for name, options in (("plain", {}), ("watched", {"metrics_port": 0, "tensorboard": True})):
        rlpd.main(replace(tiny, run_dir=tiny.folder / name, **options))
    digests = [json.loads((tiny.folder / name / "state.json").read_text())["digests"] for name in ("plain", "watched")]
    assert digests[0] == digests[1]


def test_a_port_that_cannot_be_had_is_named(tiny):
    with pytest.raises(BadOption, match="metrics port 65536"):
        rlpd.main(replace(tiny, metrics_port=65536))
    taken = Endpoint(0)
    taken.open()
    port = int(taken.url.split(":")[2].split("/")[0])
    with pytest.raises(Busy, match="choose another metrics port"):
        rlpd.main(replace(tiny, metrics_port=port))
    taken.close()


def test_a_disk_that_takes_no_points_is_said_and_ends_no_run(tmp_path, monkeypatch, capsys):
    board = TensorBoard(tmp_path)
    with Live(board, 100) as live:
        monkeypatch.setattr(board, "_event", lambda **_: Full())
        live.show(10, {"updates": 1.0}, "fine")
        monkeypatch.undo()
        live.show(20, {"updates": 2.0}, "fine again")
    assert "TensorBoard lacks step 10: [Errno 28]" in capsys.readouterr().out
    files = sorted(tmp_path.iterdir(), key=lambda path: int(path.name.rpartition(".")[2]))
    assert len(files) == 2  # it began anew
    read = accumulator.EventAccumulator(str(files[1]))
    read.Reload()
    assert [point.step for point in read.Scalars("updates")] == [20]


class Full:
    def SerializeToString(self):  # noqa: N802
        raise OSError(errno.ENOSPC, "No space left on device")
