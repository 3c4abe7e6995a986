"""A 2-D map of codes, by PCA and by t-SNE, as a picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from ser.data.targets import Target
from ser.results import write_bytes

# Petroff (2021), "Accessible color sequences for data visualization", arXiv:2107.02270: ten
# colours that colour-blind eyes tell apart; used again from the first where there are more.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = {"train": "o", "val": "s", "test": "^"}
# What matplotlib would write of itself and of the day.
UNDATED: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
PART, RIGHT = "part", "right or wrong"  # colourings of the page alone


@dataclass(frozen=True)
class Prior:
    """Components that codes of two values were drawn towards.

    Attributes:
        centres: (C, 2), one a category of the first colouring, in its order.
        spread: standard deviation of each component; None: unknown.
    """

    centres: np.ndarray
    spread: float | None

    @property
    def radii(self) -> list[float]:
        """Of the circles around each centre: one and two standard deviations."""
        return [] if self.spread is None else [self.spread, 2 * self.spread]

    @property
    def corners(self) -> np.ndarray:
        """(2C, 2), between which all circles lie."""
        reach = max(self.radii, default=0.0)
        return np.concatenate([self.centres - reach, self.centres + reach])


@dataclass(frozen=True)
class Map:
    """A place for each utterance.

    Attributes:
        name: of the method, or of the system whose codes these are.
        points: (N, 2).
        caption: what is to be known about it.
        is_plane: the points are the codes themselves, so both axes have one scale.
        prior: drawn beneath the points, of a plane; None: there is none.
    """

    name: str
    points: np.ndarray
    caption: str
    is_plane: bool = False
    prior: Prior | None = None

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest x and y of points and prior, (2,) each."""
        corners = [] if self.prior is None else [self.prior.corners]
        both = np.concatenate([self.points, *corners])
        return both.min(axis=0), both.max(axis=0)


@dataclass(frozen=True)
class Colouring:
    """Categories by which points are coloured; `numbers` (N,) index them, -1 where unknown."""

    name: str
    categories: Sequence[str]
    numbers: np.ndarray


@dataclass(frozen=True)
class Atlas:
    """All that picture and page show of some codes.

    Attributes:
        title: whose codes.
        remarks: what must stand beside them.
        table: N utterances, as of `ser.latents.described`; `prediction` may be NaN.
        maps: of the same N utterances.
        colourings: likewise.
    """

    title: str
    remarks: Sequence[str]
    table: pd.DataFrame
    maps: Sequence[Map]
    colourings: Sequence[Colouring]


def maps(x: np.ndarray) -> list[Map]:
    """PCA and t-SNE (van der Maaten & Hinton 2008) of codes (N, K), N at least 3; deterministic."""
    x = x.astype(np.float64)
    pca = PCA(min(2, *x.shape), svd_solver="full")
    flat = pca.fit_transform(x)
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))  # codes of one value lie on a line
    shares = " + ".join(f"{share:.0%}" for share in pca.explained_variance_ratio_)
    perplexity = min(30.0, (len(x) - 1) / 3)
    # Begun at the PCA, scaled as the authors advise: the large distances then mean something.
    begin = 1e-4 * flat / max(flat[:, 0].std(), 1e-12)
    tsne = TSNE(perplexity=perplexity, init=begin, random_state=0, n_jobs=1)
    with threadpool_limits(1):  # several threads would sum in an order of their own
        bent = tsne.fit_transform(x)
    return [
        Map("PCA", flat, f"{shares} of the variance"),
        Map("t-SNE", bent, f"perplexity {perplexity:.3g}; only neighbourhoods mean something"),
    ]


def colourings(table: pd.DataFrame, target: Target) -> list[Colouring]:
    """By target, speaker, gender (where the corpus has it), part, and right or wrong."""
    found = [
        Colouring(target.name, target.classes, table["truth"].map(target.classes.index).to_numpy())
    ]
    for name in ("speaker", "gender"):
        if name in table and table[name].notna().any():
            numbers, values = pd.factorize(table[name], sort=True)
            found.append(Colouring(name, list(map(str, values)), numbers))
    parts = [part for part in MARKERS if (table["part"] == part).any()]
    found.append(Colouring(PART, parts, table["part"].map(parts.index).to_numpy()))
    wrong = (table["truth"] != table["prediction"]).to_numpy().astype(int)
    wrong[table["prediction"].isna().to_numpy()] = -1
    return [*found, Colouring(RIGHT, ["right", "wrong"], wrong)]


