"""What HTML pages have in common: their style, and tables."""

from collections.abc import Mapping
from types import MappingProxyType

from markupsafe import Markup

from ser.plots.jinja import render
from ser.plots.svg import style


def page_style() -> Markup:
    """Return the CSS of a page and of the figures on it, for light and dark mode."""
    return render("ser.plots", "page.css") + style()


def table_html(
    table: object, systems: Mapping[str, tuple[str, int]] = MappingProxyType({})
) -> Markup:
    """Return a table and its notes; on narrow screens the table scrolls.

    Args:
        table: With the attributes of `ser.report.tables.Table`.
        systems: Anchor and number of the colour by name; these names become links.
    """
    return render("ser.plots", "table.html", table=table, systems=systems)
