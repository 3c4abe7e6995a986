"""A fold, and the verification of its claims."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ser.errors import UserError

PARTS = ("train", "val", "test")


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
    """

    index: int
    count: int
    train: pd.Index
    val: pd.Index
    test: pd.Index
    fit: pd.Index
    speaker_independent: bool
    text_independent: bool = False

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
    def everyone(self) -> pd.Index:
        """The utterances of all splits."""
        return self.train.append([self.val, self.test])


def verify(fold: Fold, table: pd.DataFrame, contents: pd.Series) -> None:
    """Verify the claims of a fold; every run calls this.

    Args:
        fold: To be verified.
        table: Of the corpus.
        contents: Identifier of the audio content by utterance id; equal for equal audio.

    Raises:
        UserError: Two splits share an utterance, the same audio under two names or, where the fold
            claims independence, a speaker or a text; `fit` contains utterances of a validation or
            test speaker or text; the training or validation split is empty.
    """
    if fold.text_independent:
        require_texts(table, f"fold {fold.index}, which claims to be text independent,")
    for name in ("train", "val"):
        if fold.parts[name].empty:
            raise UserError(f"fold {fold.index}: the {name} split is empty")
    splits = {**fold.parts, "fit": fold.fit}
    values = {name: _values(fold, ids, table, contents) for name, ids in splits.items()}
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


def _values(
    fold: Fold, ids: pd.Index, table: pd.DataFrame, contents: pd.Series
) -> dict[str, set[str]]:
    """Return what another split must not contain, by kind; missing values do not count."""
    values = {"utterance": set(ids), "audio content": set(contents.reindex(ids).dropna())}
    if fold.speaker_independent:
        values["speaker"] = set(table.loc[ids, "speaker"].dropna())
    if fold.text_independent:
        values["text"] = set(table.loc[ids, "text"].dropna())
    return values


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
