"""What a run leaves on disk, read back.

`predictions.csv` and `metrics.csv` hold results; `result.json` is written last and atomically, so
its presence says that a run is finished; `cost.json` holds times and dates, apart from results, so
that equal runs have equal results byte for byte. `utterances.csv` says who spoke what, and how it
was rated, so that a report needs no corpus.
"""

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from ser import metrics
from ser.errors import UserError

PREDICTIONS = "predictions.csv"
RESULT = "result.json"
COST = "cost.json"
METRICS = "metrics.csv"
UTTERANCES = "utterances.csv"
REPRESENTATION = "representation"  # a folder: what was fitted, and
FITTED = "fitted.json"  # facts of it, written last where many share it
EVALUATED = "evaluated"  # a folder: one for each corpus that a run was not made on, and in it
EVALUATION = "evaluation.json"  # written last
CODES = "codes.csv"  # of utterances
SEGMENT_CODES = "codes.npz"  # of some of their segments
UNFINISHED = "unfinished.json"
FAILURE = "failure.json"
CLAIM = "running.lock"
# What a corpus may know of an utterance.
KNOWN = ("speaker", "gender", "session", "style", "emotion", "activation", "valence")
# What a run leaves beside its checkpoints.
WRITTEN = (RESULT, PREDICTIONS, UTTERANCES, COST, METRICS)
# One of these marks a folder as that of a run.
MARKS = (RESULT, UNFINISHED, FAILURE)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a JSON file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps other processes from making the same run at once; ends with the process, also a kill.

    Raises:
        UserError: another process is making it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / CLAIM)
    try:
        # `is_claimed` holds it for a moment when it looks.
        lock.acquire(timeout=2)
    except Timeout:
        raise UserError(f"{folder} is being made by another process") from None
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Whether a process of this machine (or file system) is making the run."""
    if not (folder / CLAIM).exists():
        return False
    try:
        with FileLock(folder / CLAIM, timeout=0):
            return False
    except Timeout:
        return True
    except PermissionError:  # a folder that may be read, but not worked in
        return False


def seconds_spent(folder: Path) -> float:
    """Time that processes now gone have worked on a half-finished run, as far as its files tell."""
    begun = folder / UNFINISHED
    since = begun.stat().st_mtime  # written anew at each start
    signs = (folder / METRICS, folder / "checkpoints" / "last.ckpt")
    last = max((sign.stat().st_mtime for sign in signs if sign.exists()), default=since)
    return (read_json(begun) or {}).get("seconds", 0.0) + max(0.0, last - since)


def write_failure(folder: Path, error: Exception) -> None:
    """Leaves word of what ended a run, for `status` and for whoever looks into the folder."""
    if isinstance(error, UserError):
        told = {"error": str(error)}
    else:
        whole = "".join(traceback.format_exception(error))
        told = {"error": f"{type(error).__name__}: {error}", "traceback": whole}
    with suppress(OSError):  # a full disk may be what ended it
        write_json(folder / FAILURE, told)


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


def write_utterances(folder: Path, table: pd.DataFrame) -> None:
    write_text(folder / UTTERANCES, table.to_csv(index=False))


def read_utterances(folder: Path) -> pd.DataFrame:
    """The table of `utterances.csv`, everything as strings."""
    return pd.read_csv(folder / UTTERANCES, dtype=str, keep_default_na=False)


def read_predictions(folder: Path) -> pd.DataFrame:
    """The table of `predictions.csv`, ids and classes as strings."""
    names = ["utterance", "part", "truth", "prediction"]
    return pd.read_csv(
        folder / PREDICTIONS, dtype={name: str for name in names}, keep_default_na=False
    )


def utterances(parts: Mapping[str, pd.Index], corpus: pd.DataFrame) -> pd.DataFrame:
    """The rows of `utterances.csv`: what scores may be broken down, and codes coloured, by.

    Args:
        parts: ids of each part of the fold.
        corpus: a corpus' table.

    Returns:
        Of all parts: `utterance, part` and what the corpus has of `KNOWN`; where it tells texts,
        `text` is "heard" if training, where that is a part, has the same one, else "new".
    """
    ids = pd.Index(np.concatenate(list(parts.values())))
    table = corpus.loc[ids, [name for name in KNOWN if name in corpus]].rename_axis("utterance")
    table.insert(0, "part", np.repeat(list(parts), [len(each) for each in parts.values()]))
    if "text" in corpus and "train" in parts:
        heard = corpus["text"].loc[ids].isin(corpus["text"].loc[parts["train"]].dropna())
        table["text"] = np.where(heard, "heard", "new")
    return table.reset_index()


def confusion(table: pd.DataFrame, part: str, classes: Sequence[str]) -> np.ndarray:
    """Confusion matrix of one part of `predictions.csv`, (C, C)."""
    rows = table[table["part"] == part]
    numbers = {name: number for number, name in enumerate(classes)}
    truth, prediction = (rows[c].map(numbers).to_numpy() for c in ("truth", "prediction"))
    return metrics.confusion_matrix(truth, prediction, len(classes))


def part_scores(table: pd.DataFrame, part: str, classes: Sequence[str]) -> dict[str, Any] | None:
    """Scores, ECE, recalls and confusion matrix of one part; None where nobody is in it."""
    matrix = confusion(table, part, classes)
    if not matrix.any():
        return None
    recalls = metrics.recalls(matrix)
    rows = table[table["part"] == part]
    sure = rows[[f"p_{name}" for name in classes]].max(axis=1).to_numpy()
    found = metrics.reliability(sure, (rows["prediction"] == rows["truth"]).to_numpy())
    return {
        **metrics.scores(matrix),
        "ece": metrics.expected_calibration_error(found),
        "recall": {
            name: None if np.isnan(recall) else float(recall)
            for name, recall in zip(classes, recalls, strict=True)
        },
        "confusion": matrix.tolist(),
    }
