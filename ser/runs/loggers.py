"""Where the curves of a run are shown, beside its own `metrics.csv`."""

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
from ser.results import METRICS

if TYPE_CHECKING:  # imported where needed: it takes half a second
    import wandb as wandb_client

TAG_LENGTH = 64  # Weights & Biases takes no run with a longer one
# What of a report's folder is shown as a table; its pages and figures are shown, too.
TABLES = ("scores.csv", "tests.csv", "recalls.csv", "slices.csv")


@dataclass(frozen=True)
class Identity:
    """What loggers may call a run.

    Attributes:
        folder: of the run.
        names: what was chosen of each config group, e.g. {"model": "mlp"}.
        config: the part of the config that can change a result.
        hash: of the run; equal runs have equal ones.
        remarks: what must stand beside the scores wherever they are shown.
        seed: of the run.
        fold: its number.
        paper: key of the paper that the experiment is from; None: there is no such experiment.
    """

    folder: Path
    names: Mapping[str, str]
    config: Mapping[str, Any]
    hash: str
    remarks: Sequence[str]
    seed: int
    fold: int
    paper: str | None


def tensorboard(run: Identity) -> TensorBoardLogger:
    """`tensorboard --logdir outputs/runs`."""
    return TensorBoardLogger(run.folder, name="", version="tensorboard")


def wandb(
    run: Identity, *, project: str, group: str | None, mode: str | None, tags: list[str]
) -> "Wandb":
    """Weights & Biases; offline unless `mode` or `WANDB_MODE` says otherwise.

    The id is the run's hash, so that a continued run is not doubled. Online without a network
    blocks for 100 s, hence the default; `wandb sync` uploads offline runs.

    Args:
        run: what is run.
        project: of Weights & Biases.
        group: null: the grid, or else corpus, target and features.
        mode: "online", "offline" or "disabled"; null: `WANDB_MODE`, or else offline.
        tags: beside paper, search, corpus, target, features, fold and seed.
    """
    names = run.names
    about = [names["corpus"], names["target"], names["features"]]
    experiment, search = names.get("experiment"), names.get("search")
    system = experiment.rpartition("/")[2] if experiment else names["model"]
    where = [names["fold"], f"fold {run.fold}", f"seed {run.seed}"]
    searched = [f"search {search}"] if search not in (None, "none") else []
    return Wandb(
        run.folder,
        project=project,
        id=run.hash,
        name=f"{system} fold {run.fold} seed {run.seed}",
        group=group or names.get("grid") or " ".join(about),
        job_type=system,
        notes="; ".join(run.remarks) or None,
        tags=_tags([run.paper, *searched, *about, *where, *tags]),
        config=dict(run.config),
        mode=_mode(mode),
    )


class Wandb(Logger):
    """A run is one run of whole curves, however often it was killed.

    Offline, Weights & Biases writes a file for each process, in blocks of 32 kB, so that a killed
    one leaves less than was logged, most often nothing. A process that continues a run therefore
    logs the epochs before it, too, and removes the files that it replaces: a run's folder holds one
    offline run, and that is whole. Online, what the server has by then is not logged twice.

    Args:
        folder: of the run; its `metrics.csv` tells the epochs before.
        options: of `wandb.init`.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__()
        self.folder, self.options = folder, options
        self._run: wandb_client.Run | None = None
        self._caught_up = False
        self._before = 0  # epochs of a representation

    @property
    def name(self) -> str:
        return self.options["project"]

    @property
    def version(self) -> str:
        return self.options["id"]

    @property
    def experiment(self) -> "wandb_client.Run":
        """Begun when first asked for. Panels are drawn over epochs, each over its stage's."""
        if self._run is None:
            self._run = _begin(self.folder, **self.options)
            self._run.define_metric("epoch")
            self._run.define_metric("*", step_metric="epoch")
            self._run.define_metric(EPOCH)
        return self._run

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are in the config that a run begins with."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs a row; the step is its epoch, counted from the beginning of the first stage."""
        if step is None:
            self._log(metrics, None)
        elif EPOCH in metrics:
            self._of_representation(metrics, step)
        else:
            self._catch_up(step)
            self._log(metrics, self._before + step)

    def _of_representation(self, metrics: Mapping[str, float], epoch: int) -> None:
        if not self._before:
            # One by one: a pattern would contend with "*".
            for name in metrics.keys() - {EPOCH}:
                self.experiment.define_metric(name, step_metric=EPOCH)
        self._log(metrics, epoch)
        self._before = epoch + 1

    def _log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        if step is None or step >= self.experiment.starting_step:  # the server has those before
            self.experiment.log(dict(metrics), step=step)

    def _catch_up(self, before: float) -> None:
        """Logs the epochs that another process has trained, once."""
        path = self.folder / METRICS
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
        # Told at the end of training; a run that succeeds ends after its test, in `finish`.
        if status != "success" and self._run is not None:
            self._run.finish(exit_code=1)

    def finish(self, result: Mapping[str, Any], predictions: pd.DataFrame) -> None:
        """Ends the run with its summary and a confusion matrix.

        Args:
            result: as in `result.json`.
            predictions: as in `predictions.csv`.
        """
        import wandb as client

        part = "test" if result.get("test") else "val"
        rows = predictions[predictions["part"] == part]
        classes = [c.removeprefix("p_") for c in predictions.columns if c.startswith("p_")]
        numbers = {name: number for number, name in enumerate(classes)}
        plot = client.plot.confusion_matrix(
            y_true=rows["truth"].map(numbers).tolist(),
            preds=rows["prediction"].map(numbers).tolist(),
            class_names=classes,
            title=f"{part} confusion",
        )
        self._catch_up(math.inf)  # a run may be killed between its training and its test
        # Logged first: what is logged changes the summary, and that of the last epoch is no result.
        self.experiment.log({f"{part}/confusion": plot})
        self.experiment.summary.update(
            {
                **_scores(result),
                **{
                    f"{name}/confusion_counts": result[name]["confusion"]
                    for name in ("val", "test")
                    if result.get(name)
                },
                "classes": classes,
            }
        )
        self.experiment.finish()


