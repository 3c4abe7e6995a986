"""IEMOCAP: dyadic sessions, improvised and scripted, rated by several people.

Busso et al., *IEMOCAP: interactive emotional dyadic motion capture database*, Language Resources
and Evaluation 42, 2008. Layout of `IEMOCAP_full_release`::

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt                    labels of one dialogue
    Session1/dialog/transcriptions/Ses01F_impro01.txt                   words of one dialogue
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M013.wav       one utterance
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ser.corpora import Corpus, Problem
from ser.corpora.layout import (
    NO_WORD,
    build_corpus,
    describe,
    resolve_root,
    wav_files,
    wrong_root,
)
from ser.errors import UserError

SESSIONS = ("1", "2", "3", "4", "5")
EXPECTED = "the folder IEMOCAP_full_release, which contains Session1 to Session5"
STYLES = {"impro": "improvised", "script": "scripted"}
GENDERS = {"F": "female", "M": "male"}
EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": None,  # the raters did not agree
}
# What raters wrote, in lower case, where it is not the noun itself.
RATED_AS = {"excited": "excitement", "neutral state": "neutral"}
NOUNS = frozenset(noun for noun in EMOTIONS.values() if noun)

ORDER = ("valence", "activation", "dominance")
NUMBER = r"\d+(?:\.\d*)?"
# [start - end]  utterance  emotion  [valence, activation, dominance]; times within the dialogue
LABEL = re.compile(
    rf"\[\s*{NUMBER}\s*-\s*{NUMBER}\s*\]\s+(\S+)\s+(\S+)\s+"
    rf"\[\s*({NUMBER})\s*,\s*({NUMBER})\s*,\s*({NUMBER})\s*\]"
)
# The last letter is the speaker. The letter after the session number is the actor with the markers.
# The text between them varies in length: Ses03M_impro05b_F013, Ses05F_script01_1b_M002.
UTTERANCE = re.compile(r"(Ses0(\d)[FM]_(impro|script)\w+)_([FM])\d+")
# The script in a dialogue's name, without the letter of a second recording (script01_1b).
SCRIPT = re.compile(r"script\d+_\d+")
# utterance [start-end]: words, with marks such as [LAUGHTER]
TRANSCRIPT = re.compile(r"(Ses\S+)\s+\[[^\]]*\]:(.*)")
# A rater E1, E2, ... or the actor's self-report F1 or M1; a comment in brackets can follow.
RATING = re.compile(r"([CA])-([EFM]\d+):([^(]*)")
ATTRIBUTES = re.compile(
    rf"val\s*({NUMBER})?\s*;\s*act\s*({NUMBER})?\s*;\s*dom\s*({NUMBER})?\s*;?", re.IGNORECASE
)


@dataclass
class _Reading:
    """Collects rows, ratings and problems while files are read."""

    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    raters: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)

    def add_problem(
        self,
        file: Path,
        line: int | None,
        reason: str,
        kind: Literal["unreadable", "no audio", "no label"] = "unreadable",
    ) -> None:
        self.problems.append(Problem(file, line, reason, kind))


def iemocap(root: str | Path | None, self_reports: bool = False) -> Corpus:
    """Read IEMOCAP in its published layout.

    The speaker is the session and the letter before the turn number: `1M` for
    `Ses01F_impro01_M013`. Values are not changed. Where raters did not agree, emotion is missing.

    The text of a scripted utterance is the name of the script. Several sessions act the same
    script, but divide it into turns differently, so that sentences cannot be matched. The text of
    an improvised utterance is its words, from `dialog/transcriptions`. It is missing where there is
    no transcription or no word.

    Args:
        root: The folder `IEMOCAP_full_release`.
        self_reports: Include the actors' self-reports (`C-F1`, `A-M1`) in `raters`.

    Raises:
        UserError: The root is not that of IEMOCAP, or a part of the corpus is missing.
    """
    folder = resolve_root(root, "IEMOCAP_ROOT", EXPECTED)
    _require_complete(folder)
    reading = _Reading()
    for session in SESSIONS:
        audio = _find_audio(folder / f"Session{session}" / "sentences" / "wav", reading)
        for file in _label_files(folder, session):
            words = _read_words(file.parents[1] / "transcriptions" / file.name)
            _read_dialogue(file, session, audio, words, reading)
        for utterance in sorted(audio.keys() - reading.labelled):
            reading.add_problem(audio[utterance], None, "audio without a label", "no label")
    raters = [
        {"utterance": utterance, "rater": rater, "emotions": (), **rating}
        for (utterance, rater), rating in reading.raters.items()
        if self_reports or rater.startswith("E")
    ]
    return build_corpus("iemocap", reading.rows, reading.problems, raters)


def _require_complete(folder: Path) -> None:
    """Raise UserError unless every session has labels and audio."""
    if not _has_session(folder):
        raise wrong_root(folder, "IEMOCAP", EXPECTED, "Session1 to Session5", _has_session)
    for session in SESSIONS:
        home = folder / f"Session{session}"
        if not home.is_dir():
            raise UserError(
                f"IEMOCAP at {folder} lacks Session{session}; found {describe(folder)}. "
                "Unpack all five sessions."
            )
        for part in (Path("dialog/EmoEvaluation"), Path("sentences/wav")):
            if not (home / part).is_dir():
                nearest = next(p for p in (home / part).parents if p.is_dir())
                raise UserError(
                    f"IEMOCAP's Session{session} lacks {part}; {nearest} contains "
                    f"{describe(nearest)}. Unpack the session again."
                )
        if not _label_files(folder, session):
            raise UserError(f"no label file Ses0{session}*.txt in {home}/dialog/EmoEvaluation")
        audio = home / "sentences" / "wav"
        if not any(wav_files(dialogue) for dialogue in audio.iterdir()):
            raise UserError(
                f"no audio in {audio}; expected <dialogue>/<utterance>.wav, found {describe(audio)}"
            )


def _has_session(folder: Path) -> bool:
    return any((folder / f"Session{session}").is_dir() for session in SESSIONS)


def _label_files(folder: Path, session: str) -> list[Path]:
    """Return one text file per dialogue, without hidden files (`._*` of macOS)."""
    evaluation = folder / f"Session{session}" / "dialog" / "EmoEvaluation"
    return sorted(file for file in evaluation.glob("*.txt") if not file.name.startswith("."))


def _find_audio(folder: Path, reading: _Reading) -> dict[str, Path]:
    """Return the audio files of a session by utterance."""
    audio: dict[str, Path] = {}
    for dialogue in sorted(folder.iterdir()):
        for file in wav_files(dialogue):
            if audio.setdefault(file.stem, file) is not file:
                reading.add_problem(
                    file, None, f"duplicate utterance; the first is {audio[file.stem]}"
                )
    return audio


def _read_words(file: Path) -> dict[str, str]:
    """Return the words of each utterance of a dialogue, in lower case; empty: no transcription."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    turns = [match for line in lines if (match := TRANSCRIPT.fullmatch(line.strip()))]
    return {turn[1]: " ".join(NO_WORD.sub(" ", turn[2]).lower().split()) for turn in turns}


