"""EMO-DB, the Berlin Database of Emotional Speech: ten actors, ten German sentences.

Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: *A Database of German Emotional Speech*,
Interspeech 2005. A file is named `wav/03a01Fa.wav`: speaker, sentence, emotion, version.
"""

import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root, wav_files, wrong_root

EXPECTED = "the folder with EMO-DB's 535 files, or the one that contains `wav`"
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
# The corpus has no sessions. Pairs of a man and a woman replace them.
SESSIONS = ("03+08", "10+09", "11+13", "12+14", "15+16")
SESSION_OF = {speaker: session for session in SESSIONS for speaker in session.split("+")}
WOMEN = frozenset({"08", "09", "13", "14", "16"})
# In years, as documented with the corpus.
AGES = {
    "03": 31.0,
    "08": 34.0,
    "09": 21.0,
    "10": 32.0,
    "11": 26.0,
    "12": 30.0,
    "13": 32.0,
    "14": 35.0,
    "15": 25.0,
    "16": 31.0,
}
NAME = re.compile(r"(\d\d)([a-z]\d\d)([A-Z])[a-z]")


def emodb(root: str | Path | None) -> Corpus:
    """Read EMO-DB; the audio is in `root/wav` or in `root` itself.

    Raises:
        UserError: There is no file of EMO-DB.
    """
    folder = resolve_root(root, "SER_EMODB_ROOT", EXPECTED)
    home = next((place for place in (folder / "wav", folder) if _has_audio(place)), None)
    if home is None:
        raise wrong_root(folder, "EMO-DB", EXPECTED, "files such as 03a01Fa.wav", _has_audio)
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for file in wav_files(home):
        name = NAME.fullmatch(file.stem)
        if name is None or name[1] not in SESSION_OF or name[3] not in EMOTIONS:
            reason = "not a file name of EMO-DB (speaker, sentence, emotion, version: 03a01Fa.wav)"
            problems.append(Problem(file, None, reason, "no label"))
            continue
        speaker = name[1]
        rows[file.stem] = {
            "file": str(file),
            "speaker": speaker,
            "gender": "female" if speaker in WOMEN else "male",
            "age": AGES[speaker],
            "language": "de",
            "session": SESSION_OF[speaker],
            "style": "acted",
            "text": name[2],
            "emotion": EMOTIONS[name[3]],
        }
    return build_corpus("emodb", rows, problems)


def _has_audio(folder: Path) -> bool:
    return any(NAME.fullmatch(file.stem) for file in wav_files(folder))
