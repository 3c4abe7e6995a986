"""Who lies near whom in a space of codes: what the eye should not decide alone on a t-SNE.

In codes that hold the emotion and not the voice, the nearest codes of *other* speakers are of the
same emotion more often than any codes of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from ser import results
from ser.report.figures.representations import DRAWN, Shown
from ser.report.findings import Findings
from ser.report.gather import damaged
from ser.report.tables import NONE, Table, percent

NEAREST = 10
RATINGS = ("activation", "valence")
ABOUT = (
    f"Of the {NEAREST} nearest codes of other speakers (Euclidean), the share that has the same "
    "class; in brackets that of all codes of other speakers, which is chance. r: correlation of a "
    "code's rating and the mean of its neighbours'; chance is near 0. above: speakers whose own "
    "share is above their own chance."
)


@dataclass(frozen=True)
class Coded:
    """Codes of one run, of training and validation.

    Attributes:
        shown: of what.
        codes: (N, K).
        utterances: (N,) numbers of those that they are of, or are a segment of.
        labels: (N,) numbers of their classes.
        speakers: (N,) names.
        ratings: (N,) by name, NaN where unknown; of a corpus without any, empty.
    """

    shown: Shown
    codes: np.ndarray
    utterances: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    ratings: dict[str, np.ndarray]

    @property
    def unit(self) -> str:
        """What a code stands for."""
        return "utterances" if len(np.unique(self.utterances)) == len(self.codes) else "segments"


def coded(shown: Shown) -> Coded:
    """The codes of a run with what its files tell of them.

    Raises:
        UserError: they contradict each other.
    """
    folder = shown.run.planned.folder
    table = shown.table[shown.table["part"].isin(DRAWN)]
    try:
        spoken = (
            results.RunFolder(folder)
            .read_utterances()
            .set_index("utterance")
            .loc[table["utterance"]]
        )
        ratings = {
            name: pd.to_numeric(spoken[name].replace("", np.nan)).to_numpy(float)
            for name in RATINGS
            if name in spoken
        }
        return Coded(
            shown,
            table.filter(like="code_").to_numpy(float),
            pd.factorize(table["utterance"])[0],
            table["truth"].map(shown.cell.classes.index).to_numpy(),
            spoken["speaker"].to_numpy(str),
            {name: each for name, each in ratings.items() if np.isfinite(each).any()},
        )
    except (OSError, ValueError, KeyError) as error:
        raise damaged(folder, error) from error


def nearest(codes: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """(N, K) codes of (N,) speakers, two at least -> (N, `NEAREST`) numbers of others' codes.

    Where another speaker's codes are fewer, as many as there are for every one.
    """
    most = min(NEAREST, *((speakers != speaker).sum() for speaker in np.unique(speakers)))
    found = np.empty((len(codes), most), int)
    for speaker in np.unique(speakers):
        own, others = np.flatnonzero(speakers == speaker), np.flatnonzero(speakers != speaker)
        with threadpool_limits(1):  # several threads would sum in an order of their own
            search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(codes[others])
            found[own] = others[search.kneighbors(codes[own], return_distance=False)]
    return found


def alike(near: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, k) neighbours and (N,) classes -> (N,) share of neighbours with a code's own class."""
    return (labels[near] == labels[:, None]).mean(axis=1)


def chance(labels: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """(N,) classes and speakers -> (N,) share of others' codes that have a code's own class.

    Examples:
        >>> chance(np.array([0, 0, 1, 1]), np.array(["a", "b", "b", "b"]))
        array([0.33333333, 1.        , 0.        , 0.        ])
    """
    found = np.empty(len(labels))
    for speaker in np.unique(speakers):
        own, others = speakers == speaker, labels[speakers != speaker]
        shares = np.bincount(others, minlength=labels.max() + 1) / len(others)
        found[own] = shares[labels[own]]
    return found


def correlation(near: np.ndarray, rating: np.ndarray) -> float:
    """Of (N,) ratings and the means of their (N, k) neighbours'; NaN: nothing to correlate."""
    known = np.isfinite(rating)
    told = np.where(known[near], rating[near], 0).sum(axis=1)
    counts = known[near].sum(axis=1)
    rows = known & (counts > 0)
    one, other = rating[rows], told[rows] / counts[rows]
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def frame(drawn: Sequence[Coded]) -> pd.DataFrame:
    """One row a system and class, `value` being "all" of all of them, or rating.

    Of classes `near` and `chance` are shares, of ratings `near` is a correlation.
    """
    names = ["system", "corpus", "target", "by", "value", "codes", "near", "chance"]
    names += ["speakers", "speakers_above"]
    rows = [row for each in drawn for row in _rows(each)]
    return pd.DataFrame(rows, columns=names)


def _rows(each: Coded) -> list[dict[str, Any]]:
    cell = each.shown.cell
    speakers = np.unique(each.speakers)
    if len(speakers) < 2:
        return []
    near = nearest(each.codes, each.speakers)
    shares, guessed = alike(near, each.labels), chance(each.labels, each.speakers)
    head: dict[str, Any] = {"system": cell.system, "corpus": cell.corpus, "target": cell.target}
    head["speakers"] = len(speakers)
    masks = {"all": np.ones(len(shares), bool)}
    masks |= {name: each.labels == number for number, name in enumerate(cell.classes)}
    found = []
    for name, rows in masks.items():
        if rows.any():
            whose = [rows & (each.speakers == speaker) for speaker in speakers]
            above = sum(bool(shares[w].mean() > guessed[w].mean()) for w in whose if w.any())
            numbers: dict[str, Any] = {"codes": int(rows.sum()), "near": shares[rows].mean()}
            numbers |= {"chance": guessed[rows].mean(), "speakers_above": above}
            found.append({**head, "by": cell.target, "value": name, **numbers})
    for name, rating in each.ratings.items():
        known = int(np.isfinite(rating).sum())
        found.append(
            {**head, "by": name, "value": "r", "codes": known, "near": correlation(near, rating)}
        )
    return found


def table(found: Findings, numbers: pd.DataFrame) -> Table:
    """The same for readers: a line a system."""
    kinds = list(dict.fromkeys(zip(numbers["by"], numbers["value"], strict=True)))
    columns = [f"{by} r" if value == "r" else value for by, value in kinds]
    rows = []
    for key, of_cell in numbers.groupby(["system", "corpus", "target"], sort=False):
        system, corpus, target = map(str, key)
        known = {(row["by"], row["value"]): row for _, row in of_cell.iterrows()}
        cells = [_told(known[kind]) if kind in known else NONE for kind in kinds]
        every = known[target, "all"]
        above = f"{every['speakers_above']:.0f} of {every['speakers']:.0f}"
        one = len(found.columns) == 1
        name = system if one else f"{system} on {found.called((corpus, target))}"
        rows.append((name, f"{every['codes']:,.0f}", *cells, above))
    header = ("system", "codes", *columns, "above")
    return Table("Nearest codes of other speakers, %", header, tuple(rows), notes=(ABOUT,))


def _told(row: pd.Series) -> str:
    if np.isnan(row["chance"]):
        return NONE if np.isnan(row["near"]) else f"{row['near']:.2f}"
    return f"{percent(row['near'])} ({percent(row['chance'])})"
