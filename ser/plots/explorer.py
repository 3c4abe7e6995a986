"""Maps of codes as one self-contained interactive page that shows the utterance of each point."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ser.plots.jinja import render
from ser.plots.maps import CORRECT, PARTS, Atlas, Colouring, Map, Scale

WIDTH, HEIGHT, MARGIN = 1000, 720, 24  # of the drawing, in units of its view box
COLUMNS = ("speaker", "gender", "truth", "prediction", "part")  # shown of an utterance, if known


def page(
    title: str,
    remarks: Sequence[str],
    atlases: Sequence[Atlas],
    about: str,
    below: str = "",
    clips: Sequence[str] = (),
    has_audio: bool = False,
) -> str:
    """Return the page as HTML.

    Args:
        title: Title of the page.
        remarks: Warnings that are shown above the maps.
        atlases: One or more, one of which is visible at a time.
        about: Note at the end of the page.
        below: `Markup` below the maps.
        clips: Audio URL of each utterance of the only atlas; empty without audio.
        has_audio: Whether the page plays `clips`.
    """
    return render(
        "ser.plots",
        "explorer.html",
        title=title,
        remarks=remarks,
        atlases=atlases,
        width=WIDTH,
        height=HEIGHT,
        layers=[_points(each.table["part"]) for each in atlases],
        counts=[_counts(each.table["part"]) for each in atlases],
        below=below,
        about=about,
        has_audio=has_audio,
        data=_json([_data(each) for each in atlases]),
        clips=_json(clips),
    )


def _points(parts: pd.Series) -> list[tuple[int, str]]:
    """Return number and part of each utterance; held-out ones last, so drawn above the others."""
    order = sorted(range(len(parts)), key=lambda i: PARTS.index(parts.iloc[i]))
    return [(number, parts.iloc[number]) for number in order]


def _counts(parts: pd.Series) -> list[tuple[str, int]]:
    counts = ((part, int((parts == part).sum())) for part in PARTS)
    return [(part, count) for part, count in counts if count]


def _data(atlas: Atlas) -> dict[str, Any]:
    """Return what the script of the page needs of an atlas."""
    table = atlas.table
    rows: dict[str, Any] = {"utterance": table.index}
    rows |= {name: table[name] for name in COLUMNS if name in table}
    return {
        "rows": {name: [_text(value) for value in rows[name]] for name in rows},
        "judged": any(each.name == CORRECT for each in atlas.colourings),
        "maps": [
            {"caption": each.caption, "places": _placed(each)(each.points), "prior": _prior(each)}
            for each in atlas.maps
        ],
        "colourings": [_coloured(each) for each in atlas.colourings],
    }


def _text(value: Any) -> str:
    """Return an attribute of an utterance as it is shown; empty if it is unknown."""
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _coloured(colouring: Colouring | Scale) -> dict[str, Any]:
    """Return names or, of values, lowest and highest value, and the colour of each point."""
    each = {"name": colouring.name, "numbers": colouring.numbers.tolist()}
    each |= {"colours": colouring.colours}
    if isinstance(colouring, Scale):
        return {**each, "names": [], "ends": [f"{colouring.low:.3g}", f"{colouring.high:.3g}"]}
    return {**each, "names": list(colouring.categories)}


def _transform(each: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return minimum of x and y, units of the drawing per unit of the map, and margins; (2,)."""
    low, high = each.bounds
    spread = np.maximum(high - low, 1e-12)
    size = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    units = size / spread
    units = np.minimum(*units).repeat(2) if each.equal_aspect else units
    return low, units, MARGIN + (size - units * spread) / 2


def _placed(each: Map) -> Callable[[np.ndarray], list[list[float]]]:
    """Return the function from points (N, 2) to the drawing, where y points downwards."""
    low, units, margins = _transform(each)

    def placed(points: np.ndarray) -> list[list[float]]:
        x, y = (margins + (points - low) * units).T
        return np.round(np.stack([x, HEIGHT - y], axis=1), 1).tolist()

    return placed


def _prior(each: Map) -> dict[str, Any] | None:
    """Return centres and radii of a prior in units of the drawing."""
    if each.prior is None:
        return None
    unit = _transform(each)[1][0]
    radii = [round(float(unit * radius), 1) for radius in each.prior.radii]
    return {"centres": _placed(each)(each.prior.centres), "radii": radii}


def _json(content: Any) -> Markup:
    """Return JSON that cannot end the script element around it."""
    text = json.dumps(content, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
