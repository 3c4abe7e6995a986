"""demo: ten synthetic voices in a folder shaped like IEMOCAP, quirks included.

For trying everything without a data set. No figure on it says anything about human emotion: how an
emotion sounds is a rule written down in `_manner`, blurred by habit, chance and noise so that a
model has to generalise. Sentences are drawn without regard to emotion; words give nothing away.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track

from ser.corpora import Corpus
from ser.corpora.iemocap import iemocap
from ser.corpora.layout import describe
from ser.corpora.synthesis import RATE, Speech, demand_espeak, synthesise
from ser.errors import UserError

RECIPE = 1  # raise it whenever a byte of the corpus changes: folders made before are made anew
STAMP = "demo.json"

# code: the raters' word; valence, activation, dominance as acted; what raters may take it for
EMOTIONS = {
    "neu": ("Neutral", (3.0, 2.5, 3.0), ("fru", "sad")),
    "ang": ("Anger", (1.9, 4.0, 4.0), ("fru",)),
    "sad": ("Sadness", (2.0, 1.9, 2.3), ("neu", "fru")),
    "hap": ("Happiness", (4.0, 3.3, 3.1), ("exc", "neu")),
    "exc": ("Excited", (4.2, 4.0, 3.4), ("hap",)),
    "fru": ("Frustration", (2.2, 3.2, 3.4), ("ang", "neu")),
}
ACTED = ("neu",) * 12 + ("ang",) * 9 + ("sad",) * 9 + ("hap",) * 5 + ("exc",) * 4 + ("fru",) * 3
DIALOGUES = ("F impro01", "F impro02", "M impro03", "M impro05", "F script01_1", "M script01_1")
SUFFIXED = ("Ses03M_impro05", "Ses05F_script01_1", "Ses05M_script01_1")  # with a b at the end
TURNS = 14  # a dialogue, half of them an actor's
FELT, HEARD = 0.3, 0.6  # standard deviations of what is felt, and of a rater's view of it
MISTAKEN, BLANK = 0.15, 0.03  # how often a rater hears another emotion, leaves a value out

# session and letter: voice of espeak-ng, pitch (50: as the voice is), words a minute, tract
VOICES = {
    "1F": ("en-us+f1", 52, 185, 1.00),
    "1M": ("en-us+m3", 50, 178, 1.00),
    "2F": ("en-us+f2", 50, 185, 0.97),
    "2M": ("en-us+m7", 46, 180, 1.04),
    "3F": ("en-us+linda", 36, 175, 1.02),
    "3M": ("en-us+m1", 58, 190, 0.98),
    "4F": ("en-us+f3", 50, 178, 1.00),
    "4M": ("en-us+m4", 54, 178, 1.01),
    "5F": ("en-us+f4", 55, 190, 1.03),
    "5M": ("en-us+m2", 52, 175, 1.02),
}
OPENINGS = "well", "listen", "you know", "look", "so", "all right", "by the way", "yes", "anyway"
SUBJECTS = (
    "my sister", "the man next door", "your brother", "our teacher", "the doctor", "my neighbour",
    "somebody from the office", "the woman on the phone", "the driver", "a friend of mine",
)  # fmt: skip
DEEDS = (
    "left the keys on the table", "called about the apartment", "moved to another city",
    "asked for the letter again", "took the early train", "talked to the manager",
    "put the box behind the door", "read the whole report", "changed the plan for the summer",
    "walked home in the rain", "bought two tickets for the show", "sold the old car",
)  # fmt: skip
ENDINGS = (
    "this morning", "on Sunday", "about an hour ago", "and nobody said a word",
    "and that is all I know", "before we got there", "and I was there", "as far as I remember",
    "and they want an answer by tomorrow",
)  # fmt: skip


@dataclass(frozen=True)
class _Turn:
    """One utterance to be, with what its raters wrote."""

    utterance: str
    speech: Speech
    emotion: str
    attributes: tuple[float, float, float]
    ratings: tuple[str, ...]


def demo(root: str | Path) -> Corpus:
    """Read the demo corpus in `root`; make it first where it is not there yet (some seconds).

    The folder is made whole or not at all, with the same bits each time.

    Args:
        root: a folder of its own, such as `outputs/demo`.

    Raises:
        UserError: the extra `demo` is not installed, `root` holds something else, or it cannot be
            written.
    """
    folder = Path(root).expanduser().resolve()
    if _recipe(folder) != RECIPE:
        try:
            _make_once(folder)
        except OSError as error:
            raise UserError(f"the demo corpus cannot be made in {folder}: {error}") from error
    return replace(iemocap(folder), name="demo", synthetic=True)


def _recipe(folder: Path) -> int | None:
    """The recipe that a demo corpus was made by; None: no demo corpus."""
    try:
        recipe = json.loads((folder / STAMP).read_text())["recipe"]
        return recipe if isinstance(recipe, int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_once(folder: Path, workers: int | None = None) -> None:
    """Make the corpus beside its place and rename it; whoever comes second finds it made."""
    demand_espeak()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, former = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "former"))
    with _locked(folder.with_name(f".{folder.name}.lock")):
        for left_by_a_kill in (partial, former):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        found = _recipe(folder)
        if found == RECIPE:
            return
        if found is None and folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise UserError(
                f"corpus.root={folder} holds no demo corpus, but {describe(folder)}. "
                "Give a new folder; IEMOCAP itself is corpus=iemocap."
            )
        try:
            _make(partial, workers or min(os.cpu_count() or 1, 4))
            if found is not None:
                folder.rename(former)
            partial.rename(folder)
        finally:
            for rest in (partial, former):
                shutil.rmtree(rest, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the system releases the lock of one that is killed."""
    import fcntl  # not on Windows, where reading this module must still work

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, workers: int) -> None:
    """Say every turn, and write audio, transcriptions, labels and, last, the stamp."""
    dialogues = {name: _dialogue(name) for name in _names()}
    turns = [turn for dialogue in dialogues.values() for turn in dialogue]
    seconds: dict[str, float] = {}
    doing, console = "making the demo corpus (synthetic speech)", Console(stderr=True)
    with closing(synthesise([turn.speech for turn in turns], workers)) as said:
        shown = track(said, doing, total=len(turns), console=console)
        for turn, samples in zip(turns, shown, strict=True):
            file = _audio(folder, turn.utterance)
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, samples, RATE, subtype="PCM_16")
            seconds[turn.utterance] = len(samples) / RATE
    for name, dialogue in dialogues.items():
        _write_labels(folder, name, dialogue, seconds)
    (folder / STAMP).write_text(json.dumps({"recipe": RECIPE, "synthetic": True}) + "\n")


