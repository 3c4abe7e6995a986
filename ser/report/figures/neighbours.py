"""Classes of nearest neighbours in code space: numbers behind the visual impression of a t-SNE.

If codes encode the emotion rather than the speaker, the nearest codes of *other* speakers have the
same class more often than all codes of other speakers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from ser.report.data import ReportData
from ser.report.figures.representations import Example
from ser.report.gather import damaged
from ser.report.tables import Table
from ser.report.text import NONE, percent
from ser.results import RunFolder

NEAREST = 10
RATINGS = ("activation", "valence")
PARTS = ("train", "val")  # the test split takes no part in decisions
ABOUT = (
    f"Share of the {NEAREST} nearest codes of other speakers (Euclidean distance) that have the "
    "same class; in brackets the share among all codes of other speakers, which is chance level. "
    "r: correlation between the rating of a code and the mean rating of its neighbours; chance "
    "level is near 0. above: number of speakers whose share is above their chance level; of values "
    "there is none."
)


@dataclass(frozen=True)
class Coded:
    """N codes of the training and validation split of one run.

    Attributes:
        example: Run of the codes.
        codes: (N, K).
        utterances: (N,) number of the utterance of each code.
        truth: (N,) class names or values.
        speakers: (N,) names.
        ratings: (N,) by name, NaN if unknown: of a target that is a value first its values, then
            those of the corpus.
    """

    example: Example
    codes: np.ndarray
    utterances: np.ndarray
    truth: np.ndarray
    speakers: np.ndarray
    ratings: dict[str, np.ndarray]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none of values."""
        return self.example.cell.classes

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) class indices; of values there are none."""
        return pd.Series(self.truth).map(self.classes.index).to_numpy()

    @property
    def unit(self) -> str:
        """What a code represents: utterances or segments."""
        return "utterances" if len(np.unique(self.utterances)) == len(self.codes) else "segments"


def coded(example: Example) -> Coded:
    """Return the codes of a run with the attributes of their utterances.

    Raises:
        UserError: Files of the run contradict each other.
    """
    folder = RunFolder(example.run.planned.folder)
    table = example.table[example.table["part"].isin(PARTS)]
    classes = example.cell.classes
    try:
        utterances = folder.read_utterances().set_index("utterance").loc[table["utterance"]]
        truth = table["truth"].to_numpy(object if classes else float)
        if unknown := set(truth if classes else ()) - set(classes):
            raise ValueError(f"{min(unknown)} is not a class")
        own = {} if classes else {example.run.planned.cell[-1]: truth}
        ratings = {
            name: pd.to_numeric(utterances[name].replace("", np.nan)).to_numpy(float)
            for name in RATINGS
            if name in utterances and name not in own
        }
        return Coded(
            example,
            table.filter(like="code_").to_numpy(float),
            pd.factorize(table["utterance"])[0],
            truth,
            utterances["speaker"].to_numpy(str),
            own | {name: each for name, each in ratings.items() if np.isfinite(each).any()},
        )
    except (OSError, ValueError, KeyError) as error:
        raise damaged(folder.path, error) from error


def nearest(codes: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Find the nearest codes of other speakers.

    Args:
        codes: (N, K).
        speakers: (N,), at least two different ones.

    Returns:
        (N, `NEAREST`) row numbers; fewer columns if a speaker has fewer codes of others.
    """
    most = min(NEAREST, *((speakers != speaker).sum() for speaker in np.unique(speakers)))
    neighbours = np.empty((len(codes), most), int)
    for speaker in np.unique(speakers):
        own, others = np.flatnonzero(speakers == speaker), np.flatnonzero(speakers != speaker)
        with threadpool_limits(1):  # the order of summation would depend on the number of threads
            search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(codes[others])
            neighbours[own] = others[search.kneighbors(codes[own], return_distance=False)]
    return neighbours


