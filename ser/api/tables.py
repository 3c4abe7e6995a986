"""What runs have left, as pandas tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ser.api.signals import File
from ser.errors import UserError
from ser.results import PREDICTIONS, RunFolder

GROUPS = ("corpus", "target", "features", "representation", "model", "fold")
FIRST = ("system", *GROUPS, "fold_index", "seed")
LAST = ("remarks", "seconds", "folder")
CLASS_SCORES = ("ua", "wa", "f1", "chance_ua")
VALUE_SCORES = ("ccc", "pearson", "rmse", "mae")


def read_runs(folder: File) -> pd.DataFrame:
    """Read the scores of all finished runs at or below a folder.

    Args:
        folder: E.g. "outputs/runs". Folders that cannot be read are named on standard error.

    Returns:
        One row per run:

        - `system`: its name in reports, which tells it from the other runs of the folder,
        - `corpus, target, features, representation, model, fold`: choices of the groups,
        - `fold_index, seed`,
        - `ua, wa, f1`: scores on the test split between 0 and 1; missing without a test split,
        - `chance_ua`: chance level of `ua`,
        - `val_ua, val_wa, val_f1`: scores on the validation split,
        - `ccc, pearson, rmse, mae, val_ccc, ...` instead of these, where the target is a value,
        - `<task>_ccc`, `val_<task>_ccc`, ... of several tasks,
        - `remarks`: what weakens the scores and must be shown with them,
        - `seconds`: time that the run took; `folder`: its folder.

    Raises:
        UserError: There is no run that can be read.
    """
    from ser.sweeps.grid import find_runs
    from ser.sweeps.status import print_left_out

    grid = find_runs(Path(folder).expanduser())
    rows, damaged = [], list(grid.damaged)
    for run in grid.runs:
        run_folder = RunFolder(run.folder)
        try:
            result = run_folder.read_record() and run_folder.require_result()
        except UserError as error:
            damaged.append(str(error))
            continue
        if result is not None:
            rows.append(
                {"system": run.system, "fold_index": run.fold, "seed": run.seed}
                | {name: run.choices.get(name) for name in GROUPS}
                | _results(run_folder, result)
            )
    print_left_out(damaged)
    scores = dict.fromkeys(name for row in rows for name in row if name not in (*FIRST, *LAST))
    return pd.DataFrame(rows, columns=[*FIRST, *(scores or CLASS_SCORES), *LAST])


def _results(folder: RunFolder, result: Mapping[str, Any]) -> dict[str, Any]:
    val = {f"val_{name}": value for name, value in _scores(result, "val").items()}
    return {
        **_scores(result, "test"),
        **{name: value for name, value in val.items() if not name.endswith("chance_ua")},
        "remarks": "; ".join(result["remarks"]),
        "seconds": folder.read_cost().get("seconds"),
        "folder": str(folder.path),
    }


def _scores(result: Mapping[str, Any], split: str) -> dict[str, float | None]:
    """Return scores of a split by name; of several tasks by `<task>_<name>`."""
    scores, columns = result[split] or {}, {}
    for task, classes in result.get("tasks", {"": result["classes"]}).items():
        own = scores.get("tasks", {}).get(task, {}) if task else scores
        for name in CLASS_SCORES if classes else VALUE_SCORES:
            columns[f"{task}_{name}" if task else name] = own.get(name)
    return columns


def read_predictions(run: File) -> pd.DataFrame:
    """Read the predictions of a finished run on its validation and test split.

    Args:
        run: Folder of a run, or a folder that contains several.

    Returns:
        `predictions.csv`: `utterance, part, truth, prediction` and `p_<class>` for each class; of
        values, floats without `p_<class>`. Of several runs, the rows of all, after a column
        `folder`.

    Raises:
        UserError: There is no finished run, or predictions have changed since they were written.
    """
    folder = Path(run).expanduser()
    runs = RunFolder.all_finished(folder)
    tables = []
    for each in runs:
        each.require_intact(each.require_result(), PREDICTIONS)
        with each.readable(each.predictions_file):
            tables.append(each.read_predictions())
    if runs[0].path == folder:
        return tables[0]
    for each, table in zip(runs, tables, strict=True):
        table.insert(0, "folder", str(each.path))
    return pd.concat(tables, ignore_index=True)
