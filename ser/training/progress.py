"""Progress of a training on the terminal."""

import logging
import time
from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ser.console import console
from ser.training.phased import PhasedModel

log = logging.getLogger(__name__)


class EpochProgress(pl.Callback):
    """A progress bar of epochs; without a terminal, a log line every ten seconds."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._logged = time.monotonic()
        bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[scores]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,  # silent in a sweep
            transient=True,
            refresh_per_second=4,
        )
        if trainer.is_global_zero and bar.console.is_terminal:
            self._bar = bar
            done = trainer.current_epoch
            self._task = bar.add_task("", total=trainer.max_epochs, completed=done, scores="")
            bar.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        scores = _format_scores(module.record, module.score)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, scores=scores)
        elif trainer.is_global_zero and time.monotonic() - self._logged > 10:
            self._logged = time.monotonic()
            log.info("epoch %d of %d: %s", len(module.record), trainer.max_epochs, scores)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._end()

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self._end()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _format_scores(record: Sequence[Mapping[str, float]], score: str) -> str:
    """Return validation scores, or the losses of a training without validation.

    Args:
        record: Record of the model.
        score: Column of the first score on validation.
    """
    last = record[-1]
    if score in last:
        best = max(row[score] for row in record)
        if score == "val/ua":
            return f"val UA {last[score]:.1%}, best {best:.1%}"
        return f"val {score.removeprefix('val/').upper()} {last[score]:.3f}, best {best:.3f}"
    losses = {name: value for name, value in last.items() if name.startswith("train/")}
    return ", ".join(
        f"{name.removeprefix('train/').removesuffix('_loss')} {value:.3g}"
        for name, value in losses.items()
        if name.endswith("_loss")
    )
