"""The report's documents: Markdown, LaTeX, one self-contained HTML page, and sheets of figures."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ser.report import figures, paper, tables
from ser.report.comparisons import KINDS
from ser.report.drawing import STYLE, Figure, sheet
from ser.report.findings import Findings, missing, remarks
from ser.report.render import latex, markdown, md, tex

TEMPLATE = Path(__file__).with_name("template.html")
ABOUT_DOTS = (
    "Each dot is a seed, each line a mean over seeds; on the right all folds pooled; dashed, "
    "where it is that low: guessing. Axes of one target are alike."
)
ABOUT_CONFUSIONS = (
    "Rows are the truth, columns what was told: share of the row in %, below it the count, summed "
    "over folds and complete seeds."
)
ABOUT_CURVES = (
    f"Means over the runs of complete seeds, bands from the {figures.BAND[0]}th to the "
    f"{figures.BAND[1]}th percentile, as far as half of the runs go."
)
NO_BASELINE = "No baseline is named, so nothing is tested: report.baseline=NAME names one."
TESTED = (
    "Intervals are of 95%. p (Holm) is corrected over all tests of its kind; where it is below "
    "0.05 the last column says higher or lower. The first two tests are those of papers; the other "
    "two are sounder: they take folds and speakers for what varies."
)

# A title and what is drawn of one cell.
Titled = tuple[str, Figure]


class Documents:
    """Everything that is written of some findings but CSV; tables and figures are made once."""

    def __init__(self, found: Findings) -> None:
        self.found = found
        self.main = paper.main(found)
        self.scores = tables.scores(found)
        kinds = KINDS if found.tests else ()
        self.tests = [tables.tests(found, kind) for kind in kinds]
        sliced = (tables.sliced(found, column) for column in found.columns)
        self.slices = [table for table in sliced if table is not None]

    @property
    def about_tests(self) -> str:
        if self.found.baseline is None:
            return NO_BASELINE
        return TESTED if self.found.tests else "There is nothing to test the baseline against."

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
    def curves(self) -> list[Titled]:
        drawn = ((self.found.where(c), figures.curves(c)) for c, _ in self.found.scored)
        return [(title, figure) for title, figure in drawn if figure is not None]

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
            scores=self.scores,
            about_tests=self.about_tests,
            tests=self.tests,
            about_dots=ABOUT_DOTS,
            dots=self.dots,
            about_confusions=ABOUT_CONFUSIONS,
            confusions=self.confusions,
            slices=self.slices,
            about_curves=ABOUT_CURVES,
            curves=self.curves,
        )

    def markdown(self) -> str:
        found = self.found
        parts = [f"# {md(found.name)}\n", f"{md(found.headline)}\n"]
        parts += [f"**{md(remark)}**\n" for remark in remarks(found)]
        parts += [markdown(self.main, 2)]
        if missing(found):
            lines = "\n".join(f"- {md(line)}" for line in missing(found))
            parts += ["## Missing runs\n", f"A seed counts only with every fold.\n\n{lines}\n"]
        parts += [markdown(self.scores, 2), "## Tests\n", f"{md(self.about_tests)}\n"]
        parts += map(markdown, self.tests)
        for name, (title, about, drawn) in self._sheets().items():
            if drawn:
                parts += [f"## {title}\n", f"{md(about)}\n", f"![{title}]({name})\n"]
        parts += ["## Slices\n", *map(markdown, self.slices)] if self.slices else []
        return "\n".join(parts)

    def latex(self) -> str:
        """The tables but slices; needs booktabs."""
        remarked = [f"\\noindent\\textbf{{{tex(remark)}}}\\par\n" for remark in remarks(self.found)]
        return "\n".join([*remarked, *map(latex, [self.main, self.scores, *self.tests])])

    def figures(self) -> Iterator[tuple[str, str]]:
        """Sheets by file name: a row a target, a column a system."""
        for name, (_, _, drawn) in self._sheets().items():
            titled = dict(drawn)
            rows = [
                [
                    (title, titled.get(title))
                    for cell in self.found.cells
                    if cell.column == column
                    for title in [self.found.where(cell)]
                ]
                for column in self.found.columns
            ]
            yield name, sheet(rows)

    def _sheets(self) -> dict[str, tuple[str, str, list[Titled]]]:
        return {
            "dots.svg": ("UA by fold and seed", ABOUT_DOTS, self.dots),
            "confusions.svg": ("Confusion matrices", ABOUT_CONFUSIONS, self.confusions),
            "curves.svg": ("Learning curves", ABOUT_CURVES, self.curves),
        }

    def _contents(self) -> Iterator[tuple[str, str]]:
        yield "main", "table"
        if missing(self.found):
            yield "missing", "missing runs"
        yield from (("scores", "all scores"), ("tests", "tests"))
        for name in ("dots", "confusions", "slices", "curves"):
            if getattr(self, name):
                yield name, {"dots": "folds and seeds", "curves": "learning curves"}.get(name, name)