def draw(path: Path, atlas: Atlas) -> None:
    """Writes the picture: a row a map, a column a colouring, a marker a part."""
    columns = [each for each in atlas.colourings if each.name not in (PART, RIGHT)]
    with matplotlib.rc_context({"font.size": 11, "axes.titlesize": 13}):
        # A Figure of its own needs no window, and no state of pyplot's.
        figure = Figure(figsize=(5.2 * len(columns), 11.5), dpi=120, layout="constrained")
        grid = figure.subplots(len(atlas.maps), len(columns), squeeze=False)
        for number, (row, each) in enumerate(zip(grid, atlas.maps, strict=True)):
            for axes, colouring in zip(row, columns, strict=True):
                scatter(axes, each.points, colouring, atlas.table["part"])
                if number == 0:
                    axes.set_title(f"by {colouring.name}")
                else:
                    legend(axes, colouring)
            row[0].set_ylabel(f"{each.name} ({each.caption})")
        remarks = "".join(f"\n{remark}" for remark in atlas.remarks)
        figure.suptitle(plain(atlas.title + remarks), fontsize=14)
        parts = [part for part in MARKERS if (atlas.table["part"] == part).any()]
        handles = [handle(MARKERS[part], "0.35", part) for part in parts]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(parts), frameon=False)
        write_bytes(path, rendered(figure))


def scatter(axes: Axes, points: np.ndarray, colouring: Colouring, parts: pd.Series) -> None:
    """Draws points (N, 2) of utterances whose parts are given, coloured."""
    colours = np.array([*(colour(i) for i in range(len(colouring.categories))), "#d0d0d0"])
    # The few held-out points lie above the many of the training part, and are larger.
    for order, (part, marker) in enumerate(MARKERS.items()):
        rows = (parts == part).to_numpy()
        axes.scatter(
            points[rows, 0],
            points[rows, 1],
            s=22 if part == "train" else 44,
            c=colours[colouring.numbers[rows]],
            marker=marker,
            edgecolors="white" if part == "train" else "black",
            linewidths=0.3 if part == "train" else 0.6,
            alpha=0.9,
            zorder=2 + order,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")


def legend(axes: Axes, colouring: Colouring, down: float = -0.02, abreast: int = 4) -> None:
    """Says which colour is which category, so far down from some axes, so many in a line."""
    names = list(colouring.categories)
    shown = names[:30]
    handles = [handle("o", colour(i), plain(name)) for i, name in enumerate(shown)]
    if len(names) > len(shown):
        handles.append(handle("", "none", f"and {len(names) - len(shown)} more"))
    again = f"\ncolours repeat after {len(PALETTE)}" if len(names) > len(PALETTE) else ""
    axes.legend(
        handles=handles,
        title=f"{colouring.name}{again}",
        loc="upper center",
        bbox_to_anchor=(0.5, down),
        ncols=min(abreast, len(handles)),
        frameon=False,
        handletextpad=0.2,
    )


def handle(marker: str, colour: str, label: str) -> Line2D:
    """A line of a legend."""
    return Line2D([], [], ls="", marker=marker, markersize=8, color=colour, label=label)


def plain(text: str) -> str:
    """So that matplotlib draws a `$` and does not read formulas between two."""
    return text.replace("$", r"\$")


def colour(number: int) -> str:
    """Of a category."""
    return PALETTE[number % len(PALETTE)]


def rendered(figure: Figure, kind: str = "png", **options: Any) -> bytes:
    """A file without date or version in it, one of `UNDATED`; options as of `savefig`."""
    held = io.BytesIO()
    figure.savefig(held, format=kind, metadata=UNDATED[kind], **options)
    return held.getvalue()
