"""The documents of a report beside its page: Markdown, LaTeX and SVG files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ser.plots.svg import Figure, sheet
from ser.report.contents import Contents, Titled
from ser.report.figures import captions
from ser.report.latex import PREAMBLE, tex
from ser.report.latex import table as latex_table
from ser.report.render import markdown as markdown_table
from ser.report.render import md
from ser.report.tables import Table

# Files that only some reports have: scores over an option, representations.
FOREST = "forest.svg"
CURVE_FILES = CURVE, POINTS = ("curve.svg", "curve.csv")
LOSSES, CODES, EXPLORABLE = "losses.svg", "codes.png", "codes.html"
TSNE, TSNE_PDF, NEIGHBOURS = "tsne.png", "tsne.pdf", "neighbours.csv"
REPRESENTATION_FILES = (LOSSES, CODES, EXPLORABLE, TSNE, TSNE_PDF, NEIGHBOURS)
CODE_POINTS, TSNE_POINTS = "codes.csv", "tsne.csv"  # behind the pictures
ROBUSTNESS, LAYERS, GAPS = "robustness.csv", "layers.svg", "gaps.csv"
SHARES = "shares.csv"
# Files of one kind of target.
CONFUSIONS, RELIABILITY, DENSITY = "confusions.svg", "reliability.svg", "density.svg"
RECALLS = "recalls.csv"
KIND_FILES = (CONFUSIONS, RELIABILITY, RECALLS, DENSITY)
OPTIONAL_FIGURES = (CURVE, CONFUSIONS, RELIABILITY, DENSITY, LAYERS, LOSSES)
FIGURES = (FOREST, "dots.svg", "curves.svg", *OPTIONAL_FIGURES)
# The numbers behind figures.
DATA = (*(name.replace(".svg", ".csv") for name in OPTIONAL_FIGURES), CODE_POINTS, TSNE_POINTS)
DRAWN = tuple(name.replace("svg", kind) for name in FIGURES for kind in ("pdf", "png"))
_TABLES = (*REPRESENTATION_FILES, ROBUSTNESS, GAPS, SHARES)
OPTIONAL_FILES = tuple(dict.fromkeys((*CURVE_FILES, *KIND_FILES, LAYERS, *_TABLES, *DATA, *DRAWN)))

DENSITY_TITLE = "Predictions by true value"


@dataclass(frozen=True)
class Sheet:
    """The content of a file of figures.

    Attributes:
        title: Title of the figures.
        caption: Text that belongs to them.
        rows: Figures with their titles, a row per target.
    """

    title: str
    caption: str
    rows: Sequence[Sequence[tuple[str, Figure | None]]]


def markdown(contents: Contents) -> str:
    """Return all tables, with links to files of figures."""
    data, sheets = contents.data, _sheets(contents)
    parts = [f"# {md(data.name)}\n", f"{md(data.headline)}\n"]
    whole = contents.conclusion
    parts += [f"{md(' '.join((whole.compared, *whole.results, *whole.cautions)))}\n"]
    parts += [f"**{md(remark)}**\n" for remark in contents.remarks]
    parts += _figure(FOREST, sheets.pop(FOREST))
    parts += [markdown_table(contents.main, 2), *_figure(CURVE, sheets.pop(CURVE))]
    if contents.missing:
        lines = "\n".join(f"- {md(line)}" for line in contents.missing)
        parts += ["## Missing runs\n", f"Only complete seeds are counted.\n\n{lines}\n"]
    tables = [*contents.scores, *contents.recalls]
    parts += [markdown_table(table, 2) for table in tables]
    parts += ["## Tests\n", f"{md(contents.about_tests)}\n"]
    parts += map(markdown_table, _tests(contents)[:1])
    parts += (
        ["".join(f"- {md(sentence)}\n" for sentence in contents.power)] if contents.power else []
    )
    parts += map(markdown_table, _tests(contents)[1:])
    parts += [markdown_table(table, 2) for table in _optional(contents)]
    for name, drawn in sheets.items():
        parts += _figure(name, drawn)
    parts += _codes(contents)
    parts += ["## Slices\n", *map(markdown_table, contents.slices)] if contents.slices else []
    return "\n".join(parts)


def latex(contents: Contents) -> str:
    """Return all tables but slices, for a paper with the packages that the first line names."""
    remarks = [f"\\noindent\\textbf{{{tex(remark)}}}\\par\n" for remark in contents.remarks]
    tables = [contents.main, *contents.scores, *contents.recalls, *_tests(contents)]
    tables += _optional(contents)
    return "\n".join([PREAMBLE, *remarks, *map(latex_table, tables)])


def _tests(contents: Contents) -> list[Table]:
    """Return the tables of tests, the main one first."""
    main = [] if contents.main_tests is None else [contents.main_tests]
    return [*main, *contents.other_tests]


def _optional(contents: Contents) -> list[Table]:
    """Return the tables that only some reports have."""
    return [each for each in (contents.gaps, contents.robustness, contents.quality) if each]


def figures(contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield names and contents of SVG files: a row per target, a column per system or score."""
    for name, drawn in _sheets(contents).items():
        if any(drawn.rows) or name not in OPTIONAL_FILES:
            yield name, sheet(drawn.rows)


