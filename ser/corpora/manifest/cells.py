"""The values of the cells of a manifest, and why a cell has none."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ser.errors import UserError

Scale = tuple[float, float]
CONTRACT: Scale = (1.0, 5.0)  # scale of attributes in a corpus table
TOLERANCE = 0.5  # beyond it; a few of IEMOCAP's means are half a point outside
OLDEST = 130  # years
# What R, pandas and spreadsheets write for a missing value. "none" can be a label.
MISSING = ("NA", "N/A", "#N/A", "NaN", "nan", "NaT", "<NA>", "NULL", "null")
UNKNOWN = ("unknown", "?", "-")  # for a gender
GENDERS = {
    "female": ("f", "female", "w", "woman", "women", "girl", "weiblich", "frau", "femme", "kvinde"),
    "male": ("m", "male", "man", "men", "boy", "männlich", "maennlich", "mann", "homme", "mand"),
}
LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hindi": "hi", "hungarian": "hu", "italian": "it", "japanese": "ja",
    "korean": "ko", "mandarin": "zh", "norwegian": "no", "persian": "fa", "polish": "pl",
    "portuguese": "pt", "russian": "ru", "spanish": "es", "swedish": "sv", "turkish": "tr",
    "urdu": "ur",
}  # fmt: skip
# 1.5, 90, 0:01:30.5 and the "0 days 00:01:30.500000" of pandas and audformat
CLOCK = re.compile(r"(?:(\d+) days? )?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


def number(text: str) -> float:
    """Return the value of a cell, in which a comma may stand for the decimal point.

    Raises:
        ValueError: It is not a finite number.
    """
    try:
        value = float(text.replace(",", ".") if "." not in text else text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"must be a number, found {text!r}")
    return value


def seconds(text: str) -> float:
    """Return a time in seconds, given as a number or as h:mm:ss.

    Raises:
        ValueError: It is neither.
    """
    if match := CLOCK.fullmatch(text):
        days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
        return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])
    return number(text)


def age(text: str) -> float:
    """Return an age in years.

    Raises:
        ValueError: It is not a number of years.
    """
    years = number(text)
    if not 0 <= years <= OLDEST:
        raise ValueError(f"must be in years, found {text!r}")
    return years


def gender(text: str) -> str | None:
    """Return "female", "male" or None, if it is unknown.

    Raises:
        ValueError: It is another word, or a number, whose meaning depends on the corpus.
    """
    word = text.casefold().rstrip(".")
    for name, words in GENDERS.items():
        if word in words:
            return name
    if word in UNKNOWN:
        return None
    reason = ", whose meaning differs between corpora" if word.isdecimal() else ""
    raise ValueError(f"must be female, male, f or m, or empty, found {text!r}{reason}")


def language(text: str) -> str:
    """Return the code of a language in ISO 639-1; a region after it is left out.

    Raises:
        ValueError: It is neither a code nor the English name of a language that is known here.
    """
    word = re.split(r"[-_]", text.casefold())[0]
    code = LANGUAGES.get(word, word)
    if not re.fullmatch("[a-z]{2}", code):
        raise ValueError(f"must be a code of two letters such as en (ISO 639-1), found {text!r}")
    return code


def flag(text: str) -> bool:
    """Return True or False.

    Raises:
        ValueError: It is another word.
    """
    word = text.casefold()
    if word not in ("true", "yes", "1", "false", "no", "0"):
        raise ValueError(f"must be true or false, found {text!r}")
    return word in ("true", "yes", "1")


PARSERS: dict[str, Callable[[str], object]] = {
    "start": seconds,
    "end": seconds,
    "duration": seconds,
    "gender": gender,
    "age": age,
    "language": language,
    "valence": number,
    "activation": number,
    "dominance": number,
    "synthetic": flag,
}
NEVER_MISSING = ("utterance", "file", "text")  # a name or a word can be "NA"


def parse(column: str, text: str) -> object:
    """Return the value of a cell, None if it is missing.

    Raises:
        ValueError: The reason why it cannot be read.
    """
    if not text or (text in MISSING and column not in NEVER_MISSING):
        return None
    try:
        return PARSERS[column](text) if column in PARSERS else text
    except ValueError as error:
        raise ValueError(f"{column} {error}") from error


def require_scale(scale: Sequence[float] | None) -> Scale | None:
    """Return the scale of ratings as two increasing numbers; None: 1 to 5.

    Raises:
        UserError: It is something else.
    """
    if scale is None:
        return None
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise UserError(
            f"corpus.scale={list(scale)}: must be the lowest and the highest rating, as in [1,7]"
        )
    return float(scale[0]), float(scale[1])


def rescale(column: str, value: float, scale: Scale | None) -> float:
    """Return a rating on the scale from 1 to 5.

    Raises:
        ValueError: It is outside its own scale.
    """
    if scale is None:
        return value
    low, high = scale
    if not low <= value <= high:
        raise ValueError(f"{column} {value:g} is outside corpus.scale=[{low:g},{high:g}]")
    return CONTRACT[0] + (value - low) * (CONTRACT[1] - CONTRACT[0]) / (high - low)


def spellings(values: Iterable[str]) -> dict[str, str]:
    """Return by each name the one to use, where names differ in case and spaces only.

    The most frequent spelling is used; of equally frequent ones the one in lower case.

    Examples:
        >>> spellings(["Anger", "anger", "anger", "fear"])
        {'Anger': 'anger'}
    """
    groups: dict[str, Counter[str]] = {}
    for value in values:
        groups.setdefault(" ".join(value.casefold().split()), Counter())[value] += 1
    best = {
        key: max(counts, key=lambda name: (counts[name], name.islower(), name))
        for key, counts in groups.items()
    }
    return {
        name: best[key] for key, counts in groups.items() for name in counts if name != best[key]
    }
