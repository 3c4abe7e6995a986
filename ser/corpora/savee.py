"""SAVEE, Surrey Audio-Visual Expressed Emotion: four English actors, seven emotions.

Haq, Jackson: *Multimodal Emotion Recognition*, in *Machine Audition*, IGI Global 2010. A file is
named `AudioData/DC/a01.wav`: speaker, emotion, sentence; or, all in one folder, `DC_a01.wav`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root, wav_files, wrong_root

EXPECTED = "the folder AudioData, which contains DC, JE, JK and KL, or one with files as DC_a01.wav"
SPEAKERS = ("DC", "JE", "JK", "KL")
EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
NAME = re.compile(r"(DC|JE|JK|KL)_(a|d|f|h|n|sa|su)(\d\d)")
SENTENCES = {emotion: 30 if emotion == "n" else 15 for emotion in EMOTIONS}
WRONG_NAME = "not a file name of SAVEE (speaker, emotion, sentence: DC/a01.wav or DC_a01.wav)"


def savee(root: str | Path | None) -> Corpus:
    """Read SAVEE in either layout.

    `text` is the emotion's letter and the number of the sentence, which is the same for all four
    actors. The sentences differ between emotions, except that each has three which all share, and
    that neutral repeats some of the others; the file names do not say which ones. So the text
    tells the emotion: text-independent folds are impossible. The corpus has no sessions.

    Raises:
        UserError: There is no file of SAVEE.
    """
    folder = resolve_root(root, "SER_SAVEE_ROOT", EXPECTED)
    home = next((place for place in (folder, folder / "AudioData") if _has_audio(place)), None)
    if home is None:
        raise wrong_root(folder, "SAVEE", EXPECTED, "files such as DC/a01.wav", _has_audio)
    rows: dict[str, dict[str, object]] = {}
    problems = []
    for utterance, file in _files(home):
        name = NAME.fullmatch(utterance)
        if name is None or not 1 <= int(name[3]) <= SENTENCES[name[2]]:
            problems.append(Problem(file, None, WRONG_NAME, "no label"))
            continue
        if utterance in rows:
            reason = f"duplicate of {rows[utterance]['file']}"
            problems.append(Problem(file, None, reason))
            continue
        rows[utterance] = {
            "file": str(file),
            "speaker": name[1],
            "gender": "male",
            "language": "en",
            "style": "acted",
            "text": name[2] + name[3],
            "emotion": EMOTIONS[name[2]],
        }
    return build_corpus("savee", rows, problems)


def _files(home: Path) -> Iterator[tuple[str, Path]]:
    """Yield the audio of either layout with its utterance id, e.g. DC_a01."""
    yield from ((file.stem, file) for file in wav_files(home))
    for speaker in SPEAKERS:
        yield from ((f"{speaker}_{file.stem}", file) for file in wav_files(home / speaker))


def _has_audio(folder: Path) -> bool:
    return any(NAME.fullmatch(utterance) for utterance, _ in _files(folder))
