"""TESS, Toronto Emotional Speech Set: two women, 200 English words, seven emotions.

Pichora-Fuller, Dupuis: *Toronto Emotional Speech Set (TESS)*, University of Toronto, 2010. Each
word is spoken in the phrase *Say the word ...*. A file is named `OAF_back_angry.wav`: speaker
(older or younger), word, emotion. All files lie in one folder, or in 14 folders such as
`OAF_angry`, which differ in letter case and in the name of surprise.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root, wav_files, wrong_root

EXPECTED = "the folder with the 2,800 files, or the one with OAF_angry and its 13 neighbours"
ARCHIVE = "TESS Toronto emotional speech set data"
AGES = {"OAF": 64.0, "YAF": 26.0}
EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",  # "pleasant surprise"
    "sad": "sadness",
}
# One published file lacks a letter: OA_bite_neutral.wav.
NAME = re.compile(rf"(OAF?|YAF)_([a-z]+)_({'|'.join(EMOTIONS)})")
GROUP = re.compile(r"(?:OAF|YAF)_\w+", re.IGNORECASE)
WRONG_NAME = "not a file name of TESS (speaker, word, emotion: OAF_back_angry.wav)"


def tess(root: str | Path | None) -> Corpus:
    """Read TESS in either layout.

    `text` is the word. The corpus has no sessions, and only two speakers: a fold that keeps them
    apart has none left for validation, so that TESS serves best for training or as a second corpus.

    Raises:
        UserError: There is no file of TESS.
    """
    folder = resolve_root(root, "SER_TESS_ROOT", EXPECTED)
    home = next((place for place in (folder, folder / ARCHIVE) if _has_audio(place)), None)
    if home is None:
        raise wrong_root(folder, "TESS", EXPECTED, "files such as OAF_back_angry.wav", _has_audio)
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for file in _files(home):
        name = NAME.fullmatch(file.stem)
        if name is None:
            problems.append(Problem(file, None, WRONG_NAME, "no label"))
            continue
        speaker = "OAF" if name[1] == "OA" else name[1]
        utterance = f"{speaker}_{name[2]}_{name[3]}"
        if utterance in rows:
            reason = f"duplicate of {rows[utterance]['file']}"
            problems.append(Problem(file, None, reason))
            continue
        rows[utterance] = {
            "file": str(file),
            "speaker": speaker,
            "gender": "female",
            "age": AGES[speaker],
            "language": "en",
            "style": "acted",
            "text": name[2],
            "emotion": EMOTIONS[name[3]],
        }
    return build_corpus("tess", rows, problems)


def _files(home: Path) -> Iterator[Path]:
    """Yield the audio of a folder and of its folders that are named after speaker and emotion."""
    yield from wav_files(home)
    for group in sorted(home.iterdir()):
        if GROUP.fullmatch(group.name):
            yield from wav_files(group)


def _has_audio(folder: Path) -> bool:
    return folder.is_dir() and any(NAME.fullmatch(file.stem) for file in _files(folder))
