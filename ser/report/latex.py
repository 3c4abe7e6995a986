"""Tables as LaTeX that fits a two-column paper, with all text escaped."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ser.report.tables import Table

PREAMBLE = (
    "% In the preamble: \\usepackage{booktabs,array}; then \\input this file.\n"
    "% Tables are at most 252 pt wide (a column of IEEEtran), those in table* at most 516 pt.\n"
)
COLUMN, PAGE = 252.0, 516.0  # width of a column and of a page with two, in pt
SIZE, SEPARATION = 8.5, 4.0  # of \footnotesize, and between columns, in pt
# Widths of columns of words whose lines are not broken, in pt: the first that fits the page.
LONGEST = (105.0, 80.0)
TOKEN = 15  # characters of the longest word that is never broken

_BREAK = "\u200b"  # zero-width space
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
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",
    "²": r"\textsuperscript{2}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    _BREAK: r"\allowbreak{}",
}
# Widths of characters of Computer Modern in em, rounded up; others are as wide as an "n".
_WIDTHS = {
    **dict.fromkeys("ijl.,:;'|!", 0.31),
    **dict.fromkeys("frts()[]- ", 0.42),
    **dict.fromkeys("mwMW%±", 0.87),
    **dict.fromkeys("ABCDEFGHIJKLNOPQRSTUVXYZ+=<>&_", 0.78),
    _BREAK: 0.0,
}


def table(content: Table) -> str:
    """Return one or more environments with caption and notes, see `PREAMBLE`.

    A table that fits a column is a `table`, others are `table*`; one that is wider than the page
    is divided, and its columns of words are repeated.
    """
    parts = list(_divided(content))
    return "\n".join(_environment(part) for part in parts)


def tex(text: str) -> str:
    r"""Escape text for LaTeX; characters that pdfLaTeX may lack become their code points.

    Examples:
        >>> print(tex("utterance_aae: -1.5 < 100%"))
        utterance\_aae: $-$1.5 \textless{} 100\%
        >>> print(tex("Zoë 語"))
        Zoë [U+8A9E]
    """
    broken = re.sub(rf"\S{{{TOKEN + 1},}}", _breakable, text.replace("\n", " "))
    escaped = "".join(_TEX.get(character, _known(character)) for character in broken)
    return re.sub(r"(?<![\w.}-])-(?=\d)", "$-$", escaped)


def _breakable(token: re.Match[str]) -> str:
    """Allow line breaks in a long word, best after punctuation."""
    parts = re.sub(r"([_=/.,:;+-])(?=\w)", rf"\1{_BREAK}", token.group())
    return re.sub(rf"\w{{{TOKEN}}}(?=\w)", rf"\g<0>{_BREAK}", parts)


def _known(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    is_latin = character.isprintable() and ord(character) < 0x180
    if is_latin and unicodedata.category(character).startswith("L"):
        return character
    return f"[U+{ord(character):04X}]"


# ---- layout


def _divided(content: Table) -> Iterator[Table]:
    """Yield tables that are not wider than the page, each with some columns of numbers."""
    words = list(range(content.left))
    groups = _groups(content)
    chunks: list[list[int]] = [[]]
    for group in groups:
        if chunks[-1] and sum(_widths(content, [*words, *chunks[-1], *group])) > PAGE:
            chunks.append([])
        chunks[-1] += group
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        part = _selected(content, [*words, *chunk])
        title = content.title + (f" ({number + 1} of {len(chunks)})" if len(chunks) > 1 else "")
        yield replace(part, title=title, notes=content.notes if is_last else ())


def _groups(content: Table) -> list[list[int]]:
    """Return columns of numbers that stay together: those below one header."""
    if not any(name for name, _ in content.spans):
        return [[number] for number in range(content.left, len(content.columns))]
    groups, start = [], 0
    for _, count in content.spans:
        group = [number for number in range(start, start + count) if number >= content.left]
        start += count
        together = [*range(content.left), *group]
        groups += (
            [group] if sum(_widths(content, together)) <= PAGE else [[number] for number in group]
        )
    return [group for group in groups if group]


def _selected(content: Table, numbers: Sequence[int]) -> Table:
    """Return a table with some of its columns."""
    of_column = [i for i, (_, count) in enumerate(content.spans) for _ in range(count)]
    spans: list[tuple[str, int]] = []
    for place, number in enumerate(numbers if content.spans else ()):
        if place and of_column[number] == of_column[numbers[place - 1]]:
            spans[-1] = spans[-1][0], spans[-1][1] + 1
        else:
            spans.append((content.spans[of_column[number]][0], 1))
    columns = tuple(content.columns[number] for number in numbers)
    rows = tuple(tuple(row[number] for number in numbers) for row in content.rows)
    return replace(content, columns=columns, rows=rows, spans=tuple(spans))


def _widths(content: Table, numbers: Sequence[int]) -> list[float]:
    """Return the width of columns with what separates them, in pt."""
    limit = _limit(content, numbers)
    return [min(_unbroken(content, number), limit) + 2 * SEPARATION for number in numbers]


def _limit(content: Table, numbers: Sequence[int]) -> float:
    """Return the width of columns whose lines are broken if they are longer, in pt."""
    widths = [_unbroken(content, number) + 2 * SEPARATION for number in numbers]
    for limit in LONGEST:
        if sum(min(width, limit + 2 * SEPARATION) for width in widths) <= PAGE:
            return limit
    return LONGEST[-1]


def _unbroken(content: Table, number: int) -> float:
    texts = [content.columns[number], *(row[number] for row in content.rows)]
    return max(map(_width, texts))


def _width(text: str) -> float:
    """Return an upper bound of the width of a text in pt."""
    return SIZE * sum(_WIDTHS.get(character, 0.57) for character in text)


def _environment(content: Table) -> str:
    numbers = range(len(content.columns))
    width = sum(_widths(content, numbers))
    for name, _ in content.spans:
        # A header may be wider than the columns below it.
        width = max(width, _width(name))
    name = "table" if width <= COLUMN else "table*"
    lines = [rf"\begin{{{name}}}", r"\centering", rf"\caption{{{tex(content.title)}}}"]
    lines += [r"\footnotesize", rf"\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"]
    limit = _limit(content, numbers)
    form = "".join(_form(content, number, limit) for number in numbers)
    lines += [rf"\begin{{tabular}}{{{form}}}", r"\toprule"]
    if any(name for name, _ in content.spans):
        lines += _spans(content)
    lines += [_row(content.columns), r"\midrule", *map(_row, content.rows)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\raggedright {tex(note)}" for note in content.notes]
    return "\n".join([*lines, rf"\end{{{name}}}"]) + "\n"


def _form(content: Table, number: int, limit: float) -> str:
    """Return the format of a column: lines are broken in columns of long texts."""
    if _unbroken(content, number) > limit:
        return rf">{{\raggedright\arraybackslash}}p{{{limit:g}pt}}"
    return "l" if number < content.left else "r"


def _row(texts: Sequence[str]) -> str:
    # The braces keep a leading bracket from being read as an option of the \\ before it.
    return "{}" + " & ".join(map(tex, texts)) + r" \\"


def _spans(content: Table) -> list[str]:
    headers, rules, start = [], [], 1
    for name, count in content.spans:
        headers.append(rf"\multicolumn{{{count}}}{{c}}{{{tex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return [" & ".join(headers) + r" \\", " ".join(rules)]
