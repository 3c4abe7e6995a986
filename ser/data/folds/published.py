"""The partition that a corpus is published with."""

import re
from collections.abc import Sequence

import pandas as pd

from ser.data.folds.fold import Fold, require_index
from ser.errors import UserError

# Usual names of the splits, whatever their case.
USUAL = {
    "train": r"train(ing)?",
    "val": r"val(id(ation)?)?|dev(el(opment)?)?",
    "test": r"test.*",
}


def partition(
    table: pd.DataFrame,
    labels: pd.Series,
    *,
    index: int,
    train: Sequence[str] | None,
    val: Sequence[str] | None,
    test: Sequence[str] | None,
) -> Fold:
    """Split as the corpus is published: by the column `split` of its table.

    Several test sets are scored together and each by itself. Utterances of splits that are not
    named are in no split. The fold is speaker independent if no known speaker is in two splits.

    Args:
        table: Of the corpus, with a column `split`.
        labels: Class of each utterance that the target selects.
        index: 0, as there is one fold.
        train, val, test: Values of the column, in any case; None: those with a usual name. An empty
            list for `test`: none tests.

    Raises:
        UserError: The corpus has no published partition, or none of such names.
    """
    require_index("partition", index, 1)
    splits = _published(table)
    names = {
        part: _named(part, requested, sorted(splits.dropna().unique()))
        for part, requested in (("train", train), ("val", val), ("test", test))
    }
    _require_disjoint(names)
    of_part = {part: table.index[splits.isin(named)] for part, named in names.items()}
    fit = of_part["train"].sort_values()
    ids = {part: each.intersection(labels.index).sort_values() for part, each in of_part.items()}
    sets = {
        name: ids["test"][(splits.loc[ids["test"]] == name).to_numpy()] for name in names["test"]
    }
    shared = _shared({**ids, "train": fit}, table["speaker"])
    return Fold(
        index,
        1,
        ids["train"],
        ids["val"],
        ids["test"],
        fit,
        speaker_independent=not shared,
        dependence=f"as published, {shared}",
        test_sets={name: each for name, each in sets.items() if len(each) and len(sets) > 1},
        remarks=_unknown(ids, table["speaker"]),
    )


def _published(table: pd.DataFrame) -> pd.Series:
    if "split" not in table or table["split"].isna().all():
        raise UserError(
            "fold=partition needs a published partition, which this corpus lacks (a manifest can "
            "have a column `split` with train, val, test); fold=speaker_kfold needs none"
        )
    return table["split"]


def _named(part: str, requested: Sequence[str] | None, known: list[str]) -> list[str]:
    """Return the published names that are requested, or the usual ones."""
    option, listing = f"fold.{part}", ", ".join(known)
    if requested is None:
        usual = [name for name in known if re.fullmatch(USUAL[part], name, re.IGNORECASE)]
        if not usual:
            none = "; fold.test=[] tests nobody" if part == "test" else ""
            raise UserError(
                f"fold=partition: no published split has a usual name for {part}; name some by "
                f"{option}=[...]. There are {listing}{none}"
            )
        return usual
    if not isinstance(requested, list):
        raise UserError(f"{option}={requested}: fold=partition needs a list of {listing}")
    by_lower: dict[str, list[str]] = {}
    for name in known:
        by_lower.setdefault(name.lower(), []).append(name)
    if unknown := [each for each in requested if str(each).lower() not in by_lower]:
        raise UserError(
            f"{option}: there is no published split {', '.join(map(str, unknown))}; there are "
            f"{listing}"
        )
    return [name for each in requested for name in by_lower[str(each).lower()]]


def _require_disjoint(names: dict[str, list[str]]) -> None:
    parts = [(name, part) for part, named in names.items() for name in named]
    for name, part in parts:
        others = [other for same, other in parts if same == name]
        if len(others) > 1:
            raise UserError(f"fold.{part}: {name} is in {' and '.join(others)}")


def _shared(ids: dict[str, pd.Index], speakers: pd.Series) -> str:
    """Return how many speakers are in two splits, as text; empty if there are none."""
    known = {part: set(speakers.loc[each].dropna()) for part, each in ids.items()}
    counts = [
        f"{len(both)} of the {len(known[one])} {one} speakers are in {other}"
        for one, other in (("test", "train"), ("val", "train"), ("test", "val"))
        if (both := known[one] & known[other])
    ]
    return ", ".join(counts)


def _unknown(ids: dict[str, pd.Index], speakers: pd.Series) -> tuple[str, ...]:
    counts = {part: int(speakers.loc[each].isna().sum()) for part, each in ids.items()}
    listing = ", ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    return (
        (f"speakers of some utterances are unknown, and may be in two splits: {listing}",)
        if (listing)
        else ()
    )
