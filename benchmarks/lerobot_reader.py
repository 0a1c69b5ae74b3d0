"""LeRobot's own reader opens what we export and returns equal frames. Two environments, because its pins are not ours:

python benchmarks/lerobot_reader.py export BUFFER FOLDER      # here: the dataset, and the frames as the buffer has them
OTHER/bin/python benchmarks/lerobot_reader.py read FOLDER     # where lerobot 0.4.4 is installed (pip install lerobot==0.4.4)
"""

import sys
from pathlib import Path

import numpy as np


def export(buffer: str, folder: str) -> None:
    """Write the dataset, and what each of its frames has to be."""
    from user_gym.integrations import lerobot
    from user_gym.system.buffer import episodes
    from user_gym.system.buffer.store import Store

    print(lerobot.export(buffer, Path(folder) / "dataset"))
    expected: dict[str, list[np.ndarray]] = {}
    with Store.open(buffer, read_only=True) as store:
        for episode in episodes.episodes(store):
            for chunk in episodes.chunks(store, episode):
                expected.setdefault("action", []).append(chunk.action)
                expected.setdefault("next.reward", []).append(chunk.reward)
                expected.setdefault("next.done", []).append(chunk.terminated | chunk.truncated)
                expected.setdefault("is_intervention", []).append(chunk.is_intervention)
                expected.setdefault("time", []).append(chunk.time)
                for name, column in chunk.obs.items():
                    kind = "images." if column.ndim == 4 else ""
                    expected.setdefault(f"observation.{kind}{name}", []).append(column[:-1])
    np.savez(Path(folder) / "expected.npz", **{name: np.concatenate(rows) for name, rows in expected.items()})


def read(folder: str) -> None:
    """Compare every frame, bit for bit; then draw batches with windows of time, as a policy's training does."""
    import lerobot
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    expected = np.load(Path(folder) / "expected.npz")
    dataset = LeRobotDataset("user-gym/export", root=Path(folder) / "dataset")
    print(f"lerobot {lerobot.__version__}, torch {torch.__version__}: {dataset.num_episodes} episodes, {len(dataset)} frames")
    columns = {name: expected[name] for name in expected.files}
    assert len(dataset) == len(columns["action"])
    for number in range(len(dataset)):
        frame = dataset[number]
        for name, rows in columns.items():
            found = frame[name].numpy()
            if name.startswith("observation.images."):
                found = np.rint(found.transpose(1, 2, 0) * 255).astype(np.uint8)
            row = rows[number].astype(np.float32) if rows.dtype == np.float64 else rows[number]  # its reader narrows them
            assert found.dtype == row.dtype, (name, found.dtype, row.dtype)
            assert found.tobytes() == row.tobytes(), (name, number)
        assert isinstance(frame["task"], str)
    print(f"equal: {len(dataset)} frames x {len(columns)} columns: {', '.join(columns)}")
    assert set(dataset.meta.stats) >= set(columns)
    window = {"action": [i / dataset.fps for i in range(8)], "observation.state": [-1 / dataset.fps, 0.0]}
    windows = LeRobotDataset("user-gym/export", root=Path(folder) / "dataset", delta_timestamps=window)
    batch = next(iter(torch.utils.data.DataLoader(windows, batch_size=16, shuffle=True)))
    print("batch:", {name: tuple(batch[name].shape) for name in (*window, "action_is_pad")})
    some = LeRobotDataset("user-gym/export", root=Path(folder) / "dataset", episodes=[dataset.num_episodes - 1])
    print(f"the last episode alone: {len(some)} frames")


if __name__ == "__main__":
    if sys.argv[1:2] == ["export"] and len(sys.argv) == 4:
        export(*sys.argv[2:])
    elif sys.argv[1:2] == ["read"] and len(sys.argv) == 3:
        read(sys.argv[2])
    else:
        sys.exit(__doc__)
