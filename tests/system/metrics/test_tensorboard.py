"""TensorBoard's own reader finds the numbers, and a process without the package is told which extra brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from records import record

from user_gym.errors import MissingExtra
from user_gym.system.metrics import TensorBoard, WeightsAndBiases

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="the extra 'viz'")


def test_tensorboards_reader_finds_every_number_at_its_step(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "made" / "here")
    board.open()
    board.open()
    for steps in (100, 200):
        board.write(record(env_steps=steps, time=1000.0 + steps))
    board.add(200, {"success/deterministic": 0.5}, 1200.0)
    board.close()
    board.close()
    read = accumulator.EventAccumulator(str(tmp_path / "made" / "here"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {*record().numbers(), "success/deterministic"}
    points = read.Scalars("learner/updates")
    assert [(p.step, p.wall_time, p.value) for p in points] == [(100, 1100.0, 4800.0), (200, 1200.0, 4800.0)]
    assert read.Scalars("success/deterministic")[0].value == 0.5
    assert read.Scalars("agent/critic_loss")[0].value == 0.25


def test_what_is_written_is_there_before_the_file_is_closed_and_a_second_file_is_another(tmp_path: Path) -> None:
    boards = TensorBoard(tmp_path), TensorBoard(tmp_path)
    for board in boards:
        board.open()
        board.write(record())
    assert len({path.stat().st_size for path in tmp_path.iterdir()}) == 1
    read = accumulator.EventAccumulator(str(min(tmp_path.iterdir())))
    read.Reload()
    assert read.Scalars("robots/left/steps")[0].value == 1200
    for board in boards:
        board.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_neither_torch_nor_tensorflow_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from user_gym.system.metrics import TensorBoard\n"
        "assert 'tensorboard' not in sys.modules and 'rich' not in sys.modules\n"
        "board = TensorBoard(Path(sys.argv[1])); board.open(); board.close()\n"
        "assert 'tensorboard' in sys.modules and not {'torch', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("package", "extra", "sink"),
    [("tensorboard", "viz", TensorBoard), ("wandb", "wandb", lambda folder: WeightsAndBiases(folder, "peg"))],
)
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch, package, extra, sink) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what is not to be imported
    with pytest.raises(MissingExtra, match=rf"'{package}' is not installed; it comes with the extra '{extra}'"):
        sink(tmp_path).open()


def test_an_offline_run_holds_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed; it comes with the extra 'wandb'")
    sink = WeightsAndBiases(tmp_path, "peg")
    sink.open()
    for steps in (100, 200):
        sink.write(record(env_steps=steps))
    sink.close()
    sink.close()
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert b"learner/updates" in content
    assert b"robots/left/success_rate" in content
