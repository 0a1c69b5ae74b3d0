"""Numbers for Weights & Biases, kept in the run's folder. Nothing is sent; `wandb sync` does that, when a person wants it."""

from __future__ import annotations

from pathlib import Path

from user_gym.core import real
from user_gym.errors import MissingExtra
from user_gym.system.metrics.record import RunRecord


class WeightsAndBiases:
    """A `Sink`: an offline run in FOLDER/wandb.

    Args:
        folder: of the run; it is there when this opens.
        name: of the run.
        period: s between two records.
    """

    def __init__(self, folder: Path, name: str, period: float = 10.0) -> None:
        self.period = real("period", period, 0.0, 3600.0, "s, 0 .. 3600")
        self._folder, self._name = folder, name
        self._run = None

    def open(self) -> None:
        """Begin an offline run. Raises MissingExtra."""
        if self._run is not None:
            return
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise MissingExtra((error.name or "wandb").partition(".")[0], "wandb") from error
        self._run = wandb.init(
            project="user-gym", name=self._name, dir=str(self._folder), mode="offline", settings=wandb.Settings(silent=True)
        )

    def write(self, record: RunRecord) -> None:
        """As `Sink.write`: all numbers of the record, over environment steps."""
        assert self._run is not None
        self._run.log(record.numbers(), step=record.env_steps)

    def close(self) -> None:
        """As `Sink.close`."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()