def drawn(figures: Mapping[str, str], formats: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of SVG figures in other formats.

    Args:
        figures: SVG by name, from `figures`.
        formats: "pdf", "png".
    """
    if not formats:
        return
    # Importing matplotlib takes a second.
    from ser.plots import drawing

    for name, svg in figures.items():
        for kind, content in drawing.files(svg, formats).items():
            yield name.replace("svg", kind), content


def pictures(contents: Contents) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of binary files."""
    if contents.codes:
        yield CODES, contents.codes.png
    if contents.tsne:
        yield from ((TSNE, contents.tsne.png), (TSNE_PDF, contents.tsne.pdf))


def _sheets(contents: Contents) -> dict[str, Sheet]:
    rows = _rows
    return {
        FOREST: Sheet(contents.forest_title, contents.about_forest, [contents.forest]),
        CURVE: Sheet(contents.curve_title, captions.CURVE, contents.curve_figures),
        "dots.svg": Sheet(contents.dots_title, contents.about_dots, rows(contents, contents.dots)),
        CONFUSIONS: Sheet(
            "Confusion matrices", captions.CONFUSIONS, rows(contents, contents.confusions)
        ),
        RELIABILITY: Sheet(
            "Reliability", captions.RELIABILITY, rows(contents, contents.reliability)
        ),
        DENSITY: Sheet(DENSITY_TITLE, captions.DENSITY, rows(contents, contents.density)),
        "curves.svg": Sheet("Learning curves", captions.CURVES, rows(contents, contents.curves)),
        LAYERS: Sheet(
            "Layers of the encoder", contents.about_layers, rows(contents, contents.layers)
        ),
        LOSSES: Sheet(
            "Losses of representations", contents.about_losses, rows(contents, contents.losses)
        ),
    }


def _rows(
    contents: Contents, drawn: Sequence[Titled]
) -> Sequence[Sequence[tuple[str, Figure | None]]]:
    data, figure_of = contents.data, dict(drawn)
    systems = {cell.system for cell in data.cells if data.cell_name(cell) in figure_of}
    return [
        [
            (data.cell_name(cell), figure_of.get(data.cell_name(cell)))
            for cell in data.cells
            if cell.column == column and cell.system in systems
        ]
        for column in data.columns
    ]


def _figure(name: str, drawn: Sheet) -> list[str]:
    """Return Markdown for a file of figures; nothing if it has none."""
    if not any(drawn.rows):
        return []
    title = md(drawn.title)
    return [f"## {title}\n", f"{md(drawn.caption)}\n", f"![{title}]({name})\n"]


def _codes(contents: Contents) -> Iterator[str]:
    """Yield Markdown for codes of representations."""
    if contents.codes:
        yield "## 2-D codes\n"
        yield f"{md(contents.codes.caption)}\n"
        yield f"![2-D codes]({CODES})\n"
        yield f"[{EXPLORABLE}]({EXPLORABLE}) is an interactive version with utterance names.\n"
    if contents.tsne or contents.without_codes:
        yield "## t-SNE of codes\n"
    if contents.without_codes:
        yield f"**{md(contents.without_codes)}**\n"
    if contents.tsne:
        yield f"{md(contents.tsne.caption)}\n"
        yield f"![t-SNE of codes]({TSNE})\n"
        yield f"[{TSNE_PDF}]({TSNE_PDF}) is the same picture.\n"
        yield markdown_table(contents.tsne.table)
