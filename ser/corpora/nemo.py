"""nEMO: nine Polish actors, 90 sentences, six emotions.

Christop: *nEMO: Dataset of Emotional Speech in Polish*, LREC-COLING 2024. Published layout::

    samples/WR0_surprised_64.wav    speaker, emotion, sentence
    data.tsv                        file_id, emotion, raw_text, normalized_text, speaker_id, gender,
                                    age
"""

import re
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, read_rows, resolve_root, wav_files, wrong_root

EXPECTED = "the folder that contains samples and data.tsv"
COLUMNS = ("file_id", "emotion", "normalized_text", "speaker_id", "gender", "age")
EMOTIONS = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
}
NAME = re.compile(r"(\w+)_([a-z]+)_(\d+)\.wav")


def nemo(root: str | Path | None) -> Corpus:
    """Read nEMO.

    `text` is the sentence as words in lower case; the number in a file name is that of the
    sentence. The corpus has no sessions.

    Raises:
        UserError: The root is not that of nEMO, or `data.tsv` cannot be read.
    """
    folder = resolve_root(root, "SER_NEMO_ROOT", EXPECTED)
    if not _is_root(folder):
        content = "data.tsv and files such as samples/WR0_surprised_64.wav"
        raise wrong_root(folder, "nEMO", EXPECTED, content, _is_root)
    audio = {file.name: file for file in wav_files(folder / "samples")}
    rows: dict[str, dict[str, object]] = {}
    problems: list[Problem] = []
    first: dict[str, int] = {}
    table = folder / "data.tsv"
    for line, cells in read_rows(table, COLUMNS, delimiter="\t"):
        name = cells["file_id"]
        if first.setdefault(name, line) != line:
            problems.append(Problem(table, line, f"duplicate of {name}, line {first[name]}"))
        elif fault := _fault(cells):
            problems.append(Problem(table, line, fault))
        elif name not in audio:
            problems.append(Problem(table, line, f"no audio file samples/{name}", "no audio"))
        else:
            rows[audio[name].stem] = {
                "file": str(audio[name]),
                "speaker": cells["speaker_id"],
                "gender": cells["gender"],
                "age": float(cells["age"]),
                "language": "pl",
                "style": "acted",
                "text": cells["normalized_text"],
                "emotion": EMOTIONS[cells["emotion"]],
            }
    for name in sorted(audio.keys() - first.keys()):
        problems.append(Problem(audio[name], None, "audio without a label", "no label"))
    return build_corpus("nemo", rows, problems)


def _is_root(folder: Path) -> bool:
    return (folder / "data.tsv").is_file() and bool(wav_files(folder / "samples"))


def _fault(cells: dict[str, str]) -> str | None:
    """Return why a row of `data.tsv` cannot be used."""
    name = NAME.fullmatch(cells["file_id"])
    if name is None or name.group(1, 2) != (cells["speaker_id"], cells["emotion"]):
        return (
            f"file_id must be {cells['speaker_id']}_{cells['emotion']}_<sentence>.wav, "
            f"found {cells['file_id']!r}"
        )
    if cells["emotion"] not in EMOTIONS:
        return f"emotion must be one of {', '.join(EMOTIONS)}, found {cells['emotion']!r}"
    if cells["gender"] not in ("female", "male"):
        return f"gender must be female or male, found {cells['gender']!r}"
    if not cells["age"].isdecimal():
        return f"age must be a number of years, found {cells['age']!r}"
    return None if cells["normalized_text"] else "normalized_text is empty"
