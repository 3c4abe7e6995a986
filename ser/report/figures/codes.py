"""Codes of two values, as in figure 3 of sahu2017: a picture and an interactive page."""

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

from ser.plots.explorer import page
from ser.plots.maps import Atlas, Colouring, Map, Prior, Scale, colourings
from ser.plots.picture import MARKERS, file_content, handle, key, plain, scatter
from ser.report.data import ReportData, remarks
from ser.report.figures.representations import CODES, Example
from ser.report.gather import damaged, result_folder
from ser.results import RunFolder, read_json

COLUMNS = 4  # systems side by side
SIZE = 4.4  # inches per system
PARTS = {"train": "train", "val": "validation", "test": "test"}
ABOVE, BELOW = ("train", "val"), ("test",)
ABOUT = (
    "Codes of two values, one run per system. Predictions and speakers of the training split are "
    "not saved, so it is grey in these colourings. Predictions of val may be of an earlier fit "
    "without val."
)


def atlas(data: ReportData, example: Example) -> Atlas:
    """Return the codes of one run, with the attributes and predictions of each utterance.

    Raises:
        UserError: Files of the run contradict each other.
    """
    cell, run = example.cell, example.run
    try:
        table = _described(example)
        prior = _prior(example)
        coloured = colourings(table, cell.target, cell.classes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run.planned.folder, error) from error
    name = data.cell_name(cell)
    caption = f"fold {run.planned.fold}, seed {run.planned.seed}"
    points = example.table[list(CODES)].to_numpy()
    plane = Map(name, points, caption, equal_aspect=True, prior=prior)
    return Atlas(name, run.remarks, table, [plane], coloured)


def points(atlases: Sequence[Atlas]) -> pd.DataFrame:
    """Return one row per utterance and system: its codes, split and truth."""
    tables = [
        each.table[["part", "truth"]].assign(
            system=each.title, **dict(zip(CODES, each.maps[0].points.T, strict=True))
        )
        for each in atlases
    ]
    table = pd.concat(tables).rename_axis("utterance").reset_index()
    return table[["system", "utterance", "part", "truth", *CODES]]


def _described(example: Example) -> pd.DataFrame:
    """Return `part`, `truth` and, where known, `prediction, speaker, gender` by utterance."""
    folder = result_folder(example.run.planned)
    table = example.table.set_index("utterance")[["part", "truth"]]
    if not example.cell.classes:
        table["truth"] = table["truth"].astype(float)
    predictions = folder.read_predictions().set_index("utterance")
    table["prediction"] = predictions["prediction"].reindex(table.index)
    if folder.utterances_file.exists():
        utterances = folder.read_utterances().set_index("utterance")
        for name in ("speaker", "gender"):
            if name in utterances:
                table[name] = utterances[name].reindex(table.index)
    return table


def _prior(example: Example) -> Prior | None:
    facts = read_json(RunFolder(example.run.planned.folder).fitted_file)
    centres, sd = ((facts or {}).get(name) for name in ("centres", "spread"))
    if centres is None:
        return None
    # Values have one component: no class has one of its own.
    placed = np.asarray(centres, float).reshape(len(example.cell.classes) or 1, 2)
    return Prior(placed, None if sd is None else float(sd))


# ---- the page


def explorable(data: ReportData, atlases: Sequence[Atlas]) -> str:
    """Return a page with a map per system."""
    about = f"{ABOUT} {about_prior(atlases)}".strip()
    return page(f"2-D codes: {data.name}", remarks(data), atlases, about)


def about_prior(atlases: Sequence[Atlas]) -> str:
    """Return a sentence on how priors are drawn; empty if there are none."""
    priors = [each.prior for atlas in atlases for each in atlas.maps if each.prior is not None]
    if not priors:
        return ""
    circles = ", circles: one and two standard deviations" if any(p.radii for p in priors) else ""
    has_classes = any(not isinstance(each.colourings[0], Scale) for each in atlases)
    colours = ", in the colour of their class" if has_classes else ""
    return f"Crosses: centres of the prior's components{circles}{colours}."


# ---- the picture


def png(atlases: Sequence[Atlas]) -> bytes:
    with matplotlib.rc_context({"font.size": 10, "axes.titlesize": 11}):
        return file_content(picture(atlases), bbox_inches="tight")


def picture(atlases: Sequence[Atlas]) -> Figure:
    """Draw a column per system: training and validation above, test below, with equal axes."""
    columns = min(COLUMNS, len(atlases))
    bands = -(-len(atlases) // columns)
    # A bare Figure needs no display and changes no global state of pyplot.
    size = (SIZE * columns, (2 * SIZE + 1.6) * bands)
    layout = ConstrainedLayoutEngine(compress=True, h_pad=0.1)
    figure = Figure(figsize=size, dpi=120, layout=layout)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, each in enumerate(atlases):
        band, column = divmod(number, columns)
        upper, lower = grid[2 * band, column], grid[2 * band + 1, column]
        _panel(upper, each, ABOVE)
        _panel(lower, each, BELOW)
        upper.set_title(f"{plain(fill(each.title, 42))}\n{upper.get_title()}")
        key(lower, each.colourings[0], -0.09, 3)
    present = {part for each in atlases for part in each.table["part"]}
    handles = [handle(MARKERS[part], "0.35", PARTS[part]) for part in PARTS if part in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _panel(axes: Axes, atlas: Atlas, parts: Sequence[str]) -> None:
    (plane,), (by_target, *_) = atlas.maps, atlas.colourings
    rows = atlas.table["part"].isin(parts).to_numpy()
    axes.set_axis_on()
    if plane.prior is not None:
        _draw_prior(axes, plane.prior, by_target)
    scatter(axes, plane.points[rows], by_target.of_rows(rows), atlas.table["part"][rows])
    low, high = plane.bounds
    middle, reach = (low + high) / 2, 0.53 * max(*(high - low), 1e-12)
    axes.set(xlim=(middle[0] - reach, middle[0] + reach))
    axes.set(ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=9, color="0.8", labelcolor="0.4")
    names = [PARTS[p] for p in parts if p == "test" or (atlas.table["part"] == p).any()]
    axes.set_title(f"{' and '.join(names)} ({rows.sum():,})")


def _draw_prior(axes: Axes, prior: Prior, by_target: Colouring | Scale) -> None:
    count = len(prior.centres)
    colours = ["0.35"] * count if isinstance(by_target, Scale) else by_target.colours
    for colour, centre in zip(colours, prior.centres, strict=True):
        for radius in prior.radii:
            ring = Circle(tuple(centre), radius, fill=False, color=colour, lw=1, zorder=1)
            axes.add_patch(ring)
        axes.plot(*centre, marker="+", ms=11, mew=4, color="white", zorder=9)
        axes.plot(*centre, marker="+", ms=10, mew=2, color=colour, zorder=10)
