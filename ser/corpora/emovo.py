"""EMOVO: six Italian actors, 14 sentences, seven emotions.

Costantini, Iaderola, Paoloni, Todisco: *EMOVO Corpus: an Italian Emotional Speech Database*, LREC
2014. A file is named `f1/dis-f1-b1.wav`: speaker, emotion, speaker, sentence.
"""

import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, describe, resolve_root, wav_files, wrong_root
from ser.errors import UserError

EXPECTED = "the folder with f1, f2, f3, m1, m2 and m3, or the one that contains EMOVO"
GENDERS = {"f": "female", "m": "male"}
SPEAKERS = tuple(f"{gender}{number}" for gender in GENDERS for number in (1, 2, 3))
EMOTIONS = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}
# Short and long sentences, nonsense, and questions.
SENTENCE = r"b[1-3]|l[1-4]|n[1-5]|d[12]"
NAME = re.compile(rf"({'|'.join(EMOTIONS)})-({'|'.join(SPEAKERS)})-({SENTENCE})")


def emovo(root: str | Path | None) -> Corpus:
    """Read EMOVO. The corpus has no sessions.

    Raises:
        UserError: The root is not that of EMOVO, or speakers are missing.
    """
    folder = resolve_root(root, "SER_EMOVO_ROOT", EXPECTED)
    home = next((place for place in (folder, folder / "EMOVO") if _has_speaker(place)), None)
    if home is None:
        raise wrong_root(folder, "EMOVO", EXPECTED, "files such as f1/dis-f1-b1.wav", _has_speaker)
    if missing := [speaker for speaker in SPEAKERS if not wav_files(home / speaker)]:
        raise UserError(
            f"EMOVO at {home} has no audio of speakers {', '.join(missing)}; found "
            f"{describe(home)}. Unpack the audio of all six speakers."
        )
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for speaker in SPEAKERS:
        for file in wav_files(home / speaker):
            name = NAME.fullmatch(file.stem)
            if name is None or name[2] != speaker:
                reason = f"not a file name of speaker {speaker} (such as dis-{speaker}-b1.wav)"
                problems.append(Problem(file, None, reason, "no label"))
                continue
            rows[file.stem] = {
                "file": str(file),
                "speaker": speaker,
                "gender": GENDERS[speaker[0]],
                "language": "it",
                "style": "acted",
                "text": name[3],
                "emotion": EMOTIONS[name[1]],
            }
    return build_corpus("emovo", rows, problems)


def _has_speaker(folder: Path) -> bool:
    return any(
        NAME.fullmatch(file.stem) for speaker in SPEAKERS for file in wav_files(folder / speaker)
    )
