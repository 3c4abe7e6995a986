"""CREMA-D: 91 actors, twelve English sentences, six emotions.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma: *CREMA-D: Crowd-sourced Emotional Multimodal Actors
Dataset*, IEEE Transactions on Affective Computing 5(4), 2014. A file is named
`AudioWAV/1001_DFA_ANG_XX.wav`: actor, sentence, emotion, intensity.
"""

import csv
import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root, wav_files, wrong_root

EXPECTED = "the folder that contains AudioWAV"
FIRST_ACTOR, ACTORS, SESSIONS = 1001, 91, 10
EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
WRONG_NAME = "not a file name of CREMA-D (actor, sentence, emotion, level: 1001_DFA_ANG_XX.wav)"
# One published file ends in a single X: 1040_ITH_SAD_X.wav.
NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(?:LO|MD|HI|XX?)")
GENDERS = {"Female": "female", "Male": "male"}


def cremad(root: str | Path | None) -> Corpus:
    """Read CREMA-D.

    The corpus has no sessions. Ten groups of nine or ten actors with consecutive numbers replace
    them, `01` to `10`; they do not depend on which actors are present. Genders come from
    `VideoDemographics.csv`; without that file the column is absent.

    Raises:
        UserError: The root is not that of CREMA-D, or has no audio.
    """
    folder = resolve_root(root, "SER_CREMAD_ROOT", EXPECTED)
    if not _has_audio(folder):
        content = "files such as AudioWAV/1001_DFA_ANG_XX.wav"
        raise wrong_root(folder, "CREMA-D", EXPECTED, content, _has_audio)
    rows: dict[str, dict[str, object]] = {}
    problems: list[Problem] = []
    genders = _genders(folder / "VideoDemographics.csv", problems)
    for file in wav_files(folder / "AudioWAV"):
        name = NAME.fullmatch(file.stem)
        number = int(name[1]) - FIRST_ACTOR if name else -1
        if name is None or not 0 <= number < ACTORS or name[3] not in EMOTIONS:
            problems.append(Problem(file, None, WRONG_NAME, "no label"))
            continue
        rows[file.stem] = {
            "file": str(file),
            "speaker": name[1],
            "session": f"{number * SESSIONS // ACTORS + 1:02d}",
            "style": "acted",
            "text": name[2],
            "emotion": EMOTIONS[name[3]],
        }
        if genders is not None:
            rows[file.stem]["gender"] = genders.get(name[1])
    if genders is not None:
        for actor in sorted({str(row["speaker"]) for row in rows.values()} - genders.keys()):
            reason = f"the gender of actor {actor} is missing"
            problems.append(Problem(folder / "VideoDemographics.csv", None, reason))
    return build_corpus("cremad", rows, problems)


def _genders(file: Path, problems: list[Problem]) -> dict[str, str] | None:
    """Return the gender of each actor; None: there is no such file."""
    if not file.is_file():
        return None
    genders: dict[str, str] = {}
    with open(file, encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            actor, sex = (row.get("ActorID") or "").strip(), (row.get("Sex") or "").strip()
            if sex in GENDERS and actor:
                genders[actor] = GENDERS[sex]
            else:
                reason = f"the columns ActorID and Sex (Female or Male) are required, found {sex!r}"
                problems.append(Problem(file, reader.line_num, reason))
    return genders


def _has_audio(folder: Path) -> bool:
    return bool(wav_files(folder / "AudioWAV"))
