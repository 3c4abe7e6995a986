"""CREMA-D: 91 actors, twelve English sentences, six emotions.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma: *CREMA-D: Crowd-sourced Emotional Multimodal Actors
Dataset*, IEEE Transactions on Affective Computing 5(4), 2014. Layout:
`AudioWAV/1001_DFA_ANG_XX.wav`, which is actor, sentence, emotion, intensity.
"""

import csv
import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import assemble, given_root, misplaced, wavs

WHAT = "the folder with AudioWAV in it"
FIRST_ACTOR, ACTORS, SESSIONS = 1001, 91, 10
EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
# One published file ends in a single X: 1040_ITH_SAD_X.wav.
NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(?:LO|MD|HI|XX?)")
GENDERS = {"Female": "female", "Male": "male"}


def cremad(root: str | Path | None) -> Corpus:
    """Read CREMA-D.

    The corpus has no sessions: tenths stand for them, `01` to `10`, nine or ten actors each by
    number, the same whether or not all actors are there. Genders come from
    `VideoDemographics.csv`; without that file the column is absent.

    Raises:
        UserError: not CREMA-D's root, or no audio in it.
    """
    folder = given_root(root, "SER_CREMAD_ROOT", WHAT)
    if not _fits(folder):
        raise misplaced(folder, WHAT, "AudioWAV/1001_DFA_ANG_XX.wav and others", _fits, "CREMA-D")
    rows: dict[str, dict[str, object]] = {}
    problems: list[Problem] = []
    genders = _genders(folder / "VideoDemographics.csv", problems)
    for file in wavs(folder / "AudioWAV"):
        name = NAME.fullmatch(file.stem)
        place = int(name[1]) - FIRST_ACTOR if name else -1
        if name is None or not 0 <= place < ACTORS or name[3] not in EMOTIONS:
            reason = "not a name of CREMA-D (actor, sentence, emotion, level: 1001_DFA_ANG_XX.wav)"
            problems.append(Problem(file, None, reason, "no label"))
            continue
        rows[file.stem] = {
            "file": str(file),
            "speaker": name[1],
            "session": f"{place * SESSIONS // ACTORS + 1:02d}",
            "style": "acted",
            "text": name[2],
            "emotion": EMOTIONS[name[3]],
        }
        if genders is not None:
            rows[file.stem]["gender"] = genders.get(name[1])
    if genders is not None:
        for actor in sorted({str(row["speaker"]) for row in rows.values()} - genders.keys()):
            reason = f"no gender of actor {actor}"
            problems.append(Problem(folder / "VideoDemographics.csv", None, reason))
    return assemble("cremad", rows, problems)


def _genders(file: Path, problems: list[Problem]) -> dict[str, str] | None:
    """Gender by actor, or None where there is no such file."""
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
                reason = f"expected columns ActorID and Sex (Female, Male), found {sex!r}"
                problems.append(Problem(file, reader.line_num, reason))
    return genders


def _fits(folder: Path) -> bool:
    return bool(wavs(folder / "AudioWAV"))
