"""RAVDESS, speech only: 24 actors, two English sentences, eight emotions.

Livingstone, Russo: *The Ryerson Audio-Visual Database of Emotional Speech and Song*, PLoS ONE
13(5), 2018. A file is named `Actor_NN/03-01-06-01-02-01-12.wav`: modality (03 only audio), channel
(01 speech), emotion, intensity, sentence, repetition, actor.
"""

import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, describe, resolve_root, wav_files, wrong_root
from ser.errors import UserError

EXPECTED = (
    "the folder with Actor_01 to Actor_24, or the one that contains Audio_Speech_Actors_01-24"
)
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
    """Read the speech of RAVDESS.

    The corpus has no sessions. Pairs of consecutive actors replace them: `01+02`, `03+04`, ...

    Raises:
        UserError: The root is not that of RAVDESS, or actors are missing.
    """
    folder = resolve_root(root, "SER_RAVDESS_ROOT", EXPECTED)
    home = next((place for place in (folder / SPEECH, folder) if _has_actor(place)), None)
    if home is None:
        raise wrong_root(folder, "RAVDESS", EXPECTED, "Actor_01 to Actor_24", _has_actor)
    if missing := [actor for actor in ACTORS if not wav_files(home / f"Actor_{actor}")]:
        raise UserError(
            f"RAVDESS at {home} has no audio of actors {', '.join(missing)}; found "
            f"{describe(home)}. Unpack the audio of all 24 actors."
        )
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for actor in ACTORS:
        for file in wav_files(home / f"Actor_{actor}"):
            name = NAME.fullmatch(file.stem)
            if name is None or name[5] != actor:
                reason = f"not a speech file of actor {actor} (such as 03-01-06-01-02-01-{actor})"
                problems.append(Problem(file, None, reason, "no label"))
                continue
            rows[file.stem] = {
                "file": str(file),
                "speaker": actor,
                "gender": "male" if int(actor) % 2 else "female",
                "language": "en",
                "session": _session(int(actor)),
                "style": "acted",
                "text": name[3],
                "emotion": EMOTIONS[name[1]],
            }
    return build_corpus("ravdess", rows, problems)


def _session(actor: int) -> str:
    first = actor - 1 + actor % 2
    return f"{first:02d}+{first + 1:02d}"


def _has_actor(folder: Path) -> bool:
    return any((folder / f"Actor_{actor}").is_dir() for actor in ACTORS)
