"""2-D maps of codes and their colourings: the content of pictures and interactive pages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ser.plots.colours import SHADES, colour, shades

PARTS = ("train", "val", "test")
PART, CORRECT = "part", "correctness"  # colourings of interactive pages only


@dataclass(frozen=True)
class Prior:
    """Mixture components of the prior of codes of two values.

    Attributes:
        centres: (C, 2), in the order of the categories of the first colouring, if it has any.
        sd: Standard deviation of each component; None if unknown.
    """

    centres: np.ndarray
    sd: float | None

    @property
    def radii(self) -> list[float]:
        """Radii of the circles around each centre: one and two standard deviations."""
        return [] if self.sd is None else [self.sd, 2 * self.sd]

    @property
    def corners(self) -> np.ndarray:
        """Corners (2C, 2) of the boxes around all circles."""
        reach = max(self.radii, default=0.0)
        return np.concatenate([self.centres - reach, self.centres + reach])


@dataclass(frozen=True)
class Map:
    """A position for each utterance.

    Attributes:
        name: Name of the method, or of the system that produced the codes.
        points: (N, 2).
        caption: Explanation below the map.
        equal_aspect: Whether both axes have the same scale; true for the codes themselves.
        prior: Prior that is drawn below the points; None to draw none.
    """

    name: str
    points: np.ndarray
    caption: str
    equal_aspect: bool = False
    prior: Prior | None = None

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Minimum and maximum of x and y over points and prior, (2,) each."""
        corners = [] if self.prior is None else [self.prior.corners]
        both = np.concatenate([self.points, *corners])
        return both.min(axis=0), both.max(axis=0)


@dataclass(frozen=True)
class Colouring:
    """Categories that determine the colours of points.

    Attributes:
        name: Name of the colouring.
        categories: Names of the categories.
        numbers: (N,) index of the category of each point; -1 if unknown.
    """

    name: str
    categories: Sequence[str]
    numbers: np.ndarray

    @classmethod
    def of(cls, name: str, labels: pd.Series, classes: Sequence[str]) -> "Colouring":
        """Return a colouring by a column (N,) of class names, missing where unknown.

        Raises:
            ValueError: A name is not one of the classes.
        """
        numbers = pd.Index(list(classes)).get_indexer(pd.Index(labels))
        if unknown := set(labels[numbers < 0].dropna()):
            raise ValueError(f"{name}: {min(unknown)} is not a class")
        return cls(name, list(classes), numbers)

    @property
    def colours(self) -> list[str]:
        """The colour of each category."""
        return [colour(number) for number in range(len(self.categories))]

    def of_rows(self, rows: np.ndarray) -> "Colouring":
        """Return the same colouring of the points in a mask (N,)."""
        return replace(self, numbers=self.numbers[rows])


@dataclass(frozen=True)
class Scale:
    """Values that determine the colours of points.

    Attributes:
        name: Name of the values, with what they measure.
        low, high: Values of the first and the last shade.
        numbers: (N,) index of the shade of each point; -1 if its value is unknown.
    """

    name: str
    low: float
    high: float
    numbers: np.ndarray

    @classmethod
    def of(cls, name: str, values: pd.Series) -> "Scale":
        """Return a scale of values (N,), missing where unknown, from the lowest to the highest.

        Raises:
            ValueError: All are unknown.
        """
        numeric = values.to_numpy(float)
        if np.isnan(numeric).all():
            raise ValueError(f"{name}: has no values")
        low, high = float(np.nanmin(numeric)), float(np.nanmax(numeric))
        shares = (numeric - low) / max(high - low, 1e-12)
        numbers = np.where(np.isnan(shares), -1, np.nan_to_num(shares) * (SHADES - 1)).round()
        return cls(name, low, high, numbers.astype(int))

    @property
    def colours(self) -> list[str]:
        """The colour of each shade."""
        return shades()

    def of_rows(self, rows: np.ndarray) -> "Scale":
        """Return the same scale of the points in a mask (N,)."""
        return replace(self, numbers=self.numbers[rows])


@dataclass(frozen=True)
class Atlas:
    """Maps and colourings of the same N utterances.

    Attributes:
        title: Name of the system that produced the codes.
        remarks: Warnings that are shown with the maps.
        table: N rows indexed by utterance, with `part`, `truth`, `prediction` (NaN if unknown)
            and, where known, `speaker` and `gender`.
        maps: One or more.
        colourings: One or more, the first by the target.
    """

    title: str
    remarks: Sequence[str]
    table: pd.DataFrame
    maps: Sequence[Map]
    colourings: Sequence[Colouring | Scale]


def embed(codes: np.ndarray) -> list[Map]:
    """Compute PCA and t-SNE (van der Maaten & Hinton 2008) of codes; deterministic.

    Args:
        codes: (N, K), with N at least 3.
    """
    x = codes.astype(np.float64)
    pca = PCA(min(2, *x.shape), svd_solver="full")
    flat = pca.fit_transform(x)
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))  # codes of one value form a line
    shares = " + ".join(f"{share:.0%}" for share in pca.explained_variance_ratio_)
    perplexity = min(30.0, (len(x) - 1) / 3)
    # Initialised with the scaled PCA, as its authors advise, so that global distances are kept.
    begin = 1e-4 * flat / max(flat[:, 0].std(), 1e-12)
    tsne = TSNE(perplexity=perplexity, init=begin, random_state=0, n_jobs=1)
    with threadpool_limits(1):  # the order of summation would depend on the number of threads
        bent = tsne.fit_transform(x)
    return [
        Map("PCA", flat, f"{shares} of the variance"),
        Map("t-SNE", bent, f"perplexity {perplexity:.3g}; only neighbourhoods are meaningful"),
    ]


def by_target(target: str, truth: pd.Series, classes: Sequence[str]) -> Colouring | Scale:
    """Return the colouring by a target.

    Args:
        target: Name of the target.
        truth: (N,) class names or values, missing where unknown.
        classes: Class names in the order of their colours; none: values.
    """
    if not classes:
        return Scale.of(rating_of(target), truth)
    return Colouring.of(target, truth, classes)


def rating_of(attribute: str) -> str:
    """Return the label of a colour bar of an attribute: what its values are."""
    return f"{attribute} (mean rating)"


def colourings(table: pd.DataFrame, target: str, classes: Sequence[str]) -> list[Colouring | Scale]:
    """Return colourings by target, speaker and gender (where known), part and correctness.

    Args:
        table: See `Atlas`.
        target: Name of the target.
        classes: Class names in the order of their colours; none: values.
    """
    first, general = by_target(target, table["truth"], classes), general_colourings(table)
    if not classes:  # values are not correct or wrong
        return [first, *general]
    wrong = (table["truth"] != table["prediction"]).to_numpy().astype(int)
    wrong[table["prediction"].isna().to_numpy()] = -1
    correct = Colouring(CORRECT, ["correct", "wrong"], wrong)
    return [first, *general, correct]


def general_colourings(table: pd.DataFrame) -> list[Colouring]:
    """Return colourings by speaker and gender (where known) and part, whatever the target."""
    known = []
    for name in ("speaker", "gender"):
        if name in table and table[name].notna().any():
            numbers, values = pd.factorize(table[name], sort=True)
            known.append(Colouring(name, list(map(str, values)), numbers))
    parts = [part for part in PARTS if (table["part"] == part).any()]
    return [*known, Colouring(PART, parts, table["part"].map(parts.index).to_numpy())]
