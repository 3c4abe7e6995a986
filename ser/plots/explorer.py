"""Maps of codes as one page that needs nothing beside it: points name their utterance."""

import json
from collections.abc import Callable, Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np
import pandas as pd

from ser.plots.map import MARKERS, Atlas, Map, colour
from ser.plots.template import TEMPLATE

WIDE, HIGH, EDGE = 1000, 720, 24  # of the drawing, in its own units
KEYS = "map of the utterances: arrow keys go to the next point"
TOLD = ("speaker", "gender", "truth", "prediction", "part")  # of an utterance, where known
SHAPES = {
    "train": '<circle r="5.5"/>',
    "val": '<rect x="-6.5" y="-6.5" width="13" height="13"/>',
    "test": '<path d="M0-8.5L8 6H-8Z"/>',
}


def page(
    title: str,
    remarks: Sequence[str],
    atlases: Sequence[Atlas],
    about: str,
    probes: str = "",
    clips: Sequence[str] = (),
    has_audio: bool = False,
) -> str:
    """The page as text.

    Args:
        title: of the page.
        remarks: what must stand beside the maps.
        atlases: one or more, of the same utterances or of others; one is seen at a time.
        about: a sentence at the end.
        probes: HTML below the maps.
        clips: a URL for each utterance of the only atlas.
        has_audio: whether `clips` are played.
    """
    return Template(TEMPLATE).substitute(
        title=escape(title),
        remarks="".join(f'<p class="remark">{escape(remark)}</p>' for remark in remarks),
        maps=_options(atlases),
        box=f"0 0 {WIDE} {HIGH}",
        points="".join(_points(each.table["part"]) for each in atlases),
        parts="".join(_parts(each.table["part"]) for each in atlases),
        probes=probes,
        about=escape(about),
        hidden="" if has_audio else "hidden",
        silent="hidden" if has_audio else "",
        keys=KEYS + (", Enter plays it" if has_audio else ""),
        data=_json([_data(each) for each in atlases]),
        clips=_json(clips),
    )


def _data(atlas: Atlas) -> dict[str, Any]:
    table = atlas.table
    rows: dict[str, Any] = {"utterance": table.index}
    rows |= {name: table[name] for name in TOLD if name in table}
    return {
        "rows": {name: ["" if pd.isna(v) else str(v) for v in rows[name]] for name in rows},
        "maps": [
            {"caption": each.caption, "places": _placed(each)(each.points), "prior": _prior(each)}
            for each in atlas.maps
        ],
        "colourings": [
            {
                "name": each.name,
                "names": list(each.categories),
                "colours": [colour(number) for number in range(len(each.categories))],
                "of": each.numbers.tolist(),
            }
            for each in atlas.colourings
        ],
    }


def _scaled(each: Map) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least x and y, units of the drawing for one of the map's, and margins, (2,) each."""
    low, high = each.bounds
    spread = np.maximum(high - low, 1e-12)
    size = np.array([WIDE - 2 * EDGE, HIGH - 2 * EDGE])
    units = size / spread
    units = np.minimum(*units).repeat(2) if each.is_plane else units
    return low, units, EDGE + (size - units * spread) / 2


def _placed(each: Map) -> Callable[[np.ndarray], list[list[float]]]:
    """From (N, 2) to the drawing's units; y upwards becomes y downwards."""
    low, units, margins = _scaled(each)

    def placed(points: np.ndarray) -> list[list[float]]:
        x, y = (margins + (points - low) * units).T
        return np.round(np.stack([x, HIGH - y], axis=1), 1).tolist()

    return placed


def _prior(each: Map) -> dict[str, Any] | None:
    """Centres and radii in the drawing's units."""
    if each.prior is None:
        return None
    unit = _scaled(each)[1][0]
    radii = [round(float(unit * radius), 1) for radius in each.prior.radii]
    return {"centres": _placed(each)(each.prior.centres), "radii": radii}


def _points(parts: pd.Series) -> str:
    """One shape an utterance; held-out ones last, so above the others. The script places them."""
    order = sorted(range(len(parts)), key=lambda i: list(MARKERS).index(parts.iloc[i]))
    shapes = "".join(
        f'<g class="point {parts.iloc[i]}" data-i="{i}" tabindex="-1" role="img">'
        f"{SHAPES[parts.iloc[i]]}</g>"
        for i in order
    )
    return f'<g class="layer" hidden>{shapes}</g>'


def _parts(parts: pd.Series) -> str:
    counts = "".join(
        f'<span class="part"><svg viewBox="-10 -10 20 20" aria-hidden="true">{SHAPES[part]}</svg>'
        f"{part} ({(parts == part).sum()})</span>"
        for part in MARKERS
        if (parts == part).any()
    )
    return f'<span class="counts" hidden>{counts}</span>'


def _options(atlases: Sequence[Atlas]) -> str:
    """A choice for each map of each atlas; its value is the numbers of both."""
    return "".join(
        f'<option value="{number} {which}">{escape(each.name)}</option>'
        for number, atlas in enumerate(atlases)
        for which, each in enumerate(atlas.maps)
    )


def _json(content: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(content, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# ---- audio
