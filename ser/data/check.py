"""Is a corpus whole? Its counts beside the published ones, and every file heard once."""

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

from ser.corpora import Corpus, audio
from ser.data import targets
from ser.errors import UserError

COUNTED = ("emotion", "session", "speaker", "gender", "style")
PUBLISHED = ("utterances", *COUNTED, "subsets", "bins")
SUBSET = ("classes", "merge", "utterances", *COUNTED)
SHORTEST = 0.1  # seconds; openSMILE's longest frame has 0.06 s, and functionals need a few
NAMED = 20  # warnings named one by one under each heading; faults are all named


class Count(NamedTuple):
    """How many utterances of one kind there are here, and in print."""

    group: str
    name: str
    here: int
    published: int | None

    @property
    def differs(self) -> bool:
        return self.published is not None and self.here != self.published

    def __str__(self) -> str:
        return f"{self.group}, {self.name}: {self.here} here, {self.published} published"


def check(
    corpus: Corpus,
    published: Mapping[str, Any] | None = None,
    *,
    threads: int = 2,
    console: Console | None = None,
) -> bool:
    """Print what a corpus holds and what is wrong with it.

    Faults are what would stop a run or make its scores something other than they seem: problems
    of parsing (labels without audio and audio without labels among them), audio that is missing,
    unreadable, empty, truncated or shorter than `SHORTEST`, counts that differ from the published
    ones, and byte-identical files of *different* speakers, since training would hear the test.
    Warnings are silent and clipped audio and byte-identical files of one speaker (published
    corpora have such), and files whose rates differ.

    Args:
        corpus: as its function returned it.
        published: counts in print: `utterances`; by name under `emotion`, `session`, `speaker`,
            `gender`, `style`; under `subsets` by any title the same after `classes` and `merge`;
            under `bins`, by rule and attribute, utterances that are low, neutral, high.
        threads: that read audio.
        console: where to print; None: standard output.

    Returns:
        True when there is no fault.

    Raises:
        UserError: `published` has a key that is none of the above.
    """
    console = console or Console()
    counts = list(_counts(corpus, published or {}))
    _say(console, f"corpus {corpus.name}: {len(corpus.table)} utterances")
    if corpus.synthetic:
        _say(console, "This corpus is SYNTHETIC: no figure made on it holds for human speech.")
    for group in dict.fromkeys(count.group for count in counts):
        console.print(_count_table(group, [count for count in counts if count.group == group]))
    heard = _hear(corpus.table, threads, console)
    console.print(_audio_table(heard))

    alike, shared = _identical(corpus.table, threads)
    faults = {
        "counts that differ from the published ones": [str(c) for c in counts if c.differs],
        "labels without audio": [str(p) for p in corpus.problems if p.kind == "no audio"],
        "audio without labels": [str(p) for p in corpus.problems if p.kind == "no label"],
        "not readable as this corpus": [str(p) for p in corpus.problems if p.kind == "unreadable"],
        "audio that cannot be used": _those(heard, heard["fault"].notna(), _fault),
        f"shorter than {SHORTEST} s": _those(
            heard, heard["fault"].isna() & (heard["duration"] < SHORTEST), _duration
        ),
        "byte-identical files of different speakers": shared,
    }
    warnings = {
        "silent (peak below -60 dB)": _those(heard, heard["silent"], _file),
        "clipped": _those(heard, heard["clipped"], _file),
        "byte-identical files of one speaker": alike,
        "several sample rates": _several_rates(heard),
    }
    _list(console, "warning", warnings, NAMED)
    _list(console, "fault", faults, None)
    number = sum(map(len, faults.values()))
    _say(console, f"{corpus.name}: {number or 'no'} fault{'s' if number > 1 else ''}")
    return number == 0


def _counts(corpus: Corpus, published: Mapping[str, Any]) -> Iterable[Count]:
    _demand_known(published, PUBLISHED, "published")
    table = corpus.table
    yield Count("utterances", "all", len(table), published.get("utterances"))
    for column in COUNTED:
        if column in table or published.get(column):
            yield from _by_value(table, column, published.get(column), column)
    for title, subset in (published.get("subsets") or {}).items():
        _demand_known(subset, SUBSET, f"published.subsets.{title}")
        yield from _of_subset(table, title, subset)
    for rule, attributes in (published.get("bins") or {}).items():
        for attribute, expected in attributes.items():
            yield from _of_bins(corpus, rule, attribute, expected)


def _by_value(
    table: pd.DataFrame, column: str, published: Mapping[str, int] | None, group: str
) -> Iterable[Count]:
    values = table[column] if column in table else pd.Series(dtype="str")
    here = Counter(values.dropna().astype(str))
    expected = {str(name): number for name, number in (published or {}).items()}
    for name in sorted(here.keys() | expected.keys()):
        yield Count(group, name, here[name], expected.get(name))
    if missing := int(values.isna().sum()):
        yield Count(group, "(none)", missing, None)


def _of_subset(table: pd.DataFrame, title: str, subset: Mapping[str, Any]) -> Iterable[Count]:
    emotions = table["emotion"] if "emotion" in table else pd.Series(index=table.index, dtype="str")
    merged = emotions.replace(dict(subset.get("merge") or {}))
    chosen = table.assign(emotion=merged)[merged.isin(list(subset["classes"]))]
    yield Count(title, "all", len(chosen), subset.get("utterances"))
    for column in COUNTED:
        if column in subset:
            for count in _by_value(chosen, column, subset[column], title):
                yield count._replace(name=f"{column} {count.name}")


