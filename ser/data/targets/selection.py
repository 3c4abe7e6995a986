"""Utterances, columns and ratings that a corpus offers to a target."""

from collections.abc import Sequence

import pandas as pd

from ser.corpora import Corpus
from ser.errors import UserError


def raters_of(corpus: Corpus, option: str) -> pd.DataFrame:
    if corpus.raters is None:
        raise UserError(f"{option} needs single ratings, and corpus {corpus.name} has none")
    return corpus.raters


def of_styles(corpus: Corpus, styles: Sequence[str] | None) -> pd.DataFrame:
    if styles is None:
        return corpus.table
    available = column_of(corpus, corpus.table, "style")
    unknown = sorted(set(styles) - set(available))
    if unknown:
        raise UserError(
            f"target.styles={list(styles)}: corpus {corpus.name} has no style {unknown}, only "
            f"{sorted(available.dropna().unique())}"
        )
    return corpus.table[available.isin(styles)]


def column_of(corpus: Corpus, table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table or table[column].isna().all():
        available = [c for c in ("emotion", "activation", "valence", "dominance") if c in table]
        hint = f": choose target={available[0]}" if available else ""
        ignored = "".join(f" ({n})" for n in corpus.notes if n.startswith("columns ignored"))
        raise UserError(
            f"corpus {corpus.name} has no {column}; its targets are "
            f"{', '.join(available) or 'none'}{hint}{ignored}"
        )
    return table[column]
