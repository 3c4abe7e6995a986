"""Dialogues of the demo corpus: words, emotions, ratings, and how each emotion sounds.

`_speech` defines how an emotion sounds. Habits of the speaker, chance and noise vary it, so that a
model has to generalise. Words are drawn independently of the emotion.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ser.corpora.synthesis import Speech

# code: rater's word; valence, activation, dominance; codes with which raters may confuse it
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
TURNS = 14  # per dialogue; each actor has half of them
FELT, RATED = 0.3, 0.6  # standard deviations of the felt attributes, and of a rating around them
MISTAKEN, BLANK = 0.15, 0.03  # probabilities of a wrong emotion, and of a missing value

# session and letter: espeak-ng voice, pitch (50: unchanged), words per minute, vocal tract factor
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
class Turn:
    """One utterance before synthesis, with its ratings.

    Attributes:
        utterance: Id.
        speech: What is synthesised.
        emotion: Code that most raters chose; "xxx": they did not agree.
        attributes: Mean ratings of valence, activation and dominance.
        ratings: Lines of the label file.
    """

    utterance: str
    speech: Speech
    emotion: str
    attributes: tuple[float, float, float]
    ratings: tuple[str, ...]


def dialogue_names() -> list[str]:
    """Return all names, such as Ses01F_impro01; F or M is the actor with the markers."""
    names = [f"Ses0{s}{d.replace(' ', '_')}" for s in range(1, 6) for d in DIALOGUES]
    return [f"{name}b" if name in SUFFIXED else name for name in names]


def make_dialogue(name: str) -> list[Turn]:
    """Return the turns of a dialogue; a script has the same words in every session."""
    is_scripted = "script" in name
    script = name.partition("_")[2].rstrip("b")
    play = script if is_scripted else name
    in_session = [n.rstrip("b") for n in dialogue_names() if n[4] == name[4]]
    number = in_session.index(name.rstrip("b"))
    counts: Counter[str] = Counter()
    turns = []
    for letter in _random(play, "order").permutation(list("FM") * (TURNS // 2)):
        speaker = name[4] + letter
        turn = counts[letter]
        counts[letter] += 1
        emotion = _random(speaker, "emotions").permutation(ACTED)[number * TURNS // 2 + turn]
        utterance = f"{name}_{letter}{turn:03d}"
        clauses = _clauses(_random(play, letter, turn, "words"))
        turns.append(_turn(utterance, speaker, str(emotion), clauses, not is_scripted))
    return turns


def _random(*key: object) -> np.random.Generator:
    """Return a generator of random numbers that depends on `key` only."""
    digest = hashlib.sha256(" ".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _clauses(random: np.random.Generator) -> tuple[str, ...]:
    opening, subject, deed, ending = (
        str(random.choice(part)) for part in (OPENINGS, SUBJECTS, DEEDS, ENDINGS)
    )
    clauses = ((opening, 0.3), (f"{subject} {deed}", 1.0), (ending, 0.3))
    return tuple(clause for clause, probability in clauses if random.random() < probability)


def _turn(
    utterance: str, speaker: str, emotion: str, clauses: tuple[str, ...], with_self_report: bool
) -> Turn:
    """Draw the felt attributes of an utterance and the ratings of three raters."""
    random = _random(utterance, "rated")
    felt = np.array(EMOTIONS[emotion][1]) + random.normal(0, FELT, 3)
    votes: list[str] = []
    values = np.clip(np.rint(felt + random.normal(0, RATED, (3, 3))), 1, 5)  # one row per rater
    for rater in range(3):
        is_mistaken = random.random() < MISTAKEN
        votes.append(str(random.choice(EMOTIONS[emotion][2])) if is_mistaken else emotion)
        if random.random() < BLANK:
            values[rater, random.integers(3)] = np.nan
    ratings = [f"C-E{r}:\t{EMOTIONS[vote][0]};\t()" for r, vote in enumerate(votes, start=1)]
    ratings += [f"A-E{r}:\t{_rating(row)}\t()" for r, row in enumerate(values, start=1)]
    if with_self_report:  # of the actor; it does not count
        own = np.clip(np.rint(felt), 1, 5)
        ratings.insert(3, f"C-{speaker[1]}1:\t{EMOTIONS[emotion][0]};\t()")
        ratings.append(f"A-{speaker[1]}1:\t{_rating(own)}\t()")
    vote, count = Counter(votes).most_common(1)[0]
    valence, activation, dominance = map(float, np.nanmean(values, axis=0))
    return Turn(
        utterance,
        _speech(utterance, speaker, felt, clauses),
        vote if count > 1 else "xxx",
        (valence, activation, dominance),
        tuple(ratings),
    )


def _rating(values: np.ndarray) -> str:
    """Return `val 3; act 2; dom  2;` with blanks for missing values."""
    val, act, dom = ("" if np.isnan(value) else f"{value:.0f}" for value in values)
    return f"val {val}; act {act}; dom  {dom};"


def _speech(utterance: str, speaker: str, felt: np.ndarray, clauses: tuple[str, ...]) -> Speech:
    """Derive acoustic cues from the felt attributes, the speaker's habits and chance."""
    habit = _random(speaker, "habit")
    chance = _random(utterance, "manner")
    valence, activation, dominance = felt - 3
    voice, pitch, rate, tract = VOICES[speaker]
    effects = {  # cue: effects of valence, activation and dominance; standard deviation
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
        name: habit.normal(0, 0.3 * deviation)
        + habit.uniform(0.7, 1.3) * float(np.dot(weights, (valence, activation, dominance)))
        + chance.normal(0, deviation)
        for name, (*weights, deviation) in effects.items()
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
