"""Maps as pictures, drawn with matplotlib."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ser.plots.colours import PALETTE, UNKNOWN
from ser.plots.maps import CORRECT, PART, PARTS, Atlas, Colouring, Scale
from ser.results import write_bytes

MARKERS = dict(zip(PARTS, "os^", strict=True))
LEGEND_ENTRIES = 30  # at most
# Metadata that would differ between versions and days.
UNDATED: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def draw(path: Path, atlas: Atlas) -> None:
    """Write a picture with a row per map, a column per colouring and a marker per part."""
    columns = [each for each in atlas.colourings if each.name not in (PART, CORRECT)]
    with matplotlib.rc_context({"font.size": 11, "axes.titlesize": 13}):
        # A bare Figure needs no display and changes no global state of pyplot.
        figure = Figure(figsize=(5.2 * len(columns), 11.5), dpi=120, layout="constrained")
        grid = figure.subplots(len(atlas.maps), len(columns), squeeze=False)
        for number, (row, each) in enumerate(zip(grid, atlas.maps, strict=True)):
            for axes, colouring in zip(row, columns, strict=True):
                scatter(axes, each.points, colouring, atlas.table["part"])
                if number == 0:
                    axes.set_title(f"by {colouring.name}")
                else:
                    key(axes, colouring)
            row[0].set_ylabel(f"{each.name} ({each.caption})")
        remarks = "".join(f"\n{remark}" for remark in atlas.remarks)
        figure.suptitle(plain(atlas.title + remarks), fontsize=14)
        parts = [part for part in PARTS if (atlas.table["part"] == part).any()]
        handles = [handle(MARKERS[part], "0.35", part) for part in parts]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(parts), frameon=False)
        write_bytes(path, file_content(figure))


def scatter(axes: Axes, points: np.ndarray, colouring: Colouring | Scale, parts: pd.Series) -> None:
    """Draw points (N, 2) with the colour of their category or value, and the marker of the part.

    Args:
        axes: Axes that get the points.
        points: (N, 2).
        colouring: What determines their colours.
        parts: (N,) part of each.
    """
    colours = np.array([*colouring.colours, UNKNOWN])
    # The few held-out points are drawn above the many training points, and larger.
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


def key(axes: Axes, colouring: Colouring | Scale, y: float = -0.02, columns: int = 4) -> None:
    """Draw a legend of categories, or a colour bar of values, below axes.

    Args:
        axes: Axes that get it.
        colouring: What determines the colours.
        y: Top of it, in units of the axes.
        columns: Maximum number of columns of a legend.
    """
    if isinstance(colouring, Scale):
        colour_bar(axes.inset_axes((0.1, y - 0.07, 0.8, 0.035)), colouring)
        return
    names = list(colouring.categories)
    pairs = list(zip(names, colouring.colours, strict=True))[:LEGEND_ENTRIES]
    handles = [handle("o", shade, plain(name)) for name, shade in pairs]
    if len(names) > LEGEND_ENTRIES:
        handles.append(handle("", "none", f"and {len(names) - LEGEND_ENTRIES} more"))
    repeated = f"\ncolours repeat after {len(PALETTE)}" if len(names) > len(PALETTE) else ""
    axes.legend(
        handles=handles,
        title=f"{colouring.name}{repeated}",
        loc="upper center",
        bbox_to_anchor=(0.5, y),
        ncols=min(columns, len(handles)),
        frameon=False,
        handletextpad=0.2,
    )


def colour_bar(axes: Axes, scale: Scale) -> None:
    """Draw the horizontal colour bar of a scale into axes of its own."""
    shades = ScalarMappable(Normalize(scale.low, scale.high), ListedColormap(scale.colours))
    options: dict[str, Any] = {"orientation": "horizontal", "label": plain(scale.name)}
    bar = axes.figure.colorbar(shades, cax=axes, **options)
    bar.outline.set_visible(False)


def handle(marker: str, colour: str, label: str) -> Line2D:
    """Return an entry of a legend."""
    return Line2D([], [], ls="", marker=marker, markersize=8, color=colour, label=label)


def plain(text: str) -> str:
    """Escape `$`, which matplotlib would read as the begin of a formula."""
    return text.replace("$", r"\$")


def file_content(figure: Figure, kind: str = "png", **options: Any) -> bytes:
    """Return the bytes of an image file without date or version.

    Args:
        figure: Figure to save.
        kind: "png" or "pdf".
        options: Further options of `Figure.savefig`.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=UNDATED[kind], **options)
    return buffer.getvalue()