def same_class(neighbours: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the share (N,) of neighbours (N, k) that have the class (N,) of a code."""
    return (labels[neighbours] == labels[:, None]).mean(axis=1)


def chance(labels: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Return the share (N,) of other speakers' codes that have the class of a code.

    Args:
        labels: (N,) class indices.
        speakers: (N,) names.

    Examples:
        >>> chance(np.array([0, 0, 1, 1]), np.array(["a", "b", "b", "b"]))
        array([0.33333333, 1.        , 0.        , 0.        ])
    """
    shares = np.empty(len(labels))
    for speaker in np.unique(speakers):
        own, others = speakers == speaker, labels[speakers != speaker]
        by_class = np.bincount(others, minlength=labels.max() + 1) / len(others)
        shares[own] = by_class[labels[own]]
    return shares


def correlation(neighbours: np.ndarray, rating: np.ndarray) -> float:
    """Correlate ratings (N,) with the mean ratings of neighbours (N, k); NaN if undefined."""
    known = np.isfinite(rating)
    sums = np.where(known[neighbours], rating[neighbours], 0).sum(axis=1)
    counts = known[neighbours].sum(axis=1)
    rows = known & (counts > 0)
    own, mean = rating[rows], sums[rows] / counts[rows]
    if len(own) < 2 or own.std() == 0 or mean.std() == 0:
        return float("nan")
    return float(np.corrcoef(own, mean)[0, 1])


def frame(drawn: Sequence[Coded]) -> pd.DataFrame:
    """Return one row per system and class, with `value` "all" for all classes, or per rating.

    For classes `near` and `chance` are shares; for ratings `near` is a correlation.
    """
    names = ["system", "corpus", "target", "by", "value", "codes", "near", "chance"]
    names += ["speakers", "speakers_above"]
    rows = [row for each in drawn for row in _rows(each)]
    return pd.DataFrame(rows, columns=names)


def _rows(each: Coded) -> list[dict[str, Any]]:
    cell = each.example.cell
    speakers = np.unique(each.speakers)
    if len(speakers) < 2:
        return []
    neighbours = nearest(each.codes, each.speakers)
    head: dict[str, Any] = {"system": cell.system, "corpus": cell.corpus, "target": cell.target}
    head["speakers"] = len(speakers)
    rows = []
    for name, numbers in _by_class(each, neighbours) if each.classes else ():
        rows.append({**head, "by": cell.target, "value": name, **numbers})
    for name, rating in each.ratings.items():
        known, near = int(np.isfinite(rating).sum()), correlation(neighbours, rating)
        rows.append({**head, "by": name, "value": "r", "codes": known, "near": near})
    return rows


def _by_class(each: Coded, neighbours: np.ndarray) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the shares of neighbours (N, k) of the same class, for "all" and for each class."""
    shares, expected = same_class(neighbours, each.labels), chance(each.labels, each.speakers)
    masks = {"all": np.ones(len(shares), bool)}
    masks |= {name: each.labels == number for number, name in enumerate(each.classes)}
    for name, mask in masks.items():
        if mask.any():
            by_speaker = [mask & (each.speakers == speaker) for speaker in np.unique(each.speakers)]
            above = sum(bool(shares[m].mean() > expected[m].mean()) for m in by_speaker if m.any())
            numbers: dict[str, Any] = {"codes": int(mask.sum()), "near": shares[mask].mean()}
            yield name, {**numbers, "chance": expected[mask].mean(), "speakers_above": above}


def table(data: ReportData, numbers: pd.DataFrame) -> Table:
    """Return the numbers of `frame` as a table with a row per system."""
    kinds = list(dict.fromkeys(zip(numbers["by"], numbers["value"], strict=True)))
    columns = [f"{by} r" if value == "r" else value for by, value in kinds]
    rows = []
    for key, of_cell in numbers.groupby(["system", "corpus", "target"], sort=False):
        system, corpus, target = map(str, key)
        known = {(row["by"], row["value"]): row for _, row in of_cell.iterrows()}
        cells = [_format(known[kind]) if kind in known else NONE for kind in kinds]
        every = of_cell.iloc[0]  # of all classes, or of the values
        counted = f"{every['speakers_above']:.0f} of {every['speakers']:.0f}"
        above = NONE if every["value"] == "r" else counted
        is_single = len(data.columns) == 1
        name = system if is_single else f"{system} on {data.column_name((corpus, target))}"
        rows.append((name, f"{every['codes']:,.0f}", *cells, above))
    header = ("system", "codes", *columns, "above")
    return Table("Nearest codes of other speakers, %", header, tuple(rows), notes=(ABOUT,))


def _format(row: pd.Series) -> str:
    if np.isnan(row["chance"]):
        return NONE if np.isnan(row["near"]) else f"{row['near']:.2f}"
    return f"{percent(row['near'])} ({percent(row['chance'])})"