def _read_dialogue(
    file: Path, session: str, audio: dict[str, Path], words: dict[str, str], reading: _Reading
) -> None:
    """Read the label lines of a dialogue, each followed by the lines of its raters."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")  # comments have unknown encodings
    except OSError as error:
        reading.add_problem(file, None, f"unreadable ({error.strerror})")
        return
    utterance = None  # to which ratings belong; None after a label line that could not be used
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line or line.startswith("%"):
            continue
        if line.startswith("["):
            utterance = _read_label(line, file, number, session, audio, reading)
            if utterance:
                row = reading.rows[utterance]
                row["text"] = _text(str(row["dialogue"]), words.get(utterance))
        elif match := RATING.match(line):
            if utterance:
                _read_rating(match, utterance, file, number, reading)
        else:
            reading.add_problem(file, number, f"neither a label nor a rating: {line[:60]!r}")


def _read_label(
    line: str, file: Path, number: int, session: str, audio: dict[str, Path], reading: _Reading
) -> str | None:
    """Add a row and return its utterance id; None: the label cannot be used."""
    match = LABEL.fullmatch(line)
    if match is None:
        reading.add_problem(
            file,
            number,
            f"expected `[start - end] utterance emotion [V, A, D]`, found {line[:80]!r}",
        )
        return None
    utterance, code, valence, activation, dominance = match.groups()
    name = UTTERANCE.fullmatch(utterance)
    is_duplicate = utterance in reading.labelled
    reading.labelled.add(utterance)
    if name is None:
        reading.add_problem(
            file, number, f"{utterance}: not an utterance name such as Ses01F_impro01_M013"
        )
    elif name[1] != file.stem or name[2] != session:
        reading.add_problem(file, number, f"{utterance}: belongs to another dialogue")
    elif is_duplicate:
        reading.add_problem(file, number, f"{utterance}: duplicate label")
    elif code not in EMOTIONS:
        reading.add_problem(file, number, f"{utterance}: unknown emotion {code!r}")
    elif utterance not in audio:
        reading.add_problem(file, number, f"{utterance}: label without audio", "no audio")
    else:
        reading.rows[utterance] = {
            "file": str(audio[utterance]),
            "speaker": session + name[4],
            "gender": GENDERS[name[4]],
            "language": "en",
            "session": session,
            "dialogue": name[1],
            "style": STYLES[name[3]],
            "emotion": EMOTIONS[code],
            "valence": float(valence),
            "activation": float(activation),
            "dominance": float(dominance),
        }
        return utterance
    return None


def _text(dialogue: str, words: str | None) -> str | float:
    """Return the script, or the words of an improvisation; NaN: unknown."""
    script = SCRIPT.search(dialogue)
    return script[0] if script else words or float("nan")


def _read_rating(
    match: re.Match[str], utterance: str, file: Path, number: int, reading: _Reading
) -> None:
    """Add a rater's categories (`C`) or attributes (`A`); blanks are missing values."""
    kind, rater, text = match[1], match[2], match[3].strip()
    values: dict[str, Any] = {}
    if kind == "C":
        words = [word.strip().lower() for word in text.split(";") if word.strip()]
        names = tuple(RATED_AS.get(word, word) for word in words)
        if unknown := [name for name in names if name not in NOUNS]:
            reading.add_problem(file, number, f"{utterance}: unknown emotion {unknown[0]!r}")
            return
        values["emotions"] = names
    elif attributes := ATTRIBUTES.fullmatch(text):
        for name, value in zip(ORDER, attributes.groups(), strict=True):
            values[name] = float(value) if value else float("nan")
    else:
        reading.add_problem(
            file, number, f"{utterance}: expected `val 3; act 2; dom 2;`, found {text!r}"
        )
        return
    rating = reading.raters.setdefault((utterance, rater), {})
    if rating.keys() & values.keys():
        reading.add_problem(file, number, f"{utterance}: duplicate rating {kind}-{rater}")
    else:
        rating.update(values)
