"""Files of a representation in a run's folder: what was fitted, and the codes of utterances."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ser.data.datamodule import DataModule
from ser.data.segments import spread
from ser.representations import Fitted
from ser.results import RunFolder, csv_text, write_bytes, write_json, write_text

# Segments whose codes are saved where models see them one by one: enough for figures, 2 MB at most.
SEGMENTS = 5_000


def save(fitted: Fitted, quality: Mapping[str, Any], folder: RunFolder) -> None:
    """Save a fitted representation, and what it has learned (`ser.runs.quality`)."""
    fitted.save(folder.representation)
    write_json(folder.fitted_file, {**fitted.facts, "quality": quality})


def write(codes: np.ndarray, data: DataModule, folder: RunFolder) -> None:
    """Write the codes of the fold's utterances, (N, K) in the order of its splits."""
    columns = [f"code_{number}" for number in range(codes.shape[1])]
    table = _utterances(data).join(pd.DataFrame(codes, data.fold.everyone, columns))
    write_text(folder.codes_file, csv_text(table.reset_index(names="utterance"), "%.9g"))


def write_segments(
    codes: np.ndarray, owners: np.ndarray, data: DataModule, folder: RunFolder
) -> None:
    """Write the codes of some segments with `utterance, part, truth` of each.

    Args:
        codes: (N, K) codes of all segments.
        owners: (N,) numbers of their utterances, in the order of the fold's splits.
        data: Data of the fold.
        folder: Folder of the run.
    """
    chosen = spread(owners, SEGMENTS)
    table = _utterances(data).iloc[owners[chosen]].reset_index(names="utterance")
    buffer = io.BytesIO()
    # Plain strings, so that the file needs no pickled objects.
    columns = {str(name): table[name].to_numpy(str) for name in table}
    np.savez_compressed(buffer, codes=codes[chosen].astype(np.float32), **columns)
    write_bytes(folder.segment_codes_file, buffer.getvalue())


def _utterances(data: DataModule) -> pd.DataFrame:
    """Return `part` and `truth` of the fold's utterances, in the order of its splits."""
    splits = data.fold.parts
    names = np.repeat(list(splits), [len(ids) for ids in splits.values()])
    ids = data.fold.everyone
    return pd.DataFrame({"part": names, "truth": data.target.labels.loc[ids]}, ids)
