"""RAVDESS, its speech part: 24 actors, two English sentences, eight emotions.

Livingstone, Russo: *The Ryerson Audio-Visual Database of Emotional Speech and Song*, PLoS ONE
13(5), 2018. Layout: `Actor_NN/03-01-06-01-02-01-12.wav`, which is modality (03 audio alone),
channel (01 speech), emotion, intensity, sentence, repetition, actor.
"""

import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import assemble, found_in, given_root, misplaced, wavs
from ser.errors import UserError

WHAT = "the folder with Actor_01 to Actor_24, or the one with Audio_Speech_Actors_01-24 in it"
SPEECH = "Audio_Speech_Actors_01-24"
ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")


def ravdess(root: str | Path | None) -> Corpus:
    """Read the speech part of RAVDESS; sessions are pairs of consecutive actors, `01+02` and on.

    Raises:
        UserError: not RAVDESS' root, or actors are absent from it.
    """
    folder = given_root(root, "SER_RAVDESS_ROOT", WHAT)
    home = next((place for place in (folder / SPEECH, folder) if _fits(place)), None)
    if home is None:
        raise misplaced(folder, WHAT, "Actor_01 to Actor_24", _fits, "RAVDESS")
    if absent := [actor for actor in ACTORS if not wavs(home / f"Actor_{actor}")]:
        raise UserError(
            f"RAVDESS at {home} has no audio of actors {', '.join(absent)}; found "
            f"{found_in(home)}. Unpack all 24."
        )
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for actor in ACTORS:
        for file in wavs(home / f"Actor_{actor}"):
            name = NAME.fullmatch(file.stem)
            if name is None or name[5] != actor:
                reason = f"not speech of actor {actor} (a name such as 03-01-06-01-02-01-{actor})"
                problems.append(Problem(file, None, reason, "no label"))
                continue
            rows[file.stem] = {
                "file": str(file),
                "speaker": actor,
                "gender": "male" if int(actor) % 2 else "female",
                "session": _session(int(actor)),
                "style": "acted",
                "text": name[3],
                "emotion": EMOTIONS[name[1]],
            }
    return assemble("ravdess", rows, problems)


def _session(actor: int) -> str:
    first = actor - 1 + actor % 2
    return f"{first:02d}+{first + 1:02d}"


def _fits(folder: Path) -> bool:
    return any((folder / f"Actor_{actor}").is_dir() for actor in ACTORS)
