"""What runs have left, as pandas tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ser.api.signals import File
from ser.errors import UserError
from ser.results import PREDICTIONS, RunFolder

GROUPS = ("corpus", "target", "features", "representation", "model", "fold")
TEST = {"ua": "ua", "wa": "wa", "f1": "f1", "chance_ua": "chance_ua"}  # columns by score
VAL = {"val_ua": "ua", "val_wa": "wa", "val_f1": "f1"}
COLUMNS = [
    *("system", *GROUPS, "fold_index", "seed", *TEST, *VAL),
    *("remarks", "seconds", "folder"),
]


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
    return pd.DataFrame(rows, columns=COLUMNS)


def _results(folder: RunFolder, result: Mapping[str, Any]) -> dict[str, Any]:
    test, val = result["test"] or {}, result["val"] or {}
    return {
        **{column: test.get(score) for column, score in TEST.items()},
        **{column: val.get(score) for column, score in VAL.items()},
        "remarks": "; ".join(result["remarks"]),
        "seconds": folder.read_cost().get("seconds"),
        "folder": str(folder.path),
    }


def read_predictions(run: File) -> pd.DataFrame:
    """Read the predictions of a finished run on its validation and test split.

    Args:
        run: Folder of a run, or a folder that contains several.

    Returns:
        `predictions.csv`: `utterance, part, truth, prediction` and `p_<class>` for each class. Of
        several runs, the rows of all, after a column `folder`.

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
