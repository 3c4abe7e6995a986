"""Codes of many values by t-SNE, as in figures 1 and 2 of ghosh2016.

A column per system; a row per colouring: by class or value, and by ratings if the corpus has any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure

from ser.data.segments import spread
from ser.plots.colours import ANCHORS, UNKNOWN, colour
from ser.plots.maps import Map, embed, rating_of
from ser.plots.picture import file_content, handle, plain
from ser.report.figures.neighbours import RATINGS, Coded

ABOUT = (
    "Codes of the training and validation split of one run per system, by t-SNE (van der Maaten & "
    "Hinton 2008) initialised with the first two principal components; colours: label and ratings "
    "of the utterance:"
)
MOST = 3_000  # points per column
SIDE = 3.6  # inches of a panel
HEAT = LinearSegmentedColormap.from_list("low to high", ANCHORS)


@dataclass(frozen=True)
class Column:
    """Codes of a run and their t-SNE.

    Attributes:
        title: Name of the system.
        coded: Codes.
        chosen: (N,) row numbers of the codes that are drawn.
        map: t-SNE of these N codes.
    """

    title: str
    coded: Coded
    chosen: np.ndarray
    map: Map


def column(title: str, coded: Coded) -> Column:
    """Compute the t-SNE of at most `MOST` codes, spread over utterances; deterministic, slow."""
    chosen = spread(coded.utterances, MOST)
    _, tsne = embed(coded.codes[chosen])
    return Column(title, coded, chosen, tsne)


def points(columns: Sequence[Column]) -> pd.DataFrame:
    """Return one row per drawn code: its place, class, speaker and ratings."""
    tables = []
    for each in columns:
        coded, chosen = each.coded, each.chosen
        known = {"system": each.title, "truth": coded.truth[chosen]}
        known |= {"speaker": coded.speakers[chosen]}
        known |= dict(zip("xy", each.map.points.T, strict=True))
        known |= {name: values[chosen] for name, values in coded.ratings.items()}
        tables.append(pd.DataFrame(known))
    return pd.concat(tables, ignore_index=True)


def about(columns: Sequence[Column]) -> str:
    """Return what is drawn, and which ratings are missing."""
    points = [f"{len(each.chosen):,} {each.coded.unit}" for each in columns]
    counts = points[0] if len(set(points)) == 1 else ", ".join(points)
    rated = {name for each in columns for name in each.coded.ratings}
    lacking = [name for name in RATINGS if name not in rated]
    without = f" The corpus has no ratings of {' and '.join(lacking)}." if lacking else ""
    return f"{ABOUT} {counts} each, {columns[0].map.caption}.{without}"


def drawings(columns: Sequence[Column]) -> tuple[bytes, bytes]:
    """Return the picture as PNG and as PDF."""
    with matplotlib.rc_context({"font.size": 10, "axes.titlesize": 11}):
        options = {"dpi": 110, "bbox_inches": "tight"}  # colour bars are wider than the layout
        png, pdf = (file_content(picture(columns), kind, **options) for kind in ("png", "pdf"))
        return png, pdf


def picture(columns: Sequence[Column]) -> Figure:
    """Draw a column per system and a row per colouring."""
    rated = list(dict.fromkeys(name for each in columns for name in each.coded.ratings))
    with_classes = [number for number, each in enumerate(columns) if each.coded.classes]
    first = [columns[with_classes[0]].coded.example.cell.target] if with_classes else []
    height, width = len(first) + len(rated), len(columns)
    # A bare Figure needs no display and changes no global state of pyplot.
    figure = Figure(figsize=(SIDE * width + 1.4, SIDE * height + 0.4), layout="constrained")
    grid = figure.subplots(height, width, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for axes, each in zip(grid[0], columns, strict=True):
        axes.set_title(plain(fill(each.title, 36)))
    for number in with_classes:
        axes, each = grid[0, number], columns[number]
        colours = np.array([colour(number) for number in range(len(each.coded.classes))])
        _panel(axes, each, colours[each.coded.labels[each.chosen]])
        _legend(axes, each, columns)
    for row, name in zip(grid[len(first) :], rated, strict=True):
        _rated(figure, row, columns, name)
    for axes, name in zip(grid[:, 0], [*first, *rated], strict=True):
        axes.text(-0.04, 0.5, name, transform=axes.transAxes, rotation=90, ha="right", va="center")
    return figure


def _rated(figure: Figure, row: Sequence[Axes], columns: Sequence[Column], name: str) -> None:
    """Draw a row coloured by one rating, with a common scale and a colour bar."""
    known = {
        number: each.coded.ratings[name][each.chosen]
        for number, each in enumerate(columns)
        if name in each.coded.ratings
    }
    every = np.concatenate(list(known.values()))
    scale = Normalize(np.nanmin(every), np.nanmax(every))
    for number, rating in known.items():
        colours = HEAT(scale(np.nan_to_num(rating)))
        colours[np.isnan(rating)] = to_rgba(UNKNOWN)
        _panel(row[number], columns[number], colours)
    shades = matplotlib.cm.ScalarMappable(scale, HEAT)
    figure.colorbar(shades, cax=row[-1].inset_axes((1.05, 0.15, 0.05, 0.7)), label=rating_of(name))


def _legend(axes: Axes, each: Column, columns: Sequence[Column]) -> None:
    """Draw a legend at the last column that has the same classes."""
    classes = each.coded.classes
    if each is not [c for c in columns if c.coded.classes == classes][-1]:
        return
    handles = [handle("o", colour(number), plain(name)) for number, name in enumerate(classes)]
    axes.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        frameon=False,
        handletextpad=0.2,
    )


def _panel(axes: Axes, each: Column, colours: np.ndarray) -> None:
    points = each.map.points
    # In random order: sorted by speaker or class, the last ones would cover the others.
    order = np.random.default_rng(0).permutation(len(points))
    size = float(np.clip(12_000 / len(points), 4, 22))
    axes.set_axis_on()
    x, y = points[order].T
    axes.scatter(x, y, s=size, c=colours[order], linewidths=0, alpha=0.85, rasterized=True)
    low, high = each.map.bounds
    middle, reach = (low + high) / 2, 0.53 * max(*(high - low), 1e-12)
    axes.set(xlim=(middle[0] - reach, middle[0] + reach))
    axes.set(ylim=(middle[1] - reach, middle[1] + reach), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_color("0.8")