def _audio(folder: Path, utterance: str) -> Path:
    dialogue = utterance.rpartition("_")[0]
    return folder / f"Session{utterance[4]}/sentences/wav/{dialogue}/{utterance}.wav"


def _write_labels(
    folder: Path, name: str, dialogue: list[_Turn], seconds: dict[str, float]
) -> None:
    """Write a dialogue's label file and transcription, and what macOS leaves beside files."""
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
    first = _audio(folder, dialogue[0].utterance)
    for file in (home / "EmoEvaluation" / f"{name}.txt", first):
        file.with_name(f"._{file.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")


def _names() -> list[str]:
    """Ses01F_impro01 and so on; F or M is who would wear the markers."""
    names = [f"Ses0{s}{d.replace(' ', '_')}" for s in range(1, 6) for d in DIALOGUES]
    return [f"{name}b" if name in SUFFIXED else name for name in names]


def _random(*key: object) -> np.random.Generator:
    """Random numbers that depend on `key` alone."""
    digest = hashlib.sha256(" ".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _dialogue(name: str) -> list[_Turn]:
    """The turns of a dialogue; a scripted one has the same words whoever plays it."""
    scripted = "script" in name
    script = name.partition("_")[2].rstrip("b")
    play = script if scripted else name
    number = [n.rstrip("b") for n in _names() if n[4] == name[4]].index(name.rstrip("b"))
    counts: Counter[str] = Counter()
    turns = []
    for letter in _random(play, "order").permutation(list("FM") * (TURNS // 2)):
        speaker = name[4] + letter
        spoken = counts[letter]
        counts[letter] += 1
        emotion = _random(speaker, "emotions").permutation(ACTED)[number * TURNS // 2 + spoken]
        utterance = f"{name}_{letter}{spoken:03d}"
        clauses = _clauses(_random(play, letter, spoken, "words"))
        turns.append(_turn(utterance, speaker, str(emotion), clauses, reports=not scripted))
    return turns


def _clauses(random: np.random.Generator) -> tuple[str, ...]:
    opening, subject, deed, ending = (
        str(random.choice(part)) for part in (OPENINGS, SUBJECTS, DEEDS, ENDINGS)
    )
    clauses = ((opening, 0.3), (f"{subject} {deed}", 1.0), (ending, 0.3))
    return tuple(clause for clause, often in clauses if random.random() < often)


def _turn(
    utterance: str, speaker: str, emotion: str, clauses: tuple[str, ...], reports: bool
) -> _Turn:
    """An utterance in `emotion`, felt more or less, and what three raters hear in it."""
    random = _random(utterance, "rated")
    felt = np.array(EMOTIONS[emotion][1]) + random.normal(0, FELT, 3)
    votes: list[str] = []
    values = np.clip(np.rint(felt + random.normal(0, HEARD, (3, 3))), 1, 5)  # a row a rater
    for rater in range(3):
        mistaken = random.random() < MISTAKEN
        votes.append(str(random.choice(EMOTIONS[emotion][2])) if mistaken else emotion)
        if random.random() < BLANK:
            values[rater, random.integers(3)] = np.nan
    ratings = [f"C-E{r}:\t{EMOTIONS[vote][0]};\t()" for r, vote in enumerate(votes, start=1)]
    ratings += [f"A-E{r}:\t{_rated(row)}\t()" for r, row in enumerate(values, start=1)]
    if reports:  # the actor's own, which counts for nothing
        own = np.clip(np.rint(felt), 1, 5)
        ratings.insert(3, f"C-{speaker[1]}1:\t{EMOTIONS[emotion][0]};\t()")
        ratings.append(f"A-{speaker[1]}1:\t{_rated(own)}\t()")
    vote, count = Counter(votes).most_common(1)[0]
    valence, activation, dominance = map(float, np.nanmean(values, axis=0))
    return _Turn(
        utterance,
        _manner(utterance, speaker, felt, clauses),
        vote if count > 1 else "xxx",
        (valence, activation, dominance),
        tuple(ratings),
    )


def _rated(values: np.ndarray) -> str:
    """`val 3; act 2; dom  2;`, nothing where a rater gave nothing."""
    val, act, dom = ("" if np.isnan(value) else f"{value:.0f}" for value in values)
    return f"val {val}; act {act}; dom  {dom};"


def _manner(utterance: str, speaker: str, felt: np.ndarray, clauses: tuple[str, ...]) -> Speech:
    """How it sounds: what is felt, stretched by the speaker's habits, moved by chance."""
    habit = _random(speaker, "habit")
    chance = _random(utterance, "manner")
    valence, activation, dominance = felt - 3
    voice, pitch, rate, tract = VOICES[speaker]
    moves = {  # cue: what valence, activation and dominance do to it; standard deviation
        "pitch": (5.0, 9.0, -3.0, 4.0),  # 5 are a semitone
        "range": (14.0, 12.0, 0.0, 7.0),
        "rate": (0.03, 0.10, 0.0, 0.045),  # natural logarithm
        "level": (-0.5, 3.0, 1.0, 1.1),  # dB
        "tilt": (-0.08, 0.08, 0.08, 0.055),
        "pause": (-0.10, -0.25, -0.10, 0.18),  # natural logarithm
        "gap": (-0.8, -1.0, 0.0, 0.6),  # 10 ms
        "breath": (0.0, -3.0, -1.0, 1.1),  # dB
    }
    cue = {
        name: habit.normal(0, 0.3 * spread)
        + habit.uniform(0.7, 1.3) * float(np.dot(weights, (valence, activation, dominance)))
        + chance.normal(0, spread)
        for name, (*weights, spread) in moves.items()
    }
    return Speech(
        clauses=clauses,
        voice=voice,
        seed=int(chance.integers(2**31)),
        rate=round(np.clip(rate * np.exp(cue["rate"]), 100, 320)),
        pitch=round(np.clip(pitch + cue["pitch"], 5, 99)),
        range=round(np.clip(48 + cue["range"], 5, 99)),
        gap=round(np.clip(1 + cue["gap"], 0, 12)),
        pause=round(np.clip(220 * np.exp(cue["pause"]), 30, 900)),
        tract=tract,
        tilt=float(np.clip(0.1 + cue["tilt"], -0.5, 0.7)),
        level=float(np.clip(-27 + cue["level"], -38, -16)),
        breath=float(np.clip(-18 + cue["breath"], -30, -8)),
        background=float(_random(speaker[0], "room").uniform(-64, -56) + chance.normal(0, 2)),
        margins=(float(chance.uniform(0.1, 0.3)), float(chance.uniform(0.1, 0.3))),
    )
