"""EmoTale: 18 speakers, five sentences in Danish and in English, five emotions, three raters.

Hjuler, Skat-Rørdam, Clemmensen, Das: *EmoTale: An Enacted Speech-emotion Dataset in Danish*,
ASRU 2025, arXiv 2508.14548. Published layout::

    wav/DK_004_A_5.wav    language, speaker, emotion, sentence
    annotations.csv       what three raters perceived: a class and three attributes each
    speaker_info.csv      gender and age of the speakers
"""

import re
from pathlib import Path
from statistics import fmean
from typing import Any

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, read_rows, resolve_root, wav_files, wrong_root
from ser.errors import UserError

EXPECTED = "the folder that contains wav, annotations.csv and speaker_info.csv"
LANGUAGES = {"DK": "da", "EN": "en"}
EMOTIONS = {"A": "anger", "B": "boredom", "H": "happiness", "N": "neutral", "S": "sadness"}
GENDERS = {"F": "female", "M": "male"}
NAME = re.compile(r"(DK|EN)_(\d{3})_([ABHNS])_([1-5])")
WRONG_NAME = "not a file name of EmoTale (language, speaker, emotion, sentence: DK_004_A_5.wav)"
RATERS = ("a1", "a2", "a3")
ATTRIBUTES = {"A": "activation", "V": "valence", "D": "dominance"}
LOWEST, HIGHEST, STEP = 1.0, 5.0, 0.5


def emotale(root: str | Path | None) -> Corpus:
    """Read EmoTale.

    `emotion` is the one that the speaker meant, from the file name; `raters` has what was
    perceived. The attributes of the table are means over the raters. 14 of the 18 speakers speak
    both languages, under one number; they are one speaker each. `text` is the language and the
    number of the sentence (`da5`), as a sentence and its translation share no words. The corpus has
    no sessions.

    Raises:
        UserError: The root is not that of EmoTale, or a table cannot be read.
    """
    folder = resolve_root(root, "SER_EMOTALE_ROOT", EXPECTED)
    if not _is_root(folder):
        content = "annotations.csv and files such as wav/DK_004_A_5.wav"
        raise wrong_root(folder, "EmoTale", EXPECTED, content, _is_root)
    problems: list[Problem] = []
    speakers = _speakers(folder / "speaker_info.csv", problems)
    rows: dict[str, dict[str, object]] = {}
    for file in wav_files(folder / "wav"):
        name = NAME.fullmatch(file.stem)
        if name is None:
            problems.append(Problem(file, None, WRONG_NAME, "no label"))
            continue
        rows[file.stem] = {
            "file": str(file),
            "speaker": name[2],
            **speakers.get(name[2], {}),
            "language": LANGUAGES[name[1]],
            "style": "acted",
            "text": LANGUAGES[name[1]] + name[4],
            "emotion": EMOTIONS[name[3]],
        }
    for number in sorted({str(row["speaker"]) for row in rows.values()} - speakers.keys()):
        reason = f"the gender and age of speaker {number} are missing"
        problems.append(Problem(folder / "speaker_info.csv", None, reason))
    raters = _ratings(folder / "annotations.csv", rows, problems)
    return build_corpus("emotale", rows, problems, raters)


def _is_root(folder: Path) -> bool:
    return (folder / "annotations.csv").is_file() and any(
        NAME.fullmatch(file.stem) for file in wav_files(folder / "wav")
    )


def _speakers(file: Path, problems: list[Problem]) -> dict[str, dict[str, object]]:
    """Return gender and age by speaker."""
    if not file.is_file():
        raise UserError(f"EmoTale at {file.parent} lacks {file.name}, which has gender and age")
    speakers: dict[str, dict[str, object]] = {}
    for line, cells in read_rows(file, ("speaker", "gender", "age")):
        speaker, gender, age = cells.values()
        if not re.fullmatch(r"\d{3}", speaker) or gender not in GENDERS or not age.isdecimal():
            reason = f"expected a speaker, F or M, and years, found {', '.join(cells.values())}"
            problems.append(Problem(file, line, reason))
        elif speaker in speakers:
            problems.append(Problem(file, line, f"duplicate speaker {speaker}"))
        else:
            speakers[speaker] = {"gender": GENDERS[gender], "age": float(age)}
    return speakers


def _ratings(
    file: Path, rows: dict[str, dict[str, object]], problems: list[Problem]
) -> list[dict[str, Any]]:
    """Return one rating per rater and utterance, and add the mean attributes to `rows`."""
    columns = [f"{rater}_{kind}" for rater in RATERS for kind in (*ATTRIBUTES, "cat")]
    raters: list[dict[str, Any]] = []
    first: dict[str, int] = {}
    for line, cells in read_rows(file, ("file", *columns, "gt_emotion")):
        utterance = cells["file"].removesuffix(".wav")
        if first.setdefault(utterance, line) != line:
            problems.append(
                Problem(file, line, f"duplicate of {utterance}, first in line {first[utterance]}")
            )
        elif utterance not in rows:
            reason = f"no audio file wav/{cells['file']}"
            problems.append(Problem(file, line, reason, "no audio"))
        elif fault := _fault(cells, str(rows[utterance]["emotion"])):
            problems.append(Problem(file, line, f"{utterance}: {fault}"))
        else:
            ratings = [_rating(cells, rater) for rater in RATERS]
            for attribute in ATTRIBUTES.values():
                rows[utterance][attribute] = fmean(rating[attribute] for rating in ratings)
            raters += [{"utterance": utterance, **rating} for rating in ratings]
    for utterance in sorted(rows.keys() - first.keys()):
        problems.append(Problem(file, None, f"{utterance} is missing"))
    return raters


def _fault(cells: dict[str, str], emotion: str) -> str | None:
    """Return why a row of `annotations.csv` cannot be used."""
    if EMOTIONS.get(cells["gt_emotion"]) != emotion:
        return f"gt_emotion is {cells['gt_emotion']!r}, but {emotion} by the name of the file"
    for rater in RATERS:
        if cells[f"{rater}_cat"] not in EMOTIONS:
            found = cells[f"{rater}_cat"]
            return f"{rater}_cat must be one of {', '.join(EMOTIONS)}, found {found!r}"
        for kind in ATTRIBUTES:
            if not _on_scale(found := cells[f"{rater}_{kind}"]):
                return f"{rater}_{kind} must be 1 to 5 in steps of 0.5, found {found!r}"
    return None


def _on_scale(cell: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        return False
    return LOWEST <= value <= HIGHEST and (value / STEP).is_integer()


def _rating(cells: dict[str, str], rater: str) -> dict[str, Any]:
    return {
        "rater": rater,
        "emotions": (EMOTIONS[cells[f"{rater}_cat"]],),
        **{name: float(cells[f"{rater}_{kind}"]) for kind, name in ATTRIBUTES.items()},
    }
