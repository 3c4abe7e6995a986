"""Tables as Markdown, with all text escaped."""

import re

from ser.report.tables import Table

_MARKDOWN = re.compile(r"([\\`*_\[\]#|~$<>])")


def markdown(table: Table, level: int = 3) -> str:
    """Return a table with its title as a heading of some level, and its notes.

    Examples:
        >>> print(markdown(Table("a_b", ("system", "UA"), (("aae", "76.0 ± 1.6"),))))
        ### a\\_b
        <BLANKLINE>
        | system | UA |
        | :-- | --: |
        | aae | 76.0 ± 1.6 |
        <BLANKLINE>
    """
    headers = table.headers
    rules = [":--"] * table.left + ["--:"] * (len(headers) - table.left)
    lines = [[md(text) for text in headers], rules, *([md(t) for t in row] for row in table.rows)]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = "".join(f"\n{md(note)}\n" for note in table.notes)
    return f"{'#' * level} {md(table.title)}\n\n{body}{notes}"


def md(text: str) -> str:
    """Escape text for Markdown."""
    return _MARKDOWN.sub(r"\\\1", text.replace("&", "&amp;").replace("\n", " "))
