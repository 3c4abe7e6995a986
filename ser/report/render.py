"""Tables as Markdown and LaTeX, with all text escaped."""

import re

from ser.report.tables import Table

_MARKDOWN = re.compile(r"([\\`*_\[\]#|~$<>])")
WIDE = 7  # columns; wider tables have a smaller font in LaTeX
_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "%": r"\%",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
}


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
    above = [name for name, count in table.spans for _ in range(count)] or [""] * len(table.columns)
    headers = [f"{span} {name}".strip() for span, name in zip(above, table.columns, strict=True)]
    rules = [":--"] * table.left + ["--:"] * (len(headers) - table.left)
    lines = [[md(text) for text in headers], rules, *([md(t) for t in row] for row in table.rows)]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    notes = "".join(f"\n{md(note)}\n" for note in table.notes)
    return f"{'#' * level} {md(table.title)}\n\n{body}{notes}"


def md(text: str) -> str:
    """Escape text for Markdown."""
    return _MARKDOWN.sub(r"\\\1", text.replace("&", "&amp;").replace("\n", " "))


def latex(table: Table) -> str:
    """Return a `table` environment with caption and notes; it needs the package booktabs."""
    form = "l" * table.left + "r" * (len(table.columns) - table.left)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{tex(table.title)}}}"]
    if len(table.columns) > WIDE:
        lines += [r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\begin{{tabular}}{{{form}}}", r"\toprule"]
    if any(name for name, _ in table.spans):
        lines += _spans(table)
    lines += [_row(table.columns), r"\midrule", *map(_row, table.rows)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize\raggedright {tex(note)}" for note in table.notes]
    lines += [r"\end{table}"]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    """Escape text for LaTeX.

    Examples:
        >>> print(tex("utterance_aae: -1.5 < 100%"))
        utterance\\_aae: $-$1.5 \\textless{} 100\\%
    """
    escaped = "".join(_TEX.get(character, character) for character in text.replace("\n", " "))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def _row(texts: tuple[str, ...]) -> str:
    # The braces keep a leading bracket from being read as an option of the \\ before it.
    return "{}" + " & ".join(map(tex, texts)) + r" \\"


def _spans(table: Table) -> list[str]:
    headers, rules, start = [], [], 1
    for name, count in table.spans:
        headers.append(rf"\multicolumn{{{count}}}{{c}}{{{tex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return [" & ".join(headers) + r" \\", " ".join(rules)]