def finish(logger: Logger, result: Mapping[str, Any], predictions: pd.DataFrame) -> None:
    """Logs the final scores and, where a logger draws one, a confusion matrix.

    Args:
        logger: one of the run's.
        result: as in `result.json`.
        predictions: as in `predictions.csv`.
    """
    if isinstance(logger, Wandb):
        logger.finish(result, predictions)
    else:
        logger.log_metrics(_scores(result))
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
    """Logs the tables, figures and page of a grid's report as one run of Weights & Biases.

    Its id is that of the grid and its corpora: logged again it is the same run, with what is in
    the folder then.

    Args:
        grid: its name.
        corpora: of its runs.
        folder: of the report.
        project, group, mode, tags: as of `wandb`; group null: the grid.

    Raises:
        UserError: the folder holds no report.
    """
    import wandb as client

    tables = [path for name in TABLES if (path := folder / name).exists()]
    images = sorted(folder.glob("*.png"))
    pages = sorted([*folder.glob("*.html"), *folder.glob("*.svg")])  # no image is one of vectors
    if not (tables or images or pages):
        raise UserError(f"{folder} holds no report: python -m ser report grid={grid}")
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
    shown: dict[str, Any] = {path.stem: _table(path) for path in tables}
    # A picture may have a page of the same name beside it.
    shown |= {path.name: client.Image(str(path)) for path in images}
    shown |= {path.stem: client.Html(path.read_text(), inject=False) for path in pages}
    run.log(shown)
    run.finish()


def _begin(folder: Path, **options: Any) -> "wandb_client.Run":
    """Begins a run, with nothing left of an earlier attempt at it in this process or on disk."""
    import wandb as client

    if client.run is not None:
        # That of a run that failed beside its training; what is logged now would be added to it.
        client.finish(exit_code=1)
    for stale in (folder / "wandb").glob(f"offline-run-*-{options['id']}"):
        shutil.rmtree(stale)
    settings = client.Settings(silent=True)
    return client.init(dir=folder, resume="allow", settings=settings, **options)


def _mode(mode: str | None) -> str:
    return mode or os.environ.get("WANDB_MODE", "offline")


def _tags(tags: Iterable[str | None]) -> list[str]:
    """Each once, and none that Weights & Biases would refuse."""
    short = (tag if len(tag) <= TAG_LENGTH else f"{tag[: TAG_LENGTH - 1]}…" for tag in tags if tag)
    return list(dict.fromkeys(short))


def _scores(result: Mapping[str, Any]) -> dict[str, float]:
    """All that is a number in a result, flat: `test/ua`, `test/recall/anger`, `best_epoch`.

    Examples:
        >>> _scores({"test": {"ua": 0.5, "recall": {"joy": 0.5, "fear": None}}, "val": None})
        {'test/ua': 0.5, 'test/recall/joy': 0.5}
    """
    flat: dict[str, float] = {}
    for part in ("val", "test"):
        for name, value in (result.get(part) or {}).items():
            if isinstance(value, float):
                flat[f"{part}/{name}"] = value
        recalls = (result.get(part) or {}).get("recall", {})
        flat |= {f"{part}/recall/{c}": value for c, value in recalls.items() if value is not None}
    return flat | {name: result[name] for name in ("best_epoch", "temperature") if name in result}


def _table(path: Path) -> Any:
    """A CSV file as a table of Weights & Biases, which takes no NaN for nothing."""
    import wandb as client

    table = pd.read_csv(path)
    rows: list[Any] = [
        [None if isinstance(value, float) and math.isnan(value) else value for value in row]
        for row in table.astype(object).itertuples(index=False)
    ]
    return client.Table(columns=[str(name) for name in table], data=rows)
