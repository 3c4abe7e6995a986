"""MSP-Podcast: natural English speech of podcasts, rated by at least five people a segment.

Busso, Lotfian, Sridhar et al.: *The MSP-Podcast Corpus*, arXiv 2509.09791, 2025; Lotfian, Busso:
*Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving Emotional Speech From
Existing Podcast Recordings*, IEEE Transactions on Affective Computing 10(4), 2019. Published layout
of the releases 1.6 to 2.0::

    Audios/MSP-PODCAST_0001_0008.wav
    Transcripts/MSP-PODCAST_0001_0008.txt
    Partitions.txt                  Test1; MSP-PODCAST_0001_0008.wav
    Labels/labels_consensus.csv     FileName, EmoClass, EmoAct, EmoVal, EmoDom, SpkrID, Gender,
                                    Split_Set
    Labels/labels_detailed.csv      FileName and one rating: EmoDetail, or a column each (1.6, 2.0)

Folders and files changed their names a little between releases; all are accepted.
"""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ser.corpora import Corpus, Problem
from ser.corpora.layout import (
    build_corpus,
    read_rows,
    read_table,
    resolve_root,
    spoken_words,
    wrong_root,
)
from ser.errors import UserError

Number = TypeVar("Number", float, pd.Series)

EXPECTED = "the folder that contains Labels and Audios"
AUDIO = ("Audios", "Audio")
LABELS = ("Labels", "labels", "label")
CONSENSUS = ("labels_consensus.csv", "labels_concensus.csv")
DETAILED = "labels_detailed.csv"
PARTITIONS = ("Partitions.txt", "partitions.txt", "Partition.txt")
EMOTIONS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "U": "surprise",
    "X": None,  # the raters did not agree
}
# As raters name them; "Other" can be followed by their own words.
RATED_AS = {
    "angry": "anger",
    "contempt": "contempt",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "other": "other",
    "sad": "sadness",
    "surprise": "surprise",
}
GENDERS = {"Female": "female", "Male": "male", "Unknown": None, "": None}
SPLITS = {
    "Train": "train",
    "Development": "development",
    "Validation": "development",  # its name in the first releases
    "Test1": "test1",
    "Test2": "test2",
    "Test3": "test3",
}
UNKNOWN = ("Unknown", "")  # speakers
ATTRIBUTES = {"EmoVal": "valence", "EmoAct": "activation", "EmoDom": "dominance"}
COLUMNS = ("FileName", "EmoClass", *ATTRIBUTES, "SpkrID", "Gender", "Split_Set")
LOWEST, HIGHEST = 1.0, 7.0
# EmoDetail: the rater, an emotion, what else was heard, the attributes.
DETAIL = (
    r"(?P<rater>[^;]+);(?P<emotion>[^;]*);.*;"
    r"\s*A:(?P<activation>[^;]*);\s*V:(?P<valence>[^;]*);\s*D:(?P<dominance>[^;]*);?\s*"
)
COLUMN_EACH = {
    "WorkerID": "rater",
    "Workers": "rater",
    "EmoClass_Major": "emotion",
    **ATTRIBUTES,
}
RATING = ("rater", "emotion", *ATTRIBUTES.values())
MOST = 100  # faulty ratings that are listed


def msp_podcast(root: str | Path | None, transcripts: bool, single_ratings: bool) -> Corpus:
    """Read MSP-Podcast.

    The attributes, 1 to 7 as published, are mapped linearly to 1 to 5. `split` is the published
    partition. A speaker whom the publisher has not identified is a missing value: folds by speaker
    leave such utterances out, and `fold=partition` keeps them with a remark. Audio of Test3 has no
    public labels; it is left out. `emotion` is missing where the raters did not agree.

    Args:
        root: The folder with `Labels` and `Audios`.
        transcripts: Read the words of each utterance as `text`, from a file each.
        single_ratings: Read them as `raters`. Of a rater who is listed twice for an
            utterance the first rating counts.

    Raises:
        UserError: The root is not that of MSP-Podcast, or a table cannot be read.
    """
    folder = resolve_root(root, "SER_MSP_PODCAST_ROOT", EXPECTED)
    if not _is_root(folder):
        content = "Labels/labels_consensus.csv and Audios"
        raise wrong_root(folder, "MSP-Podcast", EXPECTED, content, _is_root)
    labels, home = _first(folder, LABELS), _first(folder, AUDIO)
    consensus = _first(labels, CONSENSUS)
    names = {name for name in os.listdir(home) if re.fullmatch(r"[^.].*\.wav", name)}
    problems: list[Problem] = []
    rows: dict[str, dict[str, object]] = {}
    labelled: set[str] = set()
    for line, cells in read_rows(consensus, COLUMNS):
        name = cells["FileName"]
        if fault := _fault(cells):
            problems.append(Problem(consensus, line, f"{name}: {fault}"))
        elif name in labelled:
            problems.append(Problem(consensus, line, f"duplicate label of {name}"))
        elif name not in names:
            problems.append(Problem(consensus, line, f"no audio file {home / name}", "no audio"))
        else:
            rows[name.removesuffix(".wav")] = {"file": os.path.join(home, name), **_row(cells)}
        labelled.add(name)
    for name in sorted(names - labelled - _hidden(folder)):
        problems.append(Problem(home / name, None, "audio without a label", "no label"))
    if transcripts:
        for utterance, row in rows.items():
            row["text"] = spoken_words(folder / "Transcripts" / f"{utterance}.txt")
    raters = None
    if single_ratings and (detailed := labels / DETAILED).is_file():
        raters = _ratings(detailed, rows, problems)
    return build_corpus("msp_podcast", rows, problems, raters)


