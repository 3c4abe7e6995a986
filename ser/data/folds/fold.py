"""A fold, and the verification of its claims."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from ser.errors import UserError

PARTS = ("train", "val", "test")
TOLERANCE = 0.01  # seconds; neighbouring segments may overlap so much, as annotations are rounded


@dataclass(frozen=True)
class Fold:
    """The splits of one fold, as sorted utterance ids.

    Attributes:
        index: Number of the fold, from 0.
        count: Number of folds.
        train, val, test: Labelled utterances. `test` is empty in experiments without a test.
        fit: Utterances that unsupervised stages may see.
        speaker_independent: Claim that no speaker is in two splits; checked by `verify`.
        text_independent: Claim that no text is in two splits; checked by `verify`.
        dependence: Why the fold is not speaker independent, if it is not.
        test_sets: Parts of `test` by name that are also scored by themselves.
        remarks: Further facts that must be printed beside every score.
        copies: Training utterance by the id of each of its corrupted copies, which are for training
            alone.
        counterpart: Number of the fold that has the same training split, and the validation split
            of which is the test split of this one; None: there is none.
    """

    index: int
    count: int
    train: pd.Index
    val: pd.Index
    test: pd.Index
    fit: pd.Index
    speaker_independent: bool
    text_independent: bool = False
    dependence: str = "the same speakers are in train and test"
    test_sets: Mapping[str, pd.Index] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    copies: pd.Series = field(default_factory=lambda: pd.Series(dtype=object))
    counterpart: int | None = None

    @property
    def parts(self) -> dict[str, pd.Index]:
        """The splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def beyond(self, fit_on: Literal["target", "train", "all"], table: pd.DataFrame) -> pd.Index:
        """Return the utterances outside the training split that unsupervised stages may see.

        Args:
            fit_on: "target": none; "train": those of `fit`; "all": all utterances, including the
                test split, which makes a result transductive.
            table: Of the corpus.
        """
        visible = {"target": self.train, "train": self.fit, "all": table.index}[fit_on]
        return visible.difference(self.train)

    @property
    def training(self) -> pd.Index:
        """The training utterances and their copies, from which models are fitted."""
        return self.train if self.copies.empty else self.train.append(self.copies.index)

    def with_copies(self, copies: pd.Series) -> "Fold":
        """Return the fold with copies of training utterances.

        Args:
            copies: Training utterance by the id of each copy.
        """
        assert copies.isin(self.train).all(), "only training utterances may have copies"
        assert not copies.index.isin(self.everyone).any()
        return replace(self, copies=copies)

    @property
    def everyone(self) -> pd.Index:
        """The utterances of all splits."""
        return self.train.append([self.val, self.test])


def verify(fold: Fold, table: pd.DataFrame, recordings: pd.Series) -> None:
    """Verify the claims of a fold; every run calls this.

    Args:
        fold: To be verified.
        table: Of the corpus; `start` and `end` limit the part of a recording, where they are given.
        recordings: Identifier of the recording by utterance id; equal for equal audio.

    Raises:
        UserError: Two splits share an utterance, a part of a recording (under whatever names) or,
            where the fold claims independence, a speaker or a text; `fit` contains utterances of a
            validation or test speaker or text; the training or validation split is empty.
    """
    if fold.text_independent:
        require_texts(table, f"fold {fold.index}, which claims to be text independent,")
    for name in ("train", "val"):
        if fold.parts[name].empty:
            raise UserError(f"fold {fold.index}: the {name} split is empty")
    splits = {**fold.parts, "fit": fold.fit}
    values = {name: _values(fold, ids, table) for name, ids in splits.items()}
    excerpts = _excerpts(table, recordings)
    for a, b in (
        ("train", "val"),
        ("train", "test"),
        ("val", "test"),
        ("fit", "val"),
        ("fit", "test"),
    ):
        for kind in values[a]:
            if both := values[a][kind] & values[b][kind]:
                raise UserError(
                    f"fold {fold.index}: {len(both)} {kind}(s) in both {a} and {b}, "
                    f"e.g. {min(both)}"
                )
        if shared := overlapping(excerpts, splits[a], splits[b]):
            raise UserError(
                f"fold {fold.index}: {len(shared)} utterance(s) of {b} contain audio that is also "
                f"in {a}, e.g. {min(shared)}; another fold, or a corpus without them, separates "
                "them (python -m ser check lists identical files)"
            )


def _values(fold: Fold, ids: pd.Index, table: pd.DataFrame) -> dict[str, set[str]]:
    """Return what another split must not contain, by kind; missing values do not count."""
    values = {"utterance": set(ids)}
    if fold.speaker_independent:
        values["speaker"] = set(table.loc[ids, "speaker"].dropna())
    if fold.text_independent:
        values["text"] = set(table.loc[ids, "text"].dropna())
    return values


def _excerpts(table: pd.DataFrame, recordings: pd.Series) -> pd.DataFrame:
    """Return `recording`, `start` and `end` of utterances whose audio is known, by utterance id."""
    excerpts = pd.DataFrame({"recording": recordings})
    for column, default in (("start", 0.0), ("end", np.inf)):
        times = table[column] if column in table else pd.Series(dtype=float)
        excerpts[column] = times.reindex(recordings.index).fillna(default)
    return excerpts


def overlapping(excerpts: pd.DataFrame, one: pd.Index, other: pd.Index) -> set[str]:
    """Return the utterances of `other` that overlap in time with one of `one` in a recording.

    Args:
        excerpts: `recording`, `start` and `end` (seconds) by utterance id.
        one: Utterance ids.
        other: Utterance ids.
    """
    first, second = (excerpts[excerpts.index.isin(ids)] for ids in (one, other))
    shared = set(first["recording"]) & set(second["recording"])
    if not shared:
        return set()
    both = pd.concat([first.assign(second=False), second.assign(second=True)])
    both = both[both["recording"].isin(shared)].reset_index(names="id")
    return {name for _, group in both.groupby("recording") for name in _overlapping(group)}


def _overlapping(excerpts: pd.DataFrame) -> Iterator[str]:
    """Yield the ids marked `second` that overlap with one that is not, in one recording."""
    starts, ends = (excerpts[c].to_numpy(float) for c in ("start", "end"))
    second = excerpts["second"].to_numpy(bool)
    for number in np.flatnonzero(second):
        overlap = np.minimum(ends[~second], ends[number]) - np.maximum(
            starts[~second], starts[number]
        )
        if (overlap > TOLERANCE).any():
            yield str(excerpts["id"].iloc[number])


def require_index(name: str, index: int, count: int) -> None:
    """Raise UserError unless there is a fold `index`."""
    if not 0 <= index < count:
        raise UserError(
            f"fold={name} has {count} folds on this corpus: fold.index must be from 0 to "
            f"{count - 1}, not {index}"
        )


def require_texts(table: pd.DataFrame, user: str) -> pd.Series:
    """Return the column `text` of a corpus table.

    Args:
        table: Of the corpus.
        user: What needs the texts, for the error.

    Raises:
        UserError: The column is absent or empty.
    """
    if "text" not in table or table["text"].isna().all():
        raise UserError(
            f"{user} needs the texts of the utterances, which this corpus lacks (a manifest can "
            "have a column `text`); fold=session and fold=speakers need none"
        )
    return table["text"]
