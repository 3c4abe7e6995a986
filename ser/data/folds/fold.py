"""A fold, and the proof of what it claims."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ser.errors import UserError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Fold:
    """The parts of one fold, as sorted utterance ids.

    Attributes:
        index: number of the fold, from 0.
        count: how many folds there are.
        train, val, test: labelled utterances. `test` is empty where an experiment has none.
        fit: what unsupervised stages may see.
        speaker_independent: the claim that no speaker is in two parts; `verify` checks it.
        text_independent: the claim that no text is in two parts; `verify` checks it.
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
        return {"train": self.train, "val": self.val, "test": self.test}

    def beyond(self, fit_on: Literal["target", "train", "all"], table: pd.DataFrame) -> pd.Index:
        """The utterances beside the training part that unsupervised stages may see.

        Args:
            fit_on: "target": none; "train": those of `fit`; "all": everybody's, the test part's
                too, which makes a result transductive.
            table: of the corpus.
        """
        seen = {"target": self.train, "train": self.fit, "all": table.index}[fit_on]
        return seen.difference(self.train)

    @property
    def everyone(self) -> pd.Index:
        """The utterances of all parts."""
        return self.train.append([self.val, self.test])


def verify(fold: Fold, table: pd.DataFrame, contents: pd.Series) -> None:
    """Proves what the fold claims; called at every run.

    Args:
        fold: to be verified.
        table: of the corpus.
        contents: what each utterance's audio is, by utterance id; equal for equal audio.

    Raises:
        UserError: an utterance, the same audio under two names or, where the fold claims their
            independence, a speaker or a text in two parts; unlabelled utterances of a tested
            speaker or text in `fit`; an empty training or validation part.
    """
    if fold.text_independent:
        require_texts(table, f"fold {fold.index}, which claims that texts are apart,")
    for name in ("train", "val"):
        if fold.parts[name].empty:
            raise UserError(f"fold {fold.index}: the {name} part is empty")
    seen = {**fold.parts, "fit": fold.fit}
    for a, b in (
        ("train", "val"),
        ("train", "test"),
        ("val", "test"),
        ("fit", "val"),
        ("fit", "test"),
    ):
        _require_disjoint(fold, a, b, "utterance", seen[a], seen[b])
        audio = [pd.Index(contents.reindex(seen[part]).dropna().unique()) for part in (a, b)]
        _require_disjoint(fold, a, b, "audio content", *audio)
        for column, is_claimed in (
            ("speaker", fold.speaker_independent),
            ("text", fold.text_independent),
        ):
            if is_claimed:
                # Who has no text shares none.
                found = [table.loc[seen[part], column].dropna().unique() for part in (a, b)]
                _require_disjoint(fold, a, b, column, *map(pd.Index, found))


def _require_disjoint(
    fold: Fold, a: str, b: str, what: str, left: pd.Index, right: pd.Index
) -> None:
    both = left.intersection(right)
    if len(both):
        raise UserError(
            f"fold {fold.index}: {len(both)} {what}(s) in both {a} and {b}, e.g. {both[0]}"
        )


def require_index(name: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise UserError(
            f"fold={name} has {count} folds here: fold.index from 0 to {count - 1}, not {index}"
        )


def require_texts(table: pd.DataFrame, asker: str) -> pd.Series:
    """The column `text` of a corpus' table.

    Raises:
        UserError: it has none, or nothing is in it.
    """
    if "text" not in table or table["text"].isna().all():
        raise UserError(
            f"{asker} needs to know what was said, and this corpus does not tell: a manifest may, "
            "in its column `text`; fold=session and fold=speakers part speakers alone"
        )
    return table["text"]
