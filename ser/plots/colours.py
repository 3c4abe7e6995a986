"""Colours of classes, systems and other categories: the same in all figures and pages.

The first four are of Okabe and Ito (*Color Universal Design*, 2008); its light ones are replaced by
colours that are visible on white and on black. All are distinguishable with protanopia and
deuteranopia (simulated by Machado et al. 2009); a test measures both.
"""

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


def css_class(number: int) -> str:
    """Return the CSS class of the colour of a category in SVG figures."""
    return f"c{number % len(PALETTE)}"
