"""Loggers: Weights & Biases and TensorBoard, beside a run's own `metrics.csv`."""

import csv
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from ser.config.run_key import digest
from ser.errors import UserError
from ser.representations.curves import EPOCH
from ser.results import TASK, RunFolder, restored
from ser.runs.logged import confusions, flat_scores

if TYPE_CHECKING:  # imported where needed: it takes half a second
    import wandb as wandb_client

TAG_LENGTH = 64  # Weights & Biases refuses runs with longer tags
# Files of a report that are logged as tables; its pages and figures are logged, too.
TABLES = ("scores.csv", "tests.csv", "recalls.csv", "slices.csv", "gaps.csv", "shares.csv")


@dataclass(frozen=True)
class RunInfo:
    """Description of a run for its loggers.

    Args:
        folder: Folder of the run.
        choices: Choice of each config group, e.g. {"model": "mlp"}.
        config: Options that can change the result.
        run_key: Hash of the run; equal runs have equal keys.
        remarks: Remarks that must be shown beside every score.
        seed: Seed of the run.
        fold: Number of the fold.
        paper: Key of the paper that the experiment reproduces; None: no paper.
    """

    folder: Path
    choices: Mapping[str, str]
    config: Mapping[str, Any]
    run_key: str
    remarks: Sequence[str]
    seed: int
    fold: int
    paper: str | None


def tensorboard(run: RunInfo) -> TensorBoardLogger:
    """Return a TensorBoard logger; show it with `tensorboard --logdir outputs/runs`."""
    return TensorBoardLogger(run.folder, name="", version="tensorboard")


def wandb(
    run: RunInfo, *, project: str, group: str | None, mode: str | None, tags: list[str]
) -> "Wandb":
    """Return a Weights & Biases logger; offline unless `mode` or `WANDB_MODE` says otherwise.

    The id is the run key, so that a continued run is not logged twice. Online mode without a
    network blocks for 100 s, hence the default; `wandb sync` uploads offline runs.

    Args:
        run: Description of the run.
        project: Project of Weights & Biases.
        group: Group; None: the grid, or else corpus, target and features.
        mode: "online", "offline" or "disabled"; None: `WANDB_MODE`, or else offline.
        tags: Tags in addition to paper, search, corpus, target, features, fold and seed.
    """
    choices = run.choices
    data = [choices["corpus"], choices["target"], choices["features"]]
    experiment, search = choices.get("experiment"), choices.get("search")
    system = experiment.rpartition("/")[2] if experiment else choices["model"]
    fold = [choices["fold"], f"fold {run.fold}", f"seed {run.seed}"]
    searched = [f"search {search}"] if search not in (None, "none") else []
    return Wandb(
        run.folder,
        project=project,
        id=run.run_key,
        name=f"{system} fold {run.fold} seed {run.seed}",
        group=group or choices.get("grid") or " ".join(data),
        job_type=system,
        notes="; ".join(run.remarks) or None,
        tags=_tags([run.paper, *searched, *data, *fold, *tags]),
        config=dict(run.config),
        mode=_mode(mode),
    )


class Wandb(Logger):
    """Logger of one run with complete curves, however often the run was killed.

    Offline, Weights & Biases writes one file per process in blocks of 32 kB, so that a killed
    process leaves less than it logged, most often nothing. A process that continues a run therefore
    logs the earlier epochs again, and removes the files that it replaces: the folder of a run has
    one complete offline run. Online, epochs that the server has are not logged twice.

    Args:
        folder: Folder of the run, with the earlier epochs in `metrics.csv`.
        options: Options of `wandb.init`.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__()
        self.folder, self.options = folder, options
        self._run: wandb_client.Run | None = None
        self._caught_up = False
        self._before = 0  # epochs of the representation

    @property
    def name(self) -> str:
        return self.options["project"]

    @property
    def version(self) -> str:
        return self.options["id"]

    @property
    def experiment(self) -> "wandb_client.Run":
        """The run of Weights & Biases, started on first use. Panels are drawn over epochs."""
        if self._run is None:
            self._run = _begin(self.folder, **self.options)
            self._run.define_metric("epoch")
            self._run.define_metric("*", step_metric="epoch")
            self._run.define_metric(EPOCH)
        return self._run

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the configuration is passed to `wandb.init`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row; the step is the epoch, counted from the start of the first stage."""
        if step is None:
            self._log(metrics, None)
        elif EPOCH in metrics:
            self._log_representation(metrics, step)
        else:
            self._catch_up(step)
            self._log(metrics, self._before + step)

    def _log_representation(self, metrics: Mapping[str, float], epoch: int) -> None:
        if not self._before:
            # One by one, because a pattern would conflict with "*".
            for name in metrics.keys() - {EPOCH}:
                self.experiment.define_metric(name, step_metric=EPOCH)
        self._log(metrics, epoch)
        self._before = epoch + 1

    def _log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        if step is None or step >= self.experiment.starting_step:  # the server has earlier ones
            self.experiment.log(dict(metrics), step=step)

    def _catch_up(self, before: float) -> None:
        """Log the epochs that another process has trained, once."""
        path = RunFolder(self.folder).metrics_file
        if self._caught_up:
            return
        self._caught_up = True
        if not path.exists():  # not trained by epochs
            return
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                numbers: dict[str, Any] = {name: float(value) for name, value in row.items()}
                epoch = int(row["epoch"])
                if epoch < before:
                    self._log(numbers | {"epoch": epoch}, self._before + epoch)

    def finalize(self, status: str) -> None:
        # Called at the end of training; a successful run ends after its test, in `finish`.
        if status != "success" and self._run is not None:
            self._run.finish(exit_code=1)

    def finish(self, result: Mapping[str, Any], predictions: pd.DataFrame) -> None:
        """End the run with its summary and a confusion matrix.

        Args:
            result: Content of `result.json`.
            predictions: Table of `predictions.csv`.
        """
        split = "test" if result.get("test") else "val"
        rows = predictions[predictions["part"] == split]
        classes = [c.removeprefix("p_") for c in predictions.columns if c.startswith("p_")]
        self._catch_up(math.inf)  # a run may be killed between its training and its test
        # Logged before the summary is updated, because logging overwrites the summary.
        tasks = result.get("tasks") or {None: classes}
        for name, of_task in tasks.items():
            own = rows if name is None else rows[rows[TASK] == name]
            if len(own):
                self._plot(own, of_task, split if name is None else f"{split}/{name}")
        self.experiment.summary.update(
            {**flat_scores(result), **confusions(result), "classes": classes}
        )
        self.experiment.finish()

    def _plot(self, rows: pd.DataFrame, classes: Sequence[str], prefix: str) -> None:
        """Log the confusion matrix of some predictions, or their values against the truth."""
        import wandb as client

        title = prefix.replace("/", " ")
        if not classes:
            pairs = rows[["truth", "prediction"]].to_numpy(float)
            points = client.Table(columns=["truth", "prediction"], data=pairs)
            plot = client.plot.scatter(points, "truth", "prediction", title=f"{title} values")
            self.experiment.log({f"{prefix}/values": plot})
            return
        rows = rows[rows["truth"].isin(classes)]  # the others have no majority of raters
        numbers = {name: number for number, name in enumerate(classes)}
        plot = client.plot.confusion_matrix(
            y_true=rows["truth"].map(numbers).tolist(),
            preds=rows["prediction"].map(numbers).tolist(),
            class_names=list(classes),
            title=f"{title} confusion",
        )
        self.experiment.log({f"{prefix}/confusion": plot})