def _of_bins(
    corpus: Corpus, rule: targets.Bins, attribute: str, expected: Iterable[int]
) -> Iterable[Count]:
    group = f"{attribute}, bins {rule}"
    if attribute not in corpus.table:
        yield Count(group, f"all (this corpus has no {attribute})", 0, sum(expected))
        return
    labels = targets.levels(corpus, corpus.table[attribute].dropna(), rule)
    here = Counter(labels)
    for level, number in zip(targets.LEVELS, expected, strict=True):
        yield Count(group, level, here[level], number)


def _demand_known(given: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(known)}"
            raise UserError(f"{where} has an unknown key {key}: {hint}")


def _hear(table: pd.DataFrame, threads: int, console: Console) -> pd.DataFrame:
    """Facts of every utterance's audio, indexed like the table, with `file`."""
    places = table[["file", "start", "end"]].itertuples(index=False, name=None)
    with ThreadPoolExecutor(threads) as pool:  # soundfile lets go of the interpreter's lock
        listening = pool.map(lambda place: audio.inspect(Path(place[0]), *place[1:]), places)
        found = list(
            track(
                listening,
                "reading audio",
                total=len(table),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            )
        )
    columns = list(audio.AudioInfo.__dataclass_fields__)
    heard = pd.DataFrame(found, index=table.index, columns=columns)
    return heard.assign(file=table["file"])


def _identical(table: pd.DataFrame, threads: int) -> tuple[list[str], list[str]]:
    """Groups of byte-identical files: those of one speaker, those of several."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for file, speaker in zip(table["file"], table["speaker"], strict=True):
        speakers[file].add(speaker)
    groups: dict[str, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(threads) as pool:
        for file, code in zip(speakers, pool.map(_digest, speakers), strict=True):
            groups[code or file].append(file)  # one that cannot be read is like no other
    alike: list[str] = []
    shared: list[str] = []
    for files in groups.values():
        if len(files) > 1:
            several = len(set().union(*(speakers[file] for file in files))) > 1
            (shared if several else alike).append(" = ".join(files))
    return alike, shared


def _digest(file: str) -> str | None:
    try:
        return audio.digest(Path(file))
    except audio.AudioError:
        return None  # `_hear` has told the reason


def _those(heard: pd.DataFrame, chosen: pd.Series, line: Callable[[pd.Series], str]) -> list[str]:
    return [line(row) for _, row in heard[chosen].iterrows()]


def _fault(row: pd.Series) -> str:
    return f"{row['file']}: {row['fault']} ({row.name})"


def _duration(row: pd.Series) -> str:
    return f"{row['file']}: {row['duration']:.3f} s ({row.name})"


def _file(row: pd.Series) -> str:
    return f"{row['file']} ({row.name})"


def _several_rates(heard: pd.DataFrame) -> list[str]:
    rates = Counter(heard.loc[heard["fault"].isna(), "rate"])
    return [f"{rate} Hz: {number}" for rate, number in rates.items()] if len(rates) > 1 else []


def _count_table(group: str, counts: list[Count]) -> Table:
    table = Table(title=group, title_justify="left")
    table.add_column("")
    table.add_column("here", justify="right")
    if any(count.published is not None for count in counts):
        table.add_column("published", justify="right")
        table.add_column("difference", justify="right")
    for count in counts:
        gap = f"{count.here - (count.published or 0):+d}" if count.differs else ""
        told = "" if count.published is None else str(count.published)
        cells = [count.name, str(count.here), told, gap]
        table.add_row(*cells[: len(table.columns)], style="red" if count.differs else None)
    return table


def _audio_table(heard: pd.DataFrame) -> Table:
    usable = heard[heard["fault"].isna()]
    table = Table(title="audio", title_justify="left", show_header=False)
    if len(usable):
        seconds = usable["duration"].to_numpy()
        low, middle, high = np.quantile(seconds, [0.0, 0.5, 1.0])
        table.add_row("together", f"{seconds.sum() / 3600:.2f} h ({seconds.sum() / 60:.1f} min)")
        table.add_row("shortest, median, longest", f"{low:.2f} s, {middle:.2f} s, {high:.2f} s")
        for column, unit in (("rate", "Hz"), ("channels", "channel(s)")):
            kinds = sorted(Counter(usable[column]).items())
            table.add_row(column, ", ".join(f"{kind} {unit}: {n}" for kind, n in kinds))
    table.add_row("readable", f"{len(usable)} of {len(heard)}")
    return table


def _list(
    console: Console, severity: str, headings: Mapping[str, list[str]], most: int | None
) -> None:
    for heading, lines in headings.items():
        if lines:
            _say(console, f"{severity}: {heading} ({len(lines)})")
            for line in lines[:most]:
                _say(console, f"  {line}")
            if most is not None and len(lines) > most:
                _say(console, f"  and {len(lines) - most} more")


def _say(console: Console, text: str) -> None:
    """Print as it is: names of files are no markup, and a path stays on its line."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
