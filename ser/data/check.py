"""Validate a corpus: compare its counts with the published ones, and read every audio file."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ser import console as terminal
from ser.corpora import Corpus, audio
from ser.data import targets
from ser.data.raters import agreement, attribute_ratings, emotion_ratings
from ser.errors import UserError

COUNTED = ("corpus", "split", "emotion", "session", "speaker", "gender", "language", "style")
ATTRIBUTES = ("activation", "valence", "dominance")
VALUES = ("age", *ATTRIBUTES)
PUBLISHED = ("utterances", *COUNTED, "subsets", "bins")
SUBSET = ("classes", "merge", "utterances", *COUNTED)
SHORTEST = 0.1  # seconds; openSMILE's longest frame has 0.06 s, and functionals need several
LISTED = 20  # warnings that are listed under each heading; faults are always listed


class Count(NamedTuple):
    """Number of utterances of one kind in the corpus and in its publication."""

    group: str
    name: str
    actual: int
    published: int | None

    @property
    def differs(self) -> bool:
        """Whether the number is published and different."""
        return self.published is not None and self.actual != self.published

    def __str__(self) -> str:
        return f"{self.group}, {self.name}: {self.actual} in the corpus, {self.published} published"


def check(
    corpus: Corpus,
    published: Mapping[str, Any] | None = None,
    *,
    threads: int = 2,
    console: Console | None = None,
) -> bool:
    """Print the counts of a corpus, the agreement of its raters, its faults and warnings.

    Faults would stop a run or invalidate its scores: problems of parsing (including labels without
    audio and audio without labels); audio that is missing, unreadable, empty, truncated or shorter
    than `SHORTEST`; counts that differ from the published ones; byte-identical files of *different*
    speakers, because the same audio could be in training and test. Warnings are silent and clipped
    audio, byte-identical files of one speaker (published corpora have some), and different sample
    rates.

    Args:
        corpus: To be validated.
        published: Published counts: `utterances`; by name under `emotion`, `session`, `speaker`,
            `gender`, `style`, `split`, `language`; under `subsets`, by any title, the same after
            `classes` and `merge`; under `bins`, by rule and attribute, the numbers of low, neutral
            and high utterances.
        threads: Number of threads that read audio.
        console: Where to print; None: standard output.

    Returns:
        True if there is no fault.

    Raises:
        UserError: `published` has an unknown key.
    """
    console = console or Console()
    counts = list(_counts(corpus, published or {}))
    _print(console, f"corpus {corpus.name}: {len(corpus.table)} utterances")
    if corpus.synthetic:
        _print(console, "This corpus is SYNTHETIC: scores on it do not apply to human speech.")
    for note in corpus.notes:
        _print(console, f"  {note}")
    for group in dict.fromkeys(count.group for count in counts):
        console.print(_count_table(group, [count for count in counts if count.group == group]))
    if values := _value_table(corpus):
        console.print(values)
    if raters := _agreement_table(corpus):
        console.print(raters)
    audio_info = _inspect_audio(corpus.table, threads, console)
    console.print(_audio_table(audio_info))

    of_one, of_several = _identical_files(corpus.table, threads)
    faults = {
        "counts that differ from the published ones": [str(c) for c in counts if c.differs],
        "labels without audio": [str(p) for p in corpus.problems if p.kind == "no audio"],
        "audio without labels": [str(p) for p in corpus.problems if p.kind == "no label"],
        "files or lines that cannot be read": [
            str(p) for p in corpus.problems if p.kind == "unreadable"
        ],
        "audio that cannot be used": _lines(audio_info, audio_info["fault"].notna(), _fault),
        f"shorter than {SHORTEST} s": _lines(
            audio_info,
            audio_info["fault"].isna() & (audio_info["duration"] < SHORTEST),
            _duration,
        ),
        "byte-identical files of different speakers": of_several,
    }
    labels = ("emotion", *ATTRIBUTES)
    lacks_labels = not set(labels) & set(corpus.table)
    warnings = {
        "nothing can be predicted": [f"there is no {', '.join(labels)}"] if lacks_labels else [],
        "silent (peak below -60 dB)": _lines(audio_info, audio_info["silent"], _file),
        "clipped": _lines(audio_info, audio_info["clipped"], _file),
        "byte-identical files of one speaker": of_one,
        "several sample rates, which features resample to one": _several_rates(audio_info),
    }
    _list(console, "warning", warnings, LISTED)
    _list(console, "fault", faults, None)
    number = sum(map(len, faults.values()))
    _print(console, f"{corpus.name}: {number or 'no'} fault{'s' if number > 1 else ''}")
    return number == 0


def _counts(corpus: Corpus, published: Mapping[str, Any]) -> Iterable[Count]:
    _require_known(published, PUBLISHED, "published")
    table = corpus.table
    yield Count("utterances", "all", len(table), published.get("utterances"))
    for column in COUNTED:
        if column in table or published.get(column):
            yield from _by_value(table, column, published.get(column), column)
    for title, subset in (published.get("subsets") or {}).items():
        _require_known(subset, SUBSET, f"published.subsets.{title}")
        yield from _of_subset(table, title, subset)
    for rule, attributes in (published.get("bins") or {}).items():
        for attribute, expected in attributes.items():
            yield from _of_bins(corpus, rule, attribute, expected)


def _by_value(
    table: pd.DataFrame, column: str, published: Mapping[str, int] | None, group: str
) -> Iterable[Count]:
    values = table[column] if column in table else pd.Series(dtype="str")
    actual = Counter(values.dropna().astype(str))
    expected = {str(name): number for name, number in (published or {}).items()}
    for name in sorted(actual.keys() | expected.keys()):
        yield Count(group, name, actual[name], expected.get(name))
    if missing := int(values.isna().sum()):
        yield Count(group, "(none)", missing, None)


def _of_subset(table: pd.DataFrame, title: str, subset: Mapping[str, Any]) -> Iterable[Count]:
    emotions = table["emotion"] if "emotion" in table else pd.Series(index=table.index, dtype="str")
    merged = emotions.replace(dict(subset.get("merge") or {}))
    selected = table.assign(emotion=merged)[merged.isin(list(subset["classes"]))]
    yield Count(title, "all", len(selected), subset.get("utterances"))
    for column in COUNTED:
        if column in subset:
            for count in _by_value(selected, column, subset[column], title):
                yield count._replace(name=f"{column} {count.name}")


def _of_bins(
    corpus: Corpus, rule: targets.Bins, attribute: str, expected: Iterable[int]
) -> Iterable[Count]:
    group = f"{attribute}, bins {rule}"
    if attribute not in corpus.table:
        yield Count(group, f"all (this corpus has no {attribute})", 0, sum(expected))
        return
    labels = targets.levels(corpus, corpus.table[attribute].dropna(), rule)
    actual = Counter(labels)
    for level, number in zip(targets.LEVELS, expected, strict=True):
        yield Count(group, level, actual[level], number)


def _require_known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"valid are {', '.join(known)}"
            raise UserError(f"{where} has an unknown key {key}: {hint}")


def _inspect_audio(table: pd.DataFrame, threads: int, console: Console) -> pd.DataFrame:
    """Return the properties of each utterance's audio, indexed like the table, with `file`."""
    places = table[["file", "start", "end"]].itertuples(index=False, name=None)
    with ThreadPoolExecutor(threads) as pool:  # soundfile releases the GIL
        results = pool.map(lambda place: audio.inspect(Path(place[0]), *place[1:]), places)
        rows = list(
            track(
                results,
                "reading audio",
                total=len(table),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            )
        )
    columns = list(audio.AudioInfo.__dataclass_fields__)
    return pd.DataFrame(rows, index=table.index, columns=columns).assign(file=table["file"])


