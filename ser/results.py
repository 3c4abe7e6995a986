"""What a run leaves on disk, read back.

`predictions.csv` and `metrics.csv` hold results; `result.json` is written last and atomically, so
its presence says that a run is finished; `cost.json` holds times and dates, apart from results, so
that equal runs have equal results byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics

PREDICTIONS = "predictions.csv"
RESULT = "result.json"
COST = "cost.json"
METRICS = "metrics.csv"
UNFINISHED = "unfinished.json"


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(text)
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


def predictions(
    part: str, truth: pd.Series, probabilities: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """The rows of `predictions.csv` for one part.

    Args:
        part: "val" or "test".
        truth: class name by utterance id, N of them.
        probabilities: (N, C).
        classes: C names.

    Returns:
        Columns `utterance, part, truth, prediction` and `p_<class>` for each class.
    """
    table = pd.DataFrame({"utterance": truth.index, "part": part, "truth": truth.to_numpy()})
    table["prediction"] = np.asarray(classes)[probabilities.argmax(axis=1)]
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))


def write_predictions(folder: Path, table: pd.DataFrame) -> None:
    # Nine digits bring every float32 back to the bit.
    write_text(folder / PREDICTIONS, table.to_csv(index=False, float_format="%.9g"))


def read_predictions(folder: Path) -> pd.DataFrame:
    """The table of `predictions.csv`, ids and classes as strings."""
    names = ["utterance", "part", "truth", "prediction"]
    return pd.read_csv(
        folder / PREDICTIONS, dtype={name: str for name in names}, keep_default_na=False
    )


def confusion(table: pd.DataFrame, part: str, classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix of one part of `predictions.csv`, (C, C)."""
    rows = table[table["part"] == part]
    numbers = {name: number for number, name in enumerate(classes)}
    truth, prediction = (rows[c].map(numbers).to_numpy() for c in ("truth", "prediction"))
    return metrics.confusion_matrix(truth, prediction, len(classes))


def part_scores(table: pd.DataFrame, part: str, classes: Sequence[str]) -> dict[str, Any] | None:
    """Scores, recalls and confusion matrix of one part; None where nobody is in it."""
    matrix = confusion(table, part, classes)
    if not matrix.any():
        return None
    recalls = metrics.recalls(matrix)
    return {
        **metrics.scores(matrix),
        "recall": {
            name: None if np.isnan(recall) else float(recall)
            for name, recall in zip(classes, recalls, strict=True)
        },
        "confusion": matrix.tolist(),
    }
