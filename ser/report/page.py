"""The report's documents: Markdown, LaTeX, one self-contained HTML page, and sheets of figures."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from ser.plots.svg import STYLE, Figure, sheet
from ser.report import paper, tables
from ser.report.comparisons import KINDS
from ser.report.figures import captions, curve
from ser.report.figures import panels as figures
from ser.report.figures.reliability import reliability
from ser.report.figures.representations import (
    MOST,
    Shown,
    losses,
    which,
    with_losses,
    with_many,
    with_planes,
)
from ser.report.findings import Findings, missing, remarks
from ser.report.render import latex, markdown, md, tex
from ser.report.tables import Table

TEMPLATE = Path(__file__).with_name("template.html")
# Written only where a run has such a representation, a grid sweeps a number, or says so.
TSNE, TSNE_PDF, NEIGHBOURS = "tsne.png", "tsne.pdf", "neighbours.csv"
LOSSES, CODES, EXPLORABLE = "losses.svg", "codes.png", "codes.html"
REPRESENTATIONS = (LOSSES, CODES, EXPLORABLE, TSNE, TSNE_PDF, NEIGHBOURS)
SWEPT = CURVE, POINTS = ("curve.svg", "curve.csv")
SOMETIMES = (*SWEPT, *REPRESENTATIONS)
CALLED = {
    "dots": "folds and seeds",
    "curves": "learning curves",
    "codes": "2-D codes",
    "tsne": "t-SNE",
}

# A title and what is drawn below it, of one cell.
Titled = tuple[str, Figure]
# What a file of figures shows, and where.
Sheet = Sequence[Sequence[tuple[str, Figure | None]]]


@dataclass(frozen=True)
class Pictured:
    """What stands beside a PNG, the PNG, and how many maps are abreast in it."""

    about: str
    picture: bytes
    abreast: int

    @property
    def url(self) -> str:
        """Of the picture, within a page that needs nothing beside it."""
        return "data:image/png;base64," + base64.b64encode(self.picture).decode()


@dataclass(frozen=True)
class Codes(Pictured):
    """Codes of two values, and a page to explore them."""

    page: str


@dataclass(frozen=True)
class Embedded(Pictured):
    """Codes of many values by t-SNE: the same as PDF, and who lies near whom."""

    pdf: bytes
    numbers: pd.DataFrame
    table: Table


class Documents:
    """Everything that is written of some findings but CSV; tables and figures are made once."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.main = paper.main(found)
        self.scores = tables.scores(found)
        by_class = (tables.recalls(found, column) for column in found.columns)
        self.recalls = [table for table in by_class if table is not None]
        kinds = KINDS if found.tests else ()
        self.tests = [tables.tests(found, kind) for kind in kinds]
        sliced = (tables.sliced(found, column) for column in found.columns)
        self.slices = [table for table in sliced if table is not None]

    @property
    def about_tests(self) -> str:
        if self.found.baseline is None:
            return captions.NO_BASELINE
        return (
            captions.TESTED
            if self.found.tests
            else "There is nothing to test the baseline against."
        )

    @cached_property
    def curve(self) -> curve.Curve | None:
        return curve.curve(self.found)

    @property
    def curve_title(self) -> str:
        return f"Scores over {self.curve.option}" if self.curve else ""

    @cached_property
    def swept(self) -> list[list[Titled]]:
        return curve.figures(self.curve) if self.curve else []

    @cached_property
    def dots(self) -> list[Titled]:
        scored = list(self.found.scored)
        limits = {
            column: figures.bounds([pair for pair in scored if pair[0].column == column])
            for column in {cell.column for cell, _ in scored}
        }
        return [
            (self.found.where(cell), figures.dots(cell, summed, limits[cell.column]))
            for cell, summed in scored
        ]

    @cached_property
    def confusions(self) -> list[Titled]:
        return [(self.found.where(c), figures.confusion(c)) for c, _ in self.found.scored]

    @cached_property
    def reliability(self) -> list[Titled]:
        return [(self.found.where(c), reliability(c, summed)) for c, summed in self.found.scored]

    @cached_property
    def curves(self) -> list[Titled]:
        drawn = ((self.found.where(c), figures.curves(c)) for c, _ in self.found.scored)
        return [(title, figure) for title, figure in drawn if figure is not None]

    @cached_property
    def trained(self) -> list[Shown]:
        return with_losses(self.found)

    @cached_property
    def losses(self) -> list[Titled]:
        return [(self.found.where(each.cell), losses(each)) for each in self.trained[:MOST]]

    @property
    def about_losses(self) -> str:
        return f"{captions.LOSSES} {which(self.found, self.trained)}"

    @cached_property
    def codes(self) -> Codes | None:
        shown = with_planes(self.found)
        if not shown:
            return None
        # It takes five seconds, and most grids have no such codes.
        from ser.report.figures.codes import ABREAST, about_prior, atlas, explorable, png

        atlases = [atlas(self.found, each) for each in shown[:MOST]]
        told = [captions.CODES, about_prior(atlases), f"Drawn: {which(self.found, shown)}"]
        about = " ".join(filter(None, told))
        abreast = min(ABREAST, len(atlases))
        return Codes(about, png(atlases), abreast, explorable(self.found, atlases))

    @cached_property
    def coded(self) -> list[Shown]:
        """As a figure of a paper has its columns: in the order of the grid, not of a table."""
        order = self.found.tsne
        there = with_many(self.found) if order else []
        return sorted(there, key=lambda each: order.index(each.cell.system))

    @property
    def without_codes(self) -> str:
        """Whose codes should be drawn and cannot be; empty: nobody's."""
        there = {id(each.cell) for each in self.coded}
        lacking = [c for c in self.found.cells if id(c) not in there and c.tested_on is None]
        if not self.found.tsne or not lacking:
            return ""
        return captions.NOT_CODED.format(self.found.named(lacking))

    @cached_property
    def tsne(self) -> Embedded | None:
        if not self.coded:
            return None
        # As of `codes`.
        from ser.report.figures.neighbours import coded, frame, table
        from ser.report.figures.tsne import about, column, drawings

        found, drawn = self.found, [coded(each) for each in self.coded[:MOST]]
        one = len(found.columns) == 1
        named = [each.shown.cell.system if one else found.where(each.shown.cell) for each in drawn]
        columns = [column(name, each) for name, each in zip(named, drawn, strict=True)]
        told = [about(columns), f"Drawn: {which(found, self.coded)}"]
        png, pdf = drawings(columns)
        numbers = frame(drawn)
        return Embedded(" ".join(told), png, len(columns), pdf, numbers, table(found, numbers))

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Pictures that are no text, by file name."""
        if self.codes:
            yield CODES, self.codes.picture
        if self.tsne:
            yield from ((TSNE, self.tsne.picture), (TSNE_PDF, self.tsne.pdf))

    def html(self) -> str:
        environment = Environment(
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        return environment.from_string(TEMPLATE.read_text()).render(
            found=self.found,
            style=STYLE,
            remarks=remarks(self.found),
            contents=list(self._contents()),
            main=self.main,
            missing=missing(self.found),
            curve_title=self.curve_title,
            about_curve=captions.CURVE,
            swept=self.swept,
            scores=self.scores,
            recalls=self.recalls,
            about_tests=self.about_tests,
            tests=self.tests,
            about_dots=captions.DOTS,
            dots=self.dots,
            about_confusions=captions.CONFUSIONS,
            confusions=self.confusions,
            about_reliability=captions.RELIABILITY,
            reliability=self.reliability,
            slices=self.slices,
            about_curves=captions.CURVES,
            curves=self.curves,
            about_losses=self.about_losses,
            losses=self.losses,
            codes=self.codes,
            explorable=EXPLORABLE,
            tsne=self.tsne,
            without_codes=self.without_codes,
            tsne_pdf=TSNE_PDF,
        )

    def markdown(self) -> str:
        found = self.found
        parts = [f"# {md(found.name)}\n", f"{md(found.headline)}\n"]
        parts += [f"**{md(remark)}**\n" for remark in remarks(found)]
        sheets = self._sheets()
        parts += [markdown(self.main, 2), *_drawn(CURVE, sheets.pop(CURVE))]
        if missing(found):
            lines = "\n".join(f"- {md(line)}" for line in missing(found))
            parts += ["## Missing runs\n", f"A seed counts only with every fold.\n\n{lines}\n"]
        parts += [markdown(self.scores, 2), *(markdown(table, 2) for table in self.recalls)]
        parts += ["## Tests\n", f"{md(self.about_tests)}\n"]
        parts += map(markdown, self.tests)
        for name, told in sheets.items():
            parts += _drawn(name, told)
        if self.codes:
            parts += ["## 2-D codes\n", f"{md(self.codes.about)}\n", f"![2-D codes]({CODES})\n"]
            parts += [f"[{EXPLORABLE}]({EXPLORABLE}) tells which point is which utterance.\n"]
        if self.tsne or self.without_codes:
            parts += ["## t-SNE of codes\n"]
        parts += [f"**{md(self.without_codes)}**\n"] if self.without_codes else []
        if self.tsne:
            parts += [f"{md(self.tsne.about)}\n", f"![t-SNE of codes]({TSNE})\n"]
            parts += [f"[{TSNE_PDF}]({TSNE_PDF}) is the same.\n", markdown(self.tsne.table)]
        parts += ["## Slices\n", *map(markdown, self.slices)] if self.slices else []
        return "\n".join(parts)

    def latex(self) -> str:
        """The tables but slices; needs booktabs."""
        remarked = [f"\\noindent\\textbf{{{tex(remark)}}}\\par\n" for remark in remarks(self.found)]
        return "\n".join(
            [*remarked, *map(latex, [self.main, self.scores, *self.recalls, *self.tests])]
        )

    def figures(self) -> Iterator[tuple[str, str]]:
        """Sheets by file name: a row a target, a column a system or score."""
        for name, (_, _, rows) in self._sheets().items():
            if any(rows) or name not in SOMETIMES:
                yield name, sheet(rows)

    def _rows(self, drawn: Sequence[Titled]) -> Sheet:
        titled, where = dict(drawn), self.found.where
        systems = {cell.system for cell in self.found.cells if where(cell) in titled}
        return [
            [
                (where(cell), titled.get(where(cell)))
                for cell in self.found.cells
                if cell.column == column and cell.system in systems
            ]
            for column in self.found.columns
        ]

    def _sheets(self) -> dict[str, tuple[str, str, Sheet]]:
        rows = self._rows
        return {
            CURVE: (self.curve_title, captions.CURVE, self.swept),
            "dots.svg": ("UA by fold and seed", captions.DOTS, rows(self.dots)),
            "confusions.svg": ("Confusion matrices", captions.CONFUSIONS, rows(self.confusions)),
            "reliability.svg": ("Reliability", captions.RELIABILITY, rows(self.reliability)),
            "curves.svg": ("Learning curves", captions.CURVES, rows(self.curves)),
            LOSSES: ("Losses of representations", self.about_losses, rows(self.losses)),
        }

    def _contents(self) -> Iterator[tuple[str, str]]:
        yield "main", "table"
        if self.curve:
            yield "curve", f"over {self.curve.option}"
        if missing(self.found):
            yield "missing", "missing runs"
        yield from (("scores", "all scores"), ("recalls", "recalls"), ("tests", "tests"))
        names = ("dots", "confusions", "reliability", "slices", "curves", "losses", "codes", "tsne")
        for name in names:
            if getattr(self, name):
                yield name, CALLED.get(name, name)


def _drawn(name: str, told: tuple[str, str, Sheet]) -> list[str]:
    """A file of figures in Markdown; nothing where nothing is drawn."""
    title, about, rows = told
    return [f"## {md(title)}\n", f"{md(about)}\n", f"![{md(title)}]({name})\n"] if any(rows) else []
