"""Colours of classes, systems and other categories: the same in all figures and pages.

The first four are of Okabe and Ito (*Color Universal Design*, 2008); its light ones are replaced by
colours that are visible on white and on black. All are distinguishable with protanopia and
deuteranopia (simulated by Machado et al. 2009); a test measures both.

Values have shades from blue (lowest) to amber (highest): lighter step by step, so that their order
is visible with any colour vision, and in grey.
"""

import numpy as np

PALETTE = (
    "#0072b2",  # blue
    "#d55e00",  # vermilion
    "#009e73",  # green
    "#cc79a7",  # pink
    "#8c3cf0",  # violet
    "#f00050",  # crimson
    "#8c6478",  # plum
    "#f050f0",  # magenta
)
ANCHORS = ("#2456c8", "#7f70b0", "#c08468", "#e8a020")  # of the shades of values, evenly spaced
SHADES = 64
UNKNOWN = "#d0d0d0"
LIGHT = {  # of pages and files; a page has others in dark mode (`templates/page.css`)
    "--back": "#ffffff",
    "--text": "#1c1e21",
    "--quiet": "#5d6369",
    "--line": "#d5d9dd",
    "--panel": "#f4f6f8",
    "--warn": "#8a4b00",
}


def colour(number: int) -> str:
    """Return the colour of a category; they repeat after the last one."""
    return PALETTE[number % len(PALETTE)]


def shades(count: int = SHADES) -> list[str]:
    """Return colours of values from the lowest to the highest."""
    anchors = [[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in ANCHORS]
    places, at = np.linspace(0, 1, count), np.linspace(0, 1, len(ANCHORS))
    channels = [np.interp(places, at, channel) for channel in zip(*anchors, strict=True)]
    return ["#{:02x}{:02x}{:02x}".format(*map(round, each)) for each in zip(*channels, strict=True)]


def css_class(number: int) -> str:
    """Return the CSS class of the colour of a category in SVG figures."""
    return f"c{number % len(PALETTE)}"
