"""CREMA-D: 91 actors, twelve English sentences, six emotions.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma: *CREMA-D: Crowd-sourced Emotional Multimodal Actors
Dataset*, IEEE Transactions on Affective Computing 5(4), 2014. A file is named
`AudioWAV/1001_DFA_ANG_XX.wav`: actor, sentence, emotion, intensity. 2,443 raters chose an emotion
for the voice, the face or both; a line of `finishedResponses.csv` is one choice.
"""

import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from ser.corpora import Corpus, Problem
from ser.corpora.layout import (
    build_corpus,
    read_rows,
    read_table,
    resolve_root,
    wav_files,
    wrong_root,
)

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
DEMOGRAPHICS = "VideoDemographics.csv"
RESPONSES, FIRST_RESPONSES = "finishedResponses.csv", "finishedEmoResponses.csv"
QUESTION = ["sessionNums", "queryType", "questNum"]  # identifies a response in both files
VOICE = "1"  # the value of queryType for voice alone
LONGEST = 10_000  # milliseconds to the first response; later ones are not counted


def cremad(root: str | Path | None) -> Corpus:
    """Read CREMA-D.

    `emotion` is the intended one of the file name; `raters` has what was heard in the voice alone,
    without responses that took over ten seconds, as the authors count them
    (`processFinishedResponses.R`). Without `finishedResponses.csv` there are no raters.

    The corpus has no sessions. Ten groups of nine or ten actors with consecutive numbers replace
    them, `01` to `10`; they do not depend on which actors are present. Genders and ages come from
    `VideoDemographics.csv`; without that file the columns are absent.

    Raises:
        UserError: The root is not that of CREMA-D, or has no audio, or a table cannot be read.
    """
    folder = resolve_root(root, "SER_CREMAD_ROOT", EXPECTED)
    if not _has_audio(folder):
        content = "files such as AudioWAV/1001_DFA_ANG_XX.wav"
        raise wrong_root(folder, "CREMA-D", EXPECTED, content, _has_audio)
    rows: dict[str, dict[str, object]] = {}
    problems: list[Problem] = []
    people = _people(folder / DEMOGRAPHICS, problems)
    for file in wav_files(folder / "AudioWAV"):
        name = NAME.fullmatch(file.stem)
        number = int(name[1]) - FIRST_ACTOR if name else -1
        if name is None or not 0 <= number < ACTORS or name[3] not in EMOTIONS:
            problems.append(Problem(file, None, WRONG_NAME, "no label"))
            continue
        rows[file.stem] = {
            "file": str(file),
            "speaker": name[1],
            **(people or {}).get(name[1], {}),
            "language": "en",
            "session": f"{number * SESSIONS // ACTORS + 1:02d}",
            "style": "acted",
            "text": name[2],
            "emotion": EMOTIONS[name[3]],
        }
    if people is not None:
        for actor in sorted({str(row["speaker"]) for row in rows.values()} - people.keys()):
            reason = f"the gender of actor {actor} is missing"
            problems.append(Problem(folder / DEMOGRAPHICS, None, reason))
    return build_corpus("cremad", rows, problems, _ratings(folder, rows, problems))


def _people(file: Path, problems: list[Problem]) -> dict[str, dict[str, object]] | None:
    """Return gender and age of each actor; None: there is no such file."""
    if not file.is_file():
        return None
    people: dict[str, dict[str, object]] = {}
    for line, cells in read_rows(file, ("ActorID", "Age", "Sex")):
        actor, age, sex = cells.values()
        if sex in GENDERS and actor and age.isdecimal():
            people[actor] = {"gender": GENDERS[sex], "age": float(age)}
        else:
            reason = f"ActorID, Age and Sex (Female or Male) are required, found {age!r}, {sex!r}"
            problems.append(Problem(file, line, reason))
    return people


def _ratings(
    folder: Path, utterances: Collection[str], problems: list[Problem]
) -> pd.DataFrame | None:
    """Return what raters heard in the voice alone; None: there is no file of responses."""
    file = folder / RESPONSES
    if not file.is_file():
        return None
    responses = read_table(file, [*QUESTION, "localid", "clipName", "respEmo"])
    responses = responses[
        (responses["queryType"] == VOICE) & responses["clipName"].isin(list(utterances))
    ]
    if (folder / FIRST_RESPONSES).is_file():
        first = read_table(folder / FIRST_RESPONSES, [*QUESTION, "ttr"])
        late = first[pd.to_numeric(first["ttr"], errors="coerce") > LONGEST]
        late_questions = pd.MultiIndex.from_frame(late[QUESTION])
        is_late = pd.MultiIndex.from_frame(responses[QUESTION]).isin(late_questions)
        responses = responses[~is_late]
    nouns = {code[0]: noun for code, noun in EMOTIONS.items()}
    emotions = responses["respEmo"].map(nouns)
    for line, found in responses.loc[emotions.isna(), "respEmo"].items():
        reason = f"respEmo must be one of {', '.join(nouns)}, found {found!r}"
        problems.append(Problem(file, int(str(line)) + 2, reason))
    ratings = pd.DataFrame(
        {
            "utterance": responses["clipName"],
            "rater": responses["localid"],
            "emotions": [(emotion,) for emotion in emotions],
        }
    )
    return ratings[emotions.notna()].drop_duplicates(["utterance", "rater"])


def _has_audio(folder: Path) -> bool:
    return bool(wav_files(folder / "AudioWAV"))