def _is_root(folder: Path) -> bool:
    return any((folder / home / name).is_file() for home in LABELS for name in CONSENSUS) and any(
        (folder / home).is_dir() for home in AUDIO
    )


def _first(folder: Path, names: Iterable[str]) -> Path:
    """Return the first file or folder of these names that exists."""
    return next(folder / name for name in names if (folder / name).exists())


def _hidden(folder: Path) -> set[str]:
    """Return the names of the audio in Test3, whose labels are not public."""
    for name in PARTITIONS:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            parts = (line.partition(";") for line in lines)
            return {file.strip() for split, _, file in parts if split.strip() == "Test3"}
    return set()


def _fault(cells: dict[str, str]) -> str | None:
    """Return why a row of the consensus labels cannot be used."""
    for column, known in (("EmoClass", EMOTIONS), ("Gender", GENDERS), ("Split_Set", SPLITS)):
        if cells[column] not in known:
            listing = ", ".join(name for name in known if name)
            return f"{column} must be one of {listing}, found {cells[column]!r}"
    for column in ATTRIBUTES:
        try:
            is_on_scale = LOWEST <= float(cells[column]) <= HIGHEST
        except ValueError:
            is_on_scale = False
        if not is_on_scale:
            return f"{column} must be from 1 to 7, found {cells[column]!r}"
    return None


def _row(cells: dict[str, str]) -> dict[str, object]:
    return {
        "split": SPLITS[cells["Split_Set"]],
        "speaker": None if cells["SpkrID"] in UNKNOWN else cells["SpkrID"],
        "gender": GENDERS[cells["Gender"]],
        "language": "en",
        "dialogue": cells["FileName"].split("_")[1],  # the podcast
        "style": "natural",
        "emotion": EMOTIONS[cells["EmoClass"]],
        **{name: _to_five(float(cells[column])) for column, name in ATTRIBUTES.items()},
    }


def _to_five(value: Number) -> Number:
    """Map 1 to 7 linearly to 1 to 5."""
    return 1 + (value - LOWEST) * 4 / (HIGHEST - LOWEST)


def _ratings(file: Path, utterances: Collection[str], problems: list[Problem]) -> pd.DataFrame:
    """Read the single ratings; there are millions, so that columns are read at once.

    Args:
        file: `labels_detailed.csv`.
        utterances: Whose ratings are read.
        problems: What could not be read is added.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    published = read_table(file, ["FileName"])
    if "EmoDetail" in published:
        cells = published["EmoDetail"].str.extract(f"^{DETAIL}$")
    else:
        cells = published.rename(columns=COLUMN_EACH)
    if missing := [name for name in RATING if name not in cells]:
        raise UserError(f"{file} needs EmoDetail, or columns of each {', '.join(missing)}")
    cells = cells[list(RATING)].apply(lambda column: column.str.strip())
    names = cells["emotion"].str.lower().str.replace("^other.*", "other", regex=True)
    ratings = pd.DataFrame(
        {
            "utterance": published["FileName"].str.removesuffix(".wav"),
            "rater": cells["rater"],
            "emotions": names.map({name: (noun,) for name, noun in RATED_AS.items()}),
        }
    )
    is_faulty = names.map(RATED_AS).isna() | cells["rater"].isna()
    for name in ATTRIBUTES.values():
        values = pd.to_numeric(cells[name], errors="coerce")
        is_blank = cells[name].str.lower().isin(["", "nan"])
        is_faulty |= ~(values.between(LOWEST, HIGHEST) | is_blank)
        ratings[name] = _to_five(values)
    is_known = ratings["utterance"].isin(list(utterances))
    for line in ratings.index[is_faulty & is_known][:MOST]:
        problems.append(Problem(file, int(line) + 2, f"not a rating: {_excerpt(published, line)}"))
    ratings = ratings[is_known & ~is_faulty]
    return ratings.drop_duplicates(["utterance", "rater"])


def _excerpt(published: pd.DataFrame, line: int) -> str:
    return repr(", ".join(map(str, published.iloc[line]))[:80])
