"""IEMOCAP: dyadic sessions, improvised and scripted, rated by several people.

Busso et al., *IEMOCAP: interactive emotional dyadic motion capture database*, Language Resources
and Evaluation 42, 2008. Layout of `IEMOCAP_full_release`::

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt                    labels of one dialogue
    Session1/dialog/transcriptions/Ses01F_impro01.txt                   what is said in it
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M013.wav       one utterance
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ser.corpora import Corpus, Problem
from ser.corpora.layout import assemble, found_in, given_root, misplaced, wavs
from ser.errors import UserError

SESSIONS = ("1", "2", "3", "4", "5")
WHAT = "the folder IEMOCAP_full_release, with Session1 to Session5 in it"
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
RATED = {"excited": "excitement", "neutral state": "neutral"}
NOUNS = frozenset(noun for noun in EMOTIONS.values() if noun)

ORDER = ("valence", "activation", "dominance")
NUMBER = r"\d+(?:\.\d*)?"
# [start - end]  utterance  emotion  [valence, activation, dominance]; times are the dialogue's
LABEL = re.compile(
    rf"\[\s*{NUMBER}\s*-\s*{NUMBER}\s*\]\s+(\S+)\s+(\S+)\s+"
    rf"\[\s*({NUMBER})\s*,\s*({NUMBER})\s*,\s*({NUMBER})\s*\]"
)
# The last letter is the speaker. The one after the session number says who wore the markers, and
# what lies between them varies in length: Ses03M_impro05b_F013, Ses05F_script01_1b_M002.
UTTERANCE = re.compile(r"(Ses0(\d)[FM]_(impro|script)\w+)_([FM])\d+")
# Of a dialogue's name: the script, without the letter of a second recording (script01_1b).
SCRIPT = re.compile(r"script\d+_\d+")
# utterance [start-end]: words; [LAUGHTER] and the like among them
SPOKEN = re.compile(r"(Ses\S+)\s+\[[^\]]*\]:(.*)")
NO_WORD = re.compile(r"\[[^\]]*\]|[^\w\s']")
# A rater E1, E2, ... or the actor's own report F1 or M1; a comment in brackets may follow.
RATING = re.compile(r"([CA])-([EFM]\d+):([^(]*)")
ATTRIBUTES = re.compile(
    rf"val\s*({NUMBER})?\s*;\s*act\s*({NUMBER})?\s*;\s*dom\s*({NUMBER})?\s*;?", re.IGNORECASE
)


@dataclass
class _Reading:
    """What has been read so far."""

    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    raters: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)

    def problem(
        self,
        file: Path,
        line: int | None,
        reason: str,
        kind: Literal["unreadable", "no audio", "no label"] = "unreadable",
    ) -> None:
        self.problems.append(Problem(file, line, reason, kind))


def iemocap(root: str | Path | None, self_reports: bool = False) -> Corpus:
    """Read IEMOCAP from its published layout.

    A speaker is the session and the letter before the turn number (`Ses01F_impro01_M013` is
    spoken by `1M`). Values are kept as written. Where raters did not agree, emotion is missing.

    The text of what is scripted is the script, which several sessions act: each cuts it into turns
    of its own, so that sentences cannot be matched, and a script is a text as a whole. That of what
    is improvised is its words, from `dialog/transcriptions` ("yeah" recurs, most others do not);
    without a transcription, or where nothing is said in words, it is missing.

    Args:
        root: the folder `IEMOCAP_full_release`.
        self_reports: count the actors' reports on themselves (`C-F1`, `A-M1`) among the raters.

    Raises:
        UserError: not IEMOCAP's root, or a part of it is absent.
    """
    folder = given_root(root, "IEMOCAP_ROOT", WHAT)
    _demand_whole(folder)
    reading = _Reading()
    for session in SESSIONS:
        audio = _audio(folder / f"Session{session}" / "sentences" / "wav", reading)
        for file in _label_files(folder, session):
            words = _words(file.parents[1] / "transcriptions" / file.name)
            _read_dialogue(file, session, audio, words, reading)
        for utterance in sorted(audio.keys() - reading.labelled):
            reading.problem(audio[utterance], None, "audio without a label", "no label")
    raters = [
        {"utterance": utterance, "rater": rater, "emotions": (), **rating}
        for (utterance, rater), rating in reading.raters.items()
        if self_reports or rater.startswith("E")
    ]
    return assemble("iemocap", reading.rows, reading.problems, raters)


def _demand_whole(folder: Path) -> None:
    """Raise unless every session has labels and audio."""
    if not _has_session(folder):
        raise misplaced(folder, WHAT, "Session1 to Session5", _has_session, "IEMOCAP")
    for session in SESSIONS:
        home = folder / f"Session{session}"
        if not home.is_dir():
            raise UserError(
                f"IEMOCAP at {folder} lacks Session{session}; found {found_in(folder)}. "
                "Unpack all five sessions."
            )
        for part in (Path("dialog/EmoEvaluation"), Path("sentences/wav")):
            if not (home / part).is_dir():
                near = next(p for p in (home / part).parents if p.is_dir())
                raise UserError(
                    f"IEMOCAP's Session{session} lacks {part}; {near} holds {found_in(near)}. "
                    f"Unpack the session again."
                )
        if not _label_files(folder, session):
            raise UserError(f"no label file Ses0{session}*.txt in {home}/dialog/EmoEvaluation")
        if not any(wavs(dialogue) for dialogue in (home / "sentences" / "wav").iterdir()):
            raise UserError(
                f"no audio in {home}/sentences/wav; it holds "
                f"{found_in(home / 'sentences' / 'wav')}. Expected <dialogue>/<utterance>.wav"
            )


def _has_session(folder: Path) -> bool:
    return any((folder / f"Session{session}").is_dir() for session in SESSIONS)


def _label_files(folder: Path, session: str) -> list[Path]:
    """One text file a dialogue; hidden ones (`._*` of macOS) are none."""
    evaluation = folder / f"Session{session}" / "dialog" / "EmoEvaluation"
    return sorted(file for file in evaluation.glob("*.txt") if not file.name.startswith("."))


def _audio(folder: Path, reading: _Reading) -> dict[str, Path]:
    audio: dict[str, Path] = {}
    for dialogue in sorted(folder.iterdir()):
        for file in wavs(dialogue):
            if audio.setdefault(file.stem, file) is not file:
                reading.problem(file, None, f"utterance again; first {audio[file.stem]}")
    return audio


def _words(file: Path) -> dict[str, str]:
    """What is said in each utterance of a dialogue, in lower case; empty: no transcription."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [match for line in lines if (match := SPOKEN.fullmatch(line.strip()))]
    return {match[1]: " ".join(NO_WORD.sub(" ", match[2]).lower().split()) for match in said}