def finish(logger: Logger, result: Mapping[str, Any], predictions: pd.DataFrame) -> None:
    """Log the final scores and, with Weights & Biases, a confusion matrix.

    Args:
        logger: A logger of the run.
        result: Content of `result.json`.
        predictions: Table of `predictions.csv`.
    """
    if isinstance(logger, Wandb):
        logger.finish(result, predictions)
    else:
        logger.log_metrics(flat_scores(result))
        logger.finalize("success")


def log_report(
    grid: str,
    corpora: Iterable[str],
    folder: Path,
    *,
    project: str,
    group: str | None,
    mode: str | None,
    tags: list[str],
) -> None:
    """Log the tables, figures and page of a grid's report as one run of Weights & Biases.

    The id is that of the grid and its corpora, so that a report that is logged again replaces the
    earlier one.

    Args:
        grid: Name of the grid.
        corpora: Corpora of its runs.
        folder: Folder of the report.
        project: As for `wandb`.
        group: As for `wandb`; None: the grid.
        mode: As for `wandb`.
        tags: As for `wandb`.

    Raises:
        UserError: The folder has no report.
    """
    import wandb as client

    tables = [path for name in TABLES if (path := folder / name).exists()]
    images = sorted(folder.glob("*.png"))
    pages = sorted(
        [*folder.glob("*.html"), *folder.glob("*.svg")]
    )  # SVG is not an image type there
    if not (tables or images or pages):
        raise UserError(f"{folder}: no report; make it with python -m ser report grid={grid}")
    corpora = sorted(set(corpora))
    id_ = digest({"report": grid, "corpora": corpora})
    run = _begin(
        folder,
        project=project,
        id=id_,
        name=f"{grid} report",
        group=group or grid,
        job_type="report",
        tags=_tags([*corpora, *tags]),
        mode=_mode(mode),
    )
    content: dict[str, Any] = {path.stem: _table(path) for path in tables}
    # With suffix, because a page may have the same name.
    content |= {path.name: client.Image(str(path)) for path in images}
    content |= {path.stem: client.Html(path.read_text(), inject=False) for path in pages}
    run.log(content)
    run.finish()


def _begin(folder: Path, **options: Any) -> "wandb_client.Run":
    """Start a run, and remove earlier attempts at it from this process and from disk."""
    import wandb as client

    if client.run is not None:
        # A run that failed outside its training is still open, and would receive this run's logs.
        client.finish(exit_code=1)
    for stale in (folder / "wandb").glob(f"offline-run-*-{options['id']}"):
        shutil.rmtree(stale)
    settings = client.Settings(silent=True)
    return client.init(dir=folder, resume="allow", settings=settings, **options)


def _mode(mode: str | None) -> str:
    return mode or os.environ.get("WANDB_MODE", "offline")


def _tags(tags: Iterable[str | None]) -> list[str]:
    """Return distinct tags, shortened to the length that Weights & Biases accepts."""
    short = (tag if len(tag) <= TAG_LENGTH else f"{tag[: TAG_LENGTH - 1]}…" for tag in tags if tag)
    return list(dict.fromkeys(short))


def _table(path: Path) -> Any:
    """Return a CSV file as a table of Weights & Biases, with None for missing values."""
    import wandb as client

    table = restored(pd.read_csv(path))
    rows: list[Any] = [
        [None if isinstance(value, float) and math.isnan(value) else value for value in row]
        for row in table.astype(object).itertuples(index=False)
    ]
    return client.Table(columns=[str(name) for name in table], data=rows)
