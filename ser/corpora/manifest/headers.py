"""What the columns of a manifest are: their names, synonyms of other tools, and misspellings."""

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from ser.corpora import COLUMNS
from ser.errors import UserError

# Columns of a manifest that are not columns of a corpus table.
DURATION, SYNTHETIC, RATER = "duration", "synthetic", "rater"
NAMES = ("utterance", *COLUMNS, DURATION, SYNTHETIC)
ATTRIBUTES = ("valence", "activation", "dominance")
RATED = ("emotion", *ATTRIBUTES)
# In lower case without spaces and punctuation, by the column that they mean.
SYNONYMS = {
    "utterance": ("utteranceid", "utt", "uttid", "segmentid", "clipid"),
    "file": (
        *("path", "filename", "filepath", "wav", "wavfile", "wavpath", "audio", "audiofile"),
        *("audiopath", "audiofilepath", "recording", "datei", "dateiname"),
    ),
    "start": ("starttime", "begin", "begintime", "onset"),
    "end": ("endtime", "stop", "stoptime"),
    DURATION: ("dur", "length", "durationseconds", "durations"),
    "speaker": (
        *("speakerid", "speakername", "spk", "spkid", "spkr", "spkrid", "actor", "actorid"),
        *("subject", "subjectid", "participant", "participantid", "sprecher", "sprecherid"),
    ),
    "gender": ("sex", "speakergender", "speakersex", "geschlecht"),
    "age": ("speakerage", "alter"),
    "language": ("lang", "sprache"),
    "split": ("splitset", "partition"),
    "session": ("sessionid",),
    "dialogue": ("dialog", "dialogueid", "dialogid", "conversation"),
    "style": ("speakingstyle",),
    "text": ("transcript", "transcription", "sentence", "sentenceid"),
    "emotion": ("label", "emotionlabel", "category", "emoclass"),
    "valence": ("emoval",),
    "activation": ("arousal", "emoact"),
    "dominance": ("emodom",),
    RATER: ("raterid", "annotator", "annotatorid", "evaluator", "worker", "workerid"),
}
# Columns that mean one thing in some tables and another in others: ignoring them could be wrong.
AMBIGUOUS = {"offset": "rename it to start or end"}
# A column of one rater: emotion_1, arousal.2, valence_rater3.
RATING = re.compile(r"([a-z]+)[ _.-]*?(?:rater|annotator|r|a)?[ _.-]*(\d+)")
SIMILAR = 0.81  # ratio of `difflib` above which an unknown column is a misspelling


@dataclass(frozen=True)
class Header:
    """The place of each column in the rows of a table.

    Attributes:
        places: By column.
        ratings: By column and rater, e.g. ("emotion", "1").
        notes: Columns that were understood or ignored, for the user.
        reasons: Columns that must be corrected.
    """

    places: dict[str, int]
    ratings: dict[tuple[str, str], int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def understand(file: Path, header: list[str], known: tuple[str, ...] = NAMES) -> Header:
    """Find the columns of a table.

    Args:
        file: For messages.
        header: Names as written.
        known: Columns that the table may have.

    Raises:
        UserError: A column occurs twice, or several could be the same.
    """
    named = [name for name in header if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise UserError(f"{file} has duplicate columns: {', '.join(twice)}")
    places = {name: header.index(name) for name in known if name in header}
    unnamed = {name: column for name in named if name not in known and (column := _meant(name))}
    renamed = _renamed(file, unnamed, set(places), known)
    places |= {column: header.index(name) for name, column in renamed.items()}
    rest = [name for name in named if name not in known and name not in renamed]
    ratings = {rating: header.index(name) for name in rest if (rating := _rating(name))}
    ignored, reasons = [], []
    for name in rest:
        if _rating(name) and RATER not in known:
            continue
        near = misspelt(name, tuple(column for column in known if column not in places))
        if near:
            reasons.append(f"unknown column {name!r} (did you mean {near!r}?)")
        elif remedy := AMBIGUOUS.get(_plain(name)):
            reasons.append(f"column {name!r} is ambiguous: {remedy}")
        else:
            ignored.append(name)
    notes = []
    if renamed:
        pairs = ", ".join(f"{column} from {name!r}" for name, column in renamed.items())
        notes.append(f"columns understood: {pairs}")
    if ignored:
        notes.append(f"columns ignored: {', '.join(map(repr, ignored))}")
    return Header(places, {} if RATER in known else ratings, tuple(notes), tuple(reasons))


def count_known(header: list[str]) -> int:
    """Return how many of some names are columns of a manifest."""
    return sum(name in NAMES or bool(_meant(name) or _rating(name)) for name in header)


def misspelt(name: str, known: tuple[str, ...]) -> str | None:
    """Return the column of which a name is a misspelling; None: it is another word.

    Names that contain the column, such as `emotion_intensity`, are other words.
    """
    plain = _plain(name)
    ratios = {
        column: SequenceMatcher(None, plain, column).ratio()
        for column in known
        if column not in plain
    }
    best = max(ratios, key=lambda column: ratios[column], default=None)
    return best if best is not None and ratios[best] > SIMILAR else None


def _renamed(
    file: Path, unnamed: dict[str, str], present: set[str], known: tuple[str, ...]
) -> dict[str, str]:
    """Return the column by the name that stands for it, where the column itself is absent."""
    renamed = {
        name: column
        for name, column in unnamed.items()
        if column in known and column not in present
    }
    for column in dict.fromkeys(renamed.values()):
        names = [name for name, meant in renamed.items() if meant == column]
        if len(names) > 1:
            raise UserError(
                f"{file}: the columns {' and '.join(map(repr, names))} could all be {column}; "
                f"rename one of them to {column}"
            )
    return renamed


def _meant(name: str) -> str | None:
    """Return the column that a name means by its spelling or a synonym; None: unknown."""
    plain = _plain(name)
    if plain in (*NAMES, RATER):
        return plain
    return next((column for column, names in SYNONYMS.items() if plain in names), None)


def _rating(name: str) -> tuple[str, str] | None:
    """Return column and rater of a column such as `emotion_1`; None: it is not one."""
    match = RATING.fullmatch(name.strip().casefold())
    column = _meant(match[1]) if match else None
    return (column, match[2]) if match and column in RATED else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