def _read_dialogue(
    file: Path, session: str, audio: dict[str, Path], words: dict[str, str], reading: _Reading
) -> None:
    """Read one dialogue's label lines, each followed by the lines of its raters."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")  # comments may hold anything
    except OSError as error:
        reading.problem(file, None, f"unreadable ({error.strerror})")
        return
    utterance = None  # whose ratings follow; None after a label line that could not be used
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
            reading.problem(file, number, f"neither a label nor a rating: {line[:60]!r}")


def _read_label(
    line: str, file: Path, number: int, session: str, audio: dict[str, Path], reading: _Reading
) -> str | None:
    """Add a row; the utterance's id, or None where it could not be added."""
    match = LABEL.fullmatch(line)
    if match is None:
        reading.problem(
            file, number, f"not `[start - end] utterance emotion [V, A, D]`: {line[:80]!r}"
        )
        return None
    utterance, code, valence, activation, dominance = match.groups()
    name = UTTERANCE.fullmatch(utterance)
    known = utterance in reading.labelled
    reading.labelled.add(utterance)
    if name is None:
        reading.problem(file, number, f"{utterance}: not a name such as Ses01F_impro01_M013")
    elif name[1] != file.stem or name[2] != session:
        reading.problem(file, number, f"{utterance}: a label of another dialogue")
    elif known:
        reading.problem(file, number, f"{utterance}: labelled again")
    elif code not in EMOTIONS:
        reading.problem(file, number, f"{utterance}: unknown emotion {code!r}")
    elif utterance not in audio:
        reading.problem(file, number, f"{utterance}: label without audio", "no audio")
    else:
        reading.rows[utterance] = {
            "file": str(audio[utterance]),
            "speaker": session + name[4],
            "gender": GENDERS[name[4]],
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
    """The script that other sessions act, too, or what is said; NaN: nobody knows."""
    script = SCRIPT.search(dialogue)
    return script[0] if script else words or float("nan")


def _read_rating(
    match: re.Match[str], utterance: str, file: Path, number: int, reading: _Reading
) -> None:
    """Add a rater's categories (`C`) or attributes (`A`); blanks are missing values."""
    kind, rater, written = match[1], match[2], match[3].strip()
    values: dict[str, Any] = {}
    if kind == "C":
        written_names = [name.strip().lower() for name in written.split(";") if name.strip()]
        names = tuple(RATED.get(name, name) for name in written_names)
        if unknown := [name for name in names if name not in NOUNS]:
            reading.problem(file, number, f"{utterance}: unknown emotion {unknown[0]!r}")
            return
        values["emotions"] = names
    elif attributes := ATTRIBUTES.fullmatch(written):
        for name, value in zip(ORDER, attributes.groups(), strict=True):
            values[name] = float(value) if value else float("nan")
    else:
        reading.problem(file, number, f"{utterance}: not `val 3; act 2; dom 2;`: {written!r}")
        return
    rating = reading.raters.setdefault((utterance, rater), {})
    if rating.keys() & values.keys():
        reading.problem(file, number, f"{utterance}: {kind}-{rater} rates it again")
    else:
        rating.update(values)
