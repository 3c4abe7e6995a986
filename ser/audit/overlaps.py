"""What published splits, and the folds of the configuration, have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from ser.audit.copies import Copy
from ser.data.folds import Fold, verify
from ser.errors import UserError


@dataclass(frozen=True)
class Overlap:
    """What two splits have in common.

    Attributes:
        source: "published", or the fold, e.g. "session 0".
        first, second: Names of the splits.
        sizes: Number of utterances of both.
        speakers: Speakers in both.
        second_speakers: Number of speakers of the second split.
        texts: Texts in both.
        seen: Number of utterances of the second split whose text is in the first one.
        audio: Utterances of the second split whose audio is in the first one.
    """

    source: str
    first: str
    second: str
    sizes: tuple[int, int]
    speakers: tuple[str, ...]
    second_speakers: int
    texts: tuple[str, ...]
    seen: int
    audio: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """The folds of the configuration.

    Attributes:
        name: E.g. "session".
        overlaps: Of train and test, one per fold that has a test split.
        speaker_independent: What the folds claim.
        failures: Why folds cannot be made, or are not what they claim.
        made: Whether there is a fold; otherwise `failures` has the reason.
    """

    name: str
    overlaps: tuple[Overlap, ...]
    speaker_independent: bool
    failures: tuple[str, ...]
    made: bool


def published(table: pd.DataFrame, copies: Sequence[Copy]) -> list[Overlap]:
    """Return the overlap of every pair of splits in the column `split`, training first."""
    if "split" not in table:
        return []
    names = sorted(table["split"].dropna().unique(), key=lambda name: (not is_train(name), name))
    ids = {name: table.index[(table["split"] == name).to_numpy()] for name in names}
    return [
        overlap("published", table, copies, (a, ids[a]), (b, ids[b]))
        for a, b in combinations(names, 2)
    ]


def is_train(name: str) -> bool:
    """Return True for the name of a training split, e.g. "train" or "Training"."""
    return name.lower().startswith("train")


def overlap(
    source: str,
    table: pd.DataFrame,
    copies: Sequence[Copy],
    first: tuple[str, pd.Index],
    second: tuple[str, pd.Index],
) -> Overlap:
    """Return what two splits have in common.

    Args:
        source: Where the splits come from.
        table: Of the corpus.
        copies: Pairs of utterances with the same audio.
        first: Name and utterance ids.
        second: Name and utterance ids.
    """
    (a, a_ids), (b, b_ids) = first, second
    speakers = table["speaker"]
    texts = table["text"] if "text" in table else pd.Series(index=table.index, dtype=object)
    shared = _values(texts, a_ids) & _values(texts, b_ids)
    in_a, in_b = set(a_ids), set(b_ids)
    audio = {
        theirs
        for copy in copies
        for ours, theirs in (copy.pair, copy.pair[::-1])
        if ours in in_a and theirs in in_b
    }
    return Overlap(
        source,
        a,
        b,
        (len(a_ids), len(b_ids)),
        tuple(sorted(_values(speakers, a_ids) & _values(speakers, b_ids))),
        len(_values(speakers, b_ids)),
        tuple(sorted(shared)),
        int(texts.loc[b_ids].isin(shared).sum()),
        tuple(sorted(audio)),
    )


def folds(
    name: str,
    make: Callable[[int], Fold],
    table: pd.DataFrame,
    recordings: pd.Series,
    copies: Sequence[Copy],
) -> Folds:
    """Verify all folds of the configuration, and return what train and test have in common.

    Args:
        name: Of the folds.
        make: Returns the fold of a number.
        table: Of the corpus.
        recordings: Identifier of the decoded file by utterance id.
        copies: Pairs of utterances with the same audio.
    """
    overlaps, failures = [], []
    try:
        first = make(0)
    except UserError as error:
        return Folds(name, (), True, (str(error),), made=False)
    for index in range(first.count):
        fold = make(index)
        try:
            verify(fold, table, recordings)
        except UserError as error:
            failures.append(str(error))
        if len(fold.test):
            splits = ("train", fold.train), ("test", fold.test)
            overlaps.append(overlap(f"{name} {index}", table, copies, *splits))
    return Folds(name, tuple(overlaps), first.speaker_independent, tuple(failures), made=True)


def _values(column: pd.Series, ids: pd.Index) -> set[str]:
    return set(column.loc[ids].dropna())
