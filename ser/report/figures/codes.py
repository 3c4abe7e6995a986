"""Codes of two values, as in figure 3 of sahu2017: a picture, and a page that names every point."""

from collections.abc import Sequence
from textwrap import fill

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from ser import results
from ser.data.targets import Target
from ser.plots.explorer import page
from ser.plots.map import (
    MARKERS,
    Atlas,
    Colouring,
    Map,
    Prior,
    colour,
    colourings,
    handle,
    legend,
    plain,
    rendered,
    scatter,
)
from ser.report.figures.representations import CODES, Shown
from ser.report.findings import Findings, remarks
from ser.report.gather import damaged

ABREAST = 4  # systems beside each other
SIZE = 4.4  # inches of one
PARTS = {"train": "train", "val": "validation", "test": "test"}
ABOVE, BELOW = ("train", "val"), ("test",)
ABOUT = (
    "Codes of two values, one run a system. Runs keep neither predictions nor speakers of their "
    "training part: it is grey by these. Predictions of val may be of an earlier fit, without val."
)


def atlas(found: Findings, shown: Shown) -> Atlas:
    """The codes of one run, with what its files tell of each utterance.

    Raises:
        UserError: they contradict each other.
    """
    cell, run = shown.cell, shown.run
    try:
        table = _described(shown)
        prior = _prior(shown)
        coloured = colourings(table, Target(cell.target, cell.classes, table["truth"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run.planned.folder, error) from error
    name = found.where(cell)
    told = f"fold {run.planned.fold}, seed {run.planned.seed}"
    points = shown.table[list(CODES)].to_numpy()
    plane = Map(name, points, told, is_plane=True, prior=prior)
    return Atlas(name, run.remarks, table, [plane], coloured)


def _described(shown: Shown) -> pd.DataFrame:
    """`part`, `truth` and, where known, `prediction`, `speaker` and `gender`, by utterance."""
    folder = shown.run.planned.folder
    table = shown.table.set_index("utterance")[["part", "truth"]]
    told = results.RunFolder(folder).read_predictions().set_index("utterance")
    table["prediction"] = told["prediction"].reindex(table.index)
    if (folder / results.UTTERANCES).exists():
        spoken = results.RunFolder(folder).read_utterances().set_index("utterance")
        for name in ("speaker", "gender"):
            if name in spoken:
                table[name] = spoken[name].reindex(table.index)
    return table


def _prior(shown: Shown) -> Prior | None:
    facts = results.read_json(shown.run.planned.folder / results.REPRESENTATION / results.FITTED)
    centres, spread = ((facts or {}).get(name) for name in ("centres", "spread"))
    if centres is None:
        return None
    placed = np.asarray(centres, float).reshape(len(shown.cell.classes), 2)
    return Prior(placed, None if spread is None else float(spread))


# ---- the page


def explorable(found: Findings, atlases: Sequence[Atlas]) -> str:
    """A page with a map a system."""
    return page(
        f"2-D codes: {found.name}",
        remarks(found),
        atlases,
        f"{ABOUT} {about_prior(atlases)}".strip(),
    )


def about_prior(atlases: Sequence[Atlas]) -> str:
    """What is drawn of priors, in a sentence; empty: nothing."""
    priors = [each.prior for atlas in atlases for each in atlas.maps if each.prior is not None]
    if not priors:
        return ""
    circles = ", circles one and two standard deviations" if any(p.radii for p in priors) else ""
    return f"Crosses are the centres of the prior's components{circles}, in their classes' colours."


# ---- the picture


def picture(atlases: Sequence[Atlas]) -> Figure:
    """A column a system: what it was trained on above, the test part below, to one scale."""
    abreast = min(ABREAST, len(atlases))
    bands = -(-len(atlases) // abreast)
    # A Figure of its own needs no window, and no state of pyplot's.
    size = (SIZE * abreast, (2 * SIZE + 1.6) * bands)
    layout = ConstrainedLayoutEngine(compress=True, h_pad=0.1)
    figure = Figure(figsize=size, dpi=120, layout=layout)
    grid = figure.subplots(2 * bands, abreast, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, each in enumerate(atlases):
        band, column = divmod(number, abreast)
        upper, lower = grid[2 * band, column], grid[2 * band + 1, column]
        _panel(upper, each, ABOVE)
        _panel(lower, each, BELOW)
        upper.set_title(f"{plain(fill(each.title, 42))}\n{upper.get_title()}")
        legend(lower, each.colourings[0], -0.09, 3)
    there = {part for each in atlases for part in each.table["part"]}
    handles = [handle(MARKERS[part], "0.35", PARTS[part]) for part in PARTS if part in there]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _panel(axes: Axes, atlas: Atlas, parts: Sequence[str]) -> None:
    (plane,), (classes, *_) = atlas.maps, atlas.colourings
    rows = atlas.table["part"].isin(parts).to_numpy()
    coloured = Colouring(classes.name, classes.categories, classes.numbers[rows])
    axes.set_axis_on()
    if plane.prior is not None:
        _draw_prior(axes, plane.prior)
    scatter(axes, plane.points[rows], coloured, atlas.table["part"][rows])
    low, high = plane.bounds
    middle, reach = (low + high) / 2, 0.53 * max(*(high - low), 1e-12)
    axes.set(xlim=(middle[0] - reach, middle[0] + reach))
    axes.set(ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=9, color="0.8", labelcolor="0.4")
    told = " and ".join(PARTS[p] for p in parts if p == "test" or (atlas.table["part"] == p).any())
    axes.set_title(f"{told} ({rows.sum():,})")


def _draw_prior(axes: Axes, prior: Prior) -> None:
    for number, centre in enumerate(prior.centres):
        for radius in prior.radii:
            ring = Circle(tuple(centre), radius, fill=False, color=colour(number), lw=1, zorder=1)
            axes.add_patch(ring)
        axes.plot(*centre, marker="+", ms=11, mew=4, color="white", zorder=9)
        axes.plot(*centre, marker="+", ms=10, mew=2, color=colour(number), zorder=10)


def png(atlases: Sequence[Atlas]) -> bytes:
    with matplotlib.rc_context({"font.size": 10, "axes.titlesize": 11}):
        return rendered(picture(atlases), bbox_inches="tight")
