"""Write corpora as manifests, one alone or several joined."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser.config import build
from ser.config.compose import compose_all
from ser.corpora import COLUMNS, Corpus
from ser.corpora.formulas import csv_text
from ser.corpora.manifest.headers import SYNTHETIC
from ser.corpora.manifest.ratings import SEPARATORS, ratings_file
from ser.corpora.manifest.tables import PARQUET
from ser.data.fingerprint import require_readable
from ser.errors import UserError
from ser.results import write_bytes, write_text

# Columns whose values are names within one corpus. Texts are kept: the same sentence in two corpora
# is the same text, and a code that two corpora use by chance makes no fold less strict.
PREFIXED = ("speaker", "session", "dialogue")


def read_corpora(words: Sequence[str]) -> list[Corpus]:
    """Read corpora given on the command line.

    Args:
        words: Manifests, and options as for train.py: each `corpus=` begins another corpus, and
            options apply to the corpus before them.

    Raises:
        UserError: An option does not exist, or a corpus cannot be read.
    """
    groups: list[list[str]] = []
    for word in words:
        is_file = "=" not in word or Path(word).is_file()
        if is_file or word.startswith("corpus="):
            groups.append([])
        elif not groups:
            raise UserError(f"{word}: expected a manifest or corpus=... first")
        groups[-1].append(word)
    return [_read(group) for group in groups]


def _read(words: Sequence[str]) -> Corpus:
    first, *options = words
    is_named = first.startswith("corpus=")
    (cfg,) = compose_all([first if is_named else "corpus=manifest", *options])
    if not is_named:
        cfg.corpus.root = first
    corpus: Corpus = build(cfg.corpus)
    require_readable(corpus, skip_faulty=cfg.skip_faulty)
    return corpus


def join(corpora: Sequence[Corpus]) -> Corpus:
    """Join corpora to one with a column `corpus`.

    Utterance ids, speakers, sessions and dialogues get the name of their corpus and a slash before
    them, so that equal names are not taken for the same. Rows of a corpus that is itself joined
    keep their names.

    Raises:
        UserError: Two corpora have the same name, or two utterances the same id.
    """
    names = [name for corpus in corpora for name in _names(corpus)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(
            f"two of the corpora are named {twice[0]}: give one manifest another name with "
            "corpus.name=... after it, or write parts of one corpus into one file"
        )
    prefixed = [_prefixed(corpus) for corpus in corpora]
    table = pd.concat([corpus.table for corpus in prefixed]).sort_index()
    table = table[[column for column in COLUMNS if column in table]]
    if (doubled := table.index[table.index.duplicated()]).size:
        raise UserError(f"two utterances are named {doubled[0]}")
    raters = [corpus.raters for corpus in prefixed if corpus.raters is not None]
    return Corpus(
        "joined",
        table,
        pd.concat(raters, ignore_index=True) if raters else None,
        tuple(problem for corpus in corpora for problem in corpus.problems),
        synthetic=any(corpus.synthetic for corpus in corpora),
    )


def write_manifest(corpus: Corpus, file: Path) -> list[Path]:
    """Write a corpus as a manifest, and single ratings as `x.ratings.csv` next to `x.csv`.

    Paths of audio below the folder of the manifest are relative to it, others absolute. Reading the
    manifest gives the same table, ratings and `synthetic`.

    Args:
        corpus: Corpus; its problems are not written.
        file: CSV or Parquet file, by its suffix.

    Returns:
        The files that were written.

    Raises:
        UserError: A file exists already, or its suffix is another one.
    """
    if file.suffix.lower() not in (".csv", PARQUET):
        raise UserError(f"--out {file}: the suffix must be .csv or .parquet")
    tables = {file: _table(corpus, file.absolute().parent)}
    if corpus.raters is not None:
        # A corpus can have ratings of utterances that could not be read.
        ratings = _ratings(corpus.raters[corpus.raters["utterance"].isin(corpus.table.index)])
        tables |= {ratings_file(file): ratings} if len(ratings) else {}
    for path in (file, ratings_file(file)):
        if path.exists():
            raise UserError(f"{path} exists already; remove it or choose another name")
    for path, table in tables.items():
        if path.suffix.lower() == PARQUET:
            stream = io.BytesIO()
            table.to_parquet(stream, index=False)
            write_bytes(path, stream.getvalue())
        else:
            write_text(path, csv_text(table))
    return list(tables)


def _names(corpus: Corpus) -> list[str]:
    """Return the names of the corpora in a corpus."""
    if "corpus" not in corpus.table:
        return [corpus.name]
    return sorted(corpus.table["corpus"].fillna(corpus.name).unique())


def _prefixed(corpus: Corpus) -> Corpus:
    if "corpus" in corpus.table and corpus.table["corpus"].notna().all():
        return corpus
    prefix = f"{corpus.name}/"
    table = corpus.table.set_axis(prefix + corpus.table.index)
    table = table.assign(
        corpus=corpus.name,
        **{column: prefix + table[column] for column in PREFIXED if column in table},
    )
    raters = corpus.raters
    if raters is not None:
        raters = raters.assign(utterance=prefix + raters["utterance"])
        raters = raters.assign(rater=prefix + raters["rater"])
    return Corpus(corpus.name, table.rename_axis("utterance"), raters)


def _table(corpus: Corpus, folder: Path) -> pd.DataFrame:
    table = corpus.table.copy()
    table["file"] = [_relative(Path(name), folder) for name in table["file"]]
    table = table.drop(columns=[c for c in ("start", "end") if table[c].isna().all()])
    if corpus.synthetic:
        table[SYNTHETIC] = "true"
    return table.reset_index()


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _ratings(raters: pd.DataFrame) -> pd.DataFrame:
    emotions = raters["emotions"].map(SEPARATORS[0].join)
    table = raters.assign(emotion=emotions)
    columns = ["utterance", "rater", "emotion", "valence", "activation", "dominance"]
    return table[[c for c in columns if c in columns[:2] or not _is_blank(table[c])]]


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column == "")).all())
