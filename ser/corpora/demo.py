"""demo: synthetic speech of ten voices in the layout of IEMOCAP, with its irregularities.

It serves to try everything without a data set. No score on it says anything about human emotion:
`ser.corpora.demo_dialogues` defines how each emotion sounds.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import soundfile
from rich.console import Console
from rich.progress import track

from ser.corpora import Corpus
from ser.corpora.demo_dialogues import Turn, dialogue_names, make_dialogue
from ser.corpora.iemocap import iemocap
from ser.corpora.layout import describe
from ser.corpora.synthesis import RATE, require_espeak, synthesise
from ser.errors import UserError

RECIPE = 1  # increase it whenever a byte of the corpus changes; older folders are replaced then
STAMP = "demo.json"
MOST_WORKERS = 4
MACOS_FILE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"  # of the hidden files `._*` of macOS


def demo(root: str | Path) -> Corpus:
    """Read the demo corpus in `root`; create it first where it is missing (some seconds).

    The folder is created atomically, with the same bits each time.

    Args:
        root: A folder for this corpus only, such as `outputs/demo`.

    Raises:
        UserError: The extra `demo` is not installed, `root` contains something else, or it cannot
            be written.
    """
    folder = Path(root).expanduser().resolve()
    if _recipe(folder) != RECIPE:
        try:
            create(folder)
        except OSError as error:
            raise UserError(f"the demo corpus cannot be created in {folder}: {error}") from error
    return replace(iemocap(folder), name="demo", synthetic=True)


def create(folder: Path, workers: int | None = None) -> None:
    """Create the corpus under a temporary name and rename it, unless another process has done so.

    Args:
        folder: Absolute path; absent, empty, or with the corpus of an older recipe.
        workers: Number of processes; None: one per CPU, but not more than `MOST_WORKERS`. The bits
            do not depend on it.

    Raises:
        UserError: espeak-ng is not installed, or the folder contains something else.
        OSError: The folder cannot be written.
    """
    require_espeak()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, former = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "former"))
    with _lock(folder.with_name(f".{folder.name}.lock")):
        for remains in (partial, former):  # of a killed process
            shutil.rmtree(remains, ignore_errors=True)
        recipe = _recipe(folder)
        if recipe == RECIPE:
            return
        if recipe is None and folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise UserError(
                f"corpus.root={folder} is not a demo corpus; it contains {describe(folder)}. "
                "Give a new folder, or corpus=iemocap for IEMOCAP itself."
            )
        try:
            write(partial, workers or min(os.cpu_count() or 1, MOST_WORKERS))
            if recipe is not None:
                folder.rename(former)
            partial.rename(folder)
        finally:
            for remains in (partial, former):
                shutil.rmtree(remains, ignore_errors=True)


def write(folder: Path, workers: int) -> None:
    """Synthesise every turn, and write audio, labels, transcriptions and, last, the stamp."""
    dialogues = {name: make_dialogue(name) for name in dialogue_names()}
    turns = [turn for dialogue in dialogues.values() for turn in dialogue]
    seconds: dict[str, float] = {}
    with closing(synthesise([turn.speech for turn in turns], workers)) as signals:
        progress = track(
            signals,
            "creating the demo corpus (synthetic speech)",
            total=len(turns),
            console=Console(stderr=True),
        )
        for turn, samples in zip(turns, progress, strict=True):
            file = _audio_file(folder, turn.utterance)
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, samples, RATE, subtype="PCM_16")
            seconds[turn.utterance] = len(samples) / RATE
    for name, dialogue in dialogues.items():
        _write_labels(folder, name, dialogue, seconds)
    (folder / STAMP).write_text(json.dumps({"recipe": RECIPE, "synthetic": True}) + "\n")


def _recipe(folder: Path) -> int | None:
    """Return the recipe of a demo corpus; None: the folder is not a demo corpus."""
    try:
        recipe = json.loads((folder / STAMP).read_text())["recipe"]
        return recipe if isinstance(recipe, int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the system releases it if the process is killed."""
    import fcntl  # not on Windows, where importing this module must still work

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _audio_file(folder: Path, utterance: str) -> Path:
    dialogue = utterance.rpartition("_")[0]
    return folder / f"Session{utterance[4]}/sentences/wav/{dialogue}/{utterance}.wav"


def _write_labels(folder: Path, name: str, dialogue: list[Turn], seconds: dict[str, float]) -> None:
    """Write the label file and the transcription of a dialogue, and hidden files as of macOS."""
    home = folder / f"Session{name[4]}" / "dialog"
    labels, words = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"], []
    start = 1.5
    for turn in dialogue:
        end = start + seconds[turn.utterance]
        values = ", ".join(f"{value:.4f}" for value in turn.attributes)
        head = f"[{start:.4f} - {end:.4f}]\t{turn.utterance}\t{turn.emotion}\t[{values}]"
        labels.append("\n".join((head, *turn.ratings, "")))
        text = ", ".join(turn.speech.clauses)
        words.append(f"{turn.utterance} [{start:08.4f}-{end:08.4f}]: {text}\n")
        start = end + 0.25
    for file, text in (
        (home / "EmoEvaluation" / f"{name}.txt", "\n".join(labels)),
        (home / "transcriptions" / f"{name}.txt", "".join(words)),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    first = _audio_file(folder, dialogue[0].utterance)
    for file in (home / "EmoEvaluation" / f"{name}.txt", first):
        file.with_name(f"._{file.name}").write_bytes(MACOS_FILE)
