"""MSP-IMPROV: twelve actors in six dyadic sessions, improvised, read and natural English speech.

Busso, Parthasarathy, Burmania, AbdelWahab, Sadoughi, Mower Provost: *MSP-IMPROV: An Acted Corpus of
Dyadic Interactions to Study Emotion Perception*, IEEE Transactions on Affective Computing 8(1),
2017. Published layout::

    Evalution.txt                                          labels and ratings of all turns
    Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav   sentence and intended emotion, actor and
                                                           session, kind of scenario, turn
    Text/MSP-IMPROV-S01A-F01-P-FM01.txt                    words, where they are published

The file of labels (in later copies `Evaluation.txt`) has a line per turn, lines of its raters, and
an empty line::

    UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.400000; V:3.000000; D:3.000000 ; N:3.800000;
    WORKER1; Neutral; Neutral,Calm; A:3.000000; V:3.000000; D:3.000000; N:4.000000;
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root, spoken_words, wav_files, wrong_root

EXPECTED = "the folder that contains Evalution.txt and Audio (or session1 to session6)"
LABELS = ("Evalution.txt", "Evaluation.txt")
SESSIONS = ("1", "2", "3", "4", "5", "6")
GENDERS = {"F": "female", "M": "male"}
# The 20 target sentences are improvised within a scenario (T) or read (R). Other turns of the
# scenarios (S) and the talk between recordings (P) have free words.
STYLES = {"P": "natural", "R": "read", "S": "improvised", "T": "improvised"}
TARGET = frozenset("RT")
EMOTIONS = {
    "A": "anger",
    "H": "happiness",
    "N": "neutral",
    "O": "other",
    "S": "sadness",
    "X": None,  # the raters did not agree
}
RATED_AS = {
    "Angry": "anger",
    "Happy": "happiness",
    "Neutral": "neutral",
    "Other": "other",
    "Sad": "sadness",
}
NAME = re.compile(r"MSP-IMPROV-((S\d\d)[AHNS])-([FM])0([1-6])-([PRST])-[FM]{2}\d+")
NUMBER = r"(\d(?:\.\d+)?|NaN)"
VALUES = rf"A:\s*{NUMBER}\s*;\s*V:\s*{NUMBER}\s*;\s*D:\s*{NUMBER}\s*;\s*N:\s*{NUMBER}\s*;?"
TURN = re.compile(rf"UTD-IMPROV-[A-Z0-9-]+\.avi\s*;\s*([{''.join(EMOTIONS)}])\s*;\s*{VALUES}")
# The second class is what else the rater heard.
RATING = re.compile(rf"([\w-]+)\s*;\s*({'|'.join(RATED_AS)})\s*;.*;\s*{VALUES}")
ATTRIBUTES = ("activation", "valence", "dominance")


@dataclass
class _Reading:
    """Collects rows, ratings and problems while the file of labels is read."""

    labels: Path
    audio: dict[str, Path]  # by utterance
    calm_is_high: bool
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    raters: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)  # line of the label, by utterance

    def values(self, cells: Iterable[str]) -> dict[str, float]:
        """Return activation, valence and dominance by name."""
        values = dict(zip(ATTRIBUTES, map(float, cells), strict=True))
        if self.calm_is_high:
            values["activation"] = 6 - values["activation"]
        return values


def msp_improv(root: str | Path | None, calm_is_high: bool) -> Corpus:
    """Read MSP-IMPROV.

    `emotion` is what the raters heard; where they did not agree, it is missing. Of a rater who is
    listed twice for a turn the first line counts, as the second one is a copy. `text` is the code
    of the target sentence, or the words of free speech where `Text` has them. `dialogue` is the
    scenario of a session with the talk around it; read sentences have none.

    Args:
        root: The folder with the file of labels.
        calm_is_high: Activation in the file counts from excited (1) to calm (5), as on the form of
            the raters, and is turned round; false: it counts from calm to excited.

    Raises:
        UserError: The root is not that of MSP-IMPROV, or has no audio.
    """
    folder = resolve_root(root, "SER_MSP_IMPROV_ROOT", EXPECTED)
    if not _is_root(folder):
        content = "Evalution.txt, and session1/S01A/P/*.wav in Audio or beside it"
        raise wrong_root(folder, "MSP-IMPROV", EXPECTED, content, _is_root)
    labels = next(folder / name for name in LABELS if (folder / name).is_file())
    reading = _Reading(labels, {file.stem: file for file in _audio(folder)}, calm_is_high)
    _read(reading)
    for utterance, row in reading.rows.items():
        row.setdefault("text", spoken_words(folder / "Text" / f"{utterance}.txt"))
    for utterance in sorted(reading.audio.keys() - reading.first.keys()):
        file, reason = reading.audio[utterance], "audio without a label"
        reading.problems.append(Problem(file, None, reason, "no label"))
    _require_order(reading)
    ratings = list(reading.raters.values())
    return build_corpus("msp_improv", reading.rows, reading.problems, ratings)


def _is_root(folder: Path) -> bool:
    return any((folder / name).is_file() for name in LABELS) and any(_audio(folder))


def _audio(folder: Path) -> list[Path]:
    """Return all audio; the session, the scenario and its kind are folders."""
    home = folder / "Audio" if (folder / "Audio").is_dir() else folder
    sessions = [home / f"session{number}" for number in SESSIONS]
    scenarios = [scenario for session in sessions for scenario in sorted(session.glob("S*"))]
    kinds = [scenario / kind for scenario in scenarios for kind in STYLES]
    return [file for kind in kinds for file in wav_files(kind)]


def _read(reading: _Reading) -> None:
    """Read the labels of all turns, each followed by the lines of its raters."""
    utterance = None  # to which ratings belong; None after a turn that could not be used
    # Comments of raters have unknown encodings.
    text = reading.labels.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if line.startswith("UTD-"):
            utterance = _read_turn(line, number, reading)
        elif line and utterance:
            _read_rating(line, number, utterance, reading)


def _read_turn(line: str, number: int, reading: _Reading) -> str | None:
    """Add the label of a turn and return its utterance id; None after a problem."""
    name = "MSP" + line.split(".")[0].removeprefix("UTD")
    parts, turn = NAME.fullmatch(name), TURN.fullmatch(line)
    kind: Literal["no audio", "unreadable"] = "unreadable"
    if parts is None or turn is None:
        codes = ", ".join(EMOTIONS)
        reason = f"expected `UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3; V:3; D:3; N:4;` with {codes}"
    elif reading.first.setdefault(name, number) != number:
        reason = f"duplicate label, first in line {reading.first[name]}"
    elif name not in reading.audio:
        reason, kind = "no audio file of this name", "no audio"
    else:
        reading.rows[name] = {
            **_of_name(parts, reading.audio[name]),
            "emotion": EMOTIONS[turn[1]],
            **reading.values(turn.group(2, 3, 4)),
        }
        return name
    reading.problems.append(Problem(reading.labels, number, f"{name}: {reason}", kind))
    return None


def _of_name(parts: re.Match[str], file: Path) -> dict[str, object]:
    """Return what the name of an utterance tells."""
    scenario, sentence, gender, session, kind = parts.groups()
    row: dict[str, object] = {
        "file": str(file),
        "speaker": f"{gender}0{session}",
        "gender": GENDERS[gender],
        "language": "en",
        "session": session,
        "style": STYLES[kind],
    }
    if kind != "R":
        row["dialogue"] = f"{session}-{scenario}"
    if kind in TARGET:
        row["text"] = sentence
    return row


def _read_rating(line: str, number: int, utterance: str, reading: _Reading) -> None:
    rating = RATING.fullmatch(line)
    if rating is None:
        known = ", ".join(RATED_AS)
        reason = f"{utterance}: expected `R1; Happy; ; A:3; V:3; D:3; N:4;` with one of {known}"
        reading.problems.append(Problem(reading.labels, number, f"{reason}, found {line[:60]!r}"))
        return
    row = {
        "utterance": utterance,
        "rater": rating[1],
        "emotions": (RATED_AS[rating[2]],),
        **reading.values(rating.group(3, 4, 5)),
    }
    reading.raters.setdefault((utterance, rating[1]), row)


def _require_order(reading: _Reading) -> None:
    """Add a problem if anger is calmer than sadness, as activation is then upside down."""
    anger, sadness = (_activation(reading, emotion) for emotion in ("anger", "sadness"))
    if anger < sadness:
        other = str(not reading.calm_is_high).lower()
        reason = (
            f"activation is upside down, as that of anger ({anger:.2f}) is below that of sadness "
            f"({sadness:.2f}): set corpus.calm_is_high={other}"
        )
        reading.problems.append(Problem(reading.labels, None, reason))


def _activation(reading: _Reading, emotion: str) -> float:
    """Return the mean activation of an emotion."""
    rows = [row for row in reading.rows.values() if row["emotion"] == emotion]
    known = [row["activation"] for row in rows if not isnan(row["activation"])]
    return fmean(known) if known else nan
