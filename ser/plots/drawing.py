"""SVG files of `ser.plots.svg` as PDF and PNG, drawn with matplotlib: no further library is needed.

The elements that figures have are supported, others are refused: `<g>` with a translation, lines,
rectangles, circles, polylines, polygons and text, with the attributes of `ser.plots.inline`.
"""

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon, Rectangle
from matplotlib.text import Text

from ser.plots.picture import file_content

UNIT = 0.75  # pt of a unit of SVG: 1/96 inch
DPI = 192  # of PNG: two pixels a unit
# Embedded fonts are TrueType, as many conferences require.
STYLE: Any = {"pdf.fonttype": 42, "font.family": "DejaVu Sans"}
INHERITED = {
    *("fill", "stroke", "fill-opacity", "stroke-width", "stroke-dasharray"),
    *("font-size", "font-weight", "text-anchor"),
}
ALIGNED = {"start": "left", "middle": "center", "end": "right"}

Attributes = Mapping[str, str]
Colour = tuple[float, float, float, float]


def files(svg: str, kinds: Sequence[str] = ("pdf", "png")) -> dict[str, bytes]:
    """Return the content of files by kind; equal SVG gives equal bytes."""
    root = ET.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        size = (width * UNIT / 72, height * UNIT / 72)
        # A bare Figure needs no display and changes no global state of pyplot.
        figure = Figure(figsize=size, dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        order = count()

        def add(artist: Artist) -> None:
            # Later elements are above earlier ones, as in SVG.
            artist.set_zorder(next(order))
            axes.add_artist(artist)

        _draw(root, {}, (0.0, 0.0), add)
        return {kind: file_content(figure, kind, dpi=DPI) for kind in kinds}


def _draw(
    element: ET.Element,
    outer: Attributes,
    shift: tuple[float, float],
    add: Callable[[Artist], None],
) -> None:
    """Draw an element and what it contains, moved by `shift`."""
    tag = element.tag.rpartition("}")[2]
    known = {name: value for name, value in outer.items() if name in INHERITED}
    attributes = known | element.attrib
    if tag == "title":
        return
    if tag in ("svg", "g"):
        x, y = _translation(element.get("transform", ""))
        for child in element:
            _draw(child, attributes, (shift[0] + x, shift[1] + y), add)
        return
    if tag == "text":
        add(_text(element.text or "", attributes, shift))
    elif tag in ("line", "polyline"):
        add(_line(_places(tag, attributes, shift), attributes))
    elif tag in ("rect", "circle", "polygon"):
        add(_shape(tag, attributes, shift))
    else:
        raise ValueError(f"a figure has an unknown element: {tag}")


def _translation(transform: str) -> tuple[float, float]:
    if not transform:
        return 0.0, 0.0
    match = re.fullmatch(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", transform)
    if match is None:
        raise ValueError(f"a figure has an unknown transformation: {transform}")
    return float(match[1]), float(match[2])


def _places(
    tag: str, attributes: Attributes, shift: tuple[float, float]
) -> tuple[list[float], list[float]]:
    """Return x and y of the ends of a line, or of points."""
    if tag == "line":
        x, y = ([float(attributes.get(f"{of}{end}", 0)) for end in (1, 2)] for of in "xy")
    else:
        numbers = [float(n) for n in re.split(r"[ ,]+", attributes["points"].strip()) if n]
        x, y = numbers[::2], numbers[1::2]
    return [each + shift[0] for each in x], [each + shift[1] for each in y]


def _line(places: tuple[list[float], list[float]], attributes: Attributes) -> Line2D:
    stroke, width = _stroke(attributes)
    dashes = [float(each) * UNIT / width for each in attributes.get("stroke-dasharray", "").split()]
    style: Any = (0, dashes) if dashes else "-"
    # Curves have many points close to each other.
    return Line2D(
        *places, color=stroke, lw=width, ls=style, dash_capstyle="butt", solid_joinstyle="round"
    )


def _shape(tag: str, attributes: Attributes, shift: tuple[float, float]) -> Artist:
    def number(name: str) -> float:
        return float(attributes.get(name, 0))

    stroke, width = _stroke(attributes)
    fill = _colour(attributes.get("fill", "#000000"), float(attributes.get("fill-opacity", 1)))
    drawn: dict[str, Any] = {"facecolor": fill, "edgecolor": stroke, "lw": width}
    if tag == "rect":
        corner = shift[0] + number("x"), shift[1] + number("y")
        return Rectangle(corner, number("width"), number("height"), **drawn)
    if tag == "circle":
        centre = shift[0] + number("cx"), shift[1] + number("cy")
        return Circle(centre, number("r"), **drawn)
    return Polygon(list(zip(*_places(tag, attributes, shift), strict=True)), **drawn)


def _text(content: str, attributes: Attributes, shift: tuple[float, float]) -> Text:
    x, y = (shift[i] + float(attributes.get(name, 0)) for i, name in enumerate("xy"))
    size = float(attributes.get("font-size", "10px").removesuffix("px")) * UNIT
    weight = "bold" if int(attributes.get("font-weight", 400)) >= 600 else "normal"
    # DejaVu Sans is a tenth wider than the fonts that a figure is made for.
    return Text(
        x,
        y,
        content,
        color=_colour(attributes.get("fill", "#000000"), 1),
        fontsize=0.9 * size,
        fontweight=weight,
        ha=ALIGNED[attributes.get("text-anchor", "start")],
        va="baseline",
        parse_math=False,
    )


def _stroke(attributes: Attributes) -> tuple[Colour, float]:
    """Return colour and width in pt of a line."""
    stroke = attributes.get("stroke", "none")
    width = float(attributes.get("stroke-width", 1)) * UNIT
    return _colour(stroke, float(attributes.get("stroke-opacity", 1))), width


def _colour(name: str, opacity: float) -> Colour:
    return (0.0, 0.0, 0.0, 0.0) if name == "none" else to_rgba(name, opacity)