def _identical_files(table: pd.DataFrame, threads: int) -> tuple[list[str], list[str]]:
    """Return the groups of byte-identical files: those of one speaker, those of several."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for file, speaker in zip(table["file"], table["speaker"], strict=True):
        speakers[file].add(speaker)
    groups: dict[str, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(threads) as pool:
        for file, code in zip(speakers, pool.map(_digest, speakers), strict=True):
            groups[code or file].append(file)  # an unreadable file is a group of its own
    of_one: list[str] = []
    of_several: list[str] = []
    for files in groups.values():
        if len(files) > 1:
            is_shared = len(set().union(*(speakers[file] for file in files))) > 1
            (of_several if is_shared else of_one).append(" = ".join(files))
    return of_one, of_several


def _digest(file: str) -> str | None:
    try:
        return audio.digest(Path(file))
    except audio.AudioError:
        return None  # `_inspect_audio` reports the reason


def _lines(
    audio_info: pd.DataFrame, selected: pd.Series, line: Callable[[pd.Series], str]
) -> list[str]:
    return [line(row) for _, row in audio_info[selected].iterrows()]


def _fault(row: pd.Series) -> str:
    return f"{row['file']}: {row['fault']} ({row.name})"


def _duration(row: pd.Series) -> str:
    return f"{row['file']}: {row['duration']:.3f} s ({row.name})"


def _file(row: pd.Series) -> str:
    return f"{row['file']} ({row.name})"


def _several_rates(audio_info: pd.DataFrame) -> list[str]:
    rates = Counter(audio_info.loc[audio_info["fault"].isna(), "rate"])
    return [f"{rate} Hz: {number}" for rate, number in rates.items()] if len(rates) > 1 else []


def _count_table(group: str, counts: list[Count]) -> Table:
    table = Table(title=group, title_justify="left")
    table.add_column("")
    table.add_column("corpus", justify="right")
    if any(count.published is not None for count in counts):
        table.add_column("published", justify="right")
        table.add_column("difference", justify="right")
    for count in counts:
        difference = f"{count.actual - (count.published or 0):+d}" if count.differs else ""
        published = "" if count.published is None else str(count.published)
        cells = [count.name, str(count.actual), published, difference]
        table.add_row(*cells[: len(table.columns)], style="red" if count.differs else None)
    return table


def _value_table(corpus: Corpus) -> Table | None:
    """Return how ages, attributes and numbers of raters are distributed; None: there are none."""
    heads = ("from", "25%", "median", "75%", "to", "mean", "sd", "missing")
    table = Table("", title="values", title_justify="left")
    for head in heads:
        table.add_column(head, justify="right")
    columns = {column: corpus.table[column] for column in VALUES if column in corpus.table}
    if corpus.raters is not None:
        count = corpus.raters["rater"].nunique()
        each = corpus.raters.groupby("utterance").size().reindex(corpus.table.index, fill_value=0)
        columns[f"ratings per utterance, of {count} raters"] = each
    for name, values in columns.items():
        if values.notna().any():
            known = values.dropna().astype(float)
            numbers = [*known.quantile([0, 0.25, 0.5, 0.75, 1]), known.mean(), known.std()]
            cells = ("-" if np.isnan(value) else f"{value:.3g}" for value in numbers)
            table.add_row(name, *cells, str(values.isna().sum()))
    return table if table.row_count else None


def _agreement_table(corpus: Corpus) -> Table | None:
    """Return how well raters agree on each label of the corpus; None: there are no ratings."""
    ids = corpus.table.index
    ratings = {name: attribute_ratings(corpus, ids, name) for name in ATTRIBUTES}
    if "emotion" in corpus.table:
        names = sorted(corpus.table["emotion"].dropna().unique())
        ratings = {"emotion": emotion_ratings(corpus, ids, names, {}), **ratings}
    heads = ("", "ratings", "utterances", "one rater, the others", "Krippendorff's alpha")
    table = Table(*heads, title="agreement of raters", title_justify="left")
    for name, each in ratings.items():
        if each is not None:
            found = agreement(each)
            alpha = "-" if found["alpha"] is None else f"{found['alpha']:.3f}"
            counts = (str(found[key]) for key in ("ratings", "utterances"))
            table.add_row(name, *counts, terminal.ceiling(found), f"{alpha} ({found['level']})")
    return table if table.row_count else None


def _audio_table(audio_info: pd.DataFrame) -> Table:
    usable = audio_info[audio_info["fault"].isna()]
    table = Table(title="audio", title_justify="left", show_header=False)
    if len(usable):
        seconds = usable["duration"].to_numpy()
        low, middle, high = np.quantile(seconds, [0.0, 0.5, 1.0])
        table.add_row("total", f"{seconds.sum() / 3600:.2f} h ({seconds.sum() / 60:.1f} min)")
        table.add_row("shortest, median, longest", f"{low:.2f} s, {middle:.2f} s, {high:.2f} s")
        for column, unit in (("rate", "Hz"), ("channels", "channel(s)")):
            kinds = sorted(Counter(usable[column]).items())
            table.add_row(column, ", ".join(f"{kind} {unit}: {n}" for kind, n in kinds))
    table.add_row("readable", f"{len(usable)} of {len(audio_info)}")
    return table


def _list(
    console: Console, severity: str, headings: Mapping[str, list[str]], most: int | None
) -> None:
    for heading, lines in headings.items():
        if lines:
            _print(console, f"{severity}: {heading} ({len(lines)})")
            for line in lines[:most]:
                _print(console, f"  {line}")
            if most is not None and len(lines) > most:
                _print(console, f"  and {len(lines) - most} more")


def _print(console: Console, text: str) -> None:
    """Print a text without markup or line breaks, which would change paths."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
