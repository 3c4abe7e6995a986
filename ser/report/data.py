"""All data of a report, before they are arranged in tables and figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ser.report.cells import Cell
from ser.report.comparisons import confidence_interval
from ser.report.contrasts import Contrast
from ser.report.gaps import Gap, gaps
from ser.report.provenance import DIRTY, UNKNOWN
from ser.report.recipes import Recipe
from ser.report.scores import Slice, Summary, slices, summary
from ser.report.scoring import Scoring


@dataclass(frozen=True)
class ReportData:
    """All data of a report.

    Attributes:
        name: Name of the grid.
        planned: Number of planned runs, without evaluations on other corpora.
        cells: Cells in the order of the table.
        compares: Whether a baseline or comparisons are named.
        tests: Tests of systems against their references.
        tsne: Systems whose codes of many values are drawn, in the order of the grid.
        formats: Files of figures beside SVG: "pdf", "png".
        recipes: How each planned system is made, by name.
        commands: How all runs are trained again, and reported on.
    """

    name: str
    planned: int
    cells: tuple[Cell, ...]
    compares: bool
    tests: tuple[Contrast, ...]
    tsne: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    @cached_property
    def systems(self) -> list[str]:
        return list(dict.fromkeys(cell.system for cell in self.cells))

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Corpora and targets, in the order of the first system that has each."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @cached_property
    def scorings(self) -> list[Scoring]:
        """One scoring of each kind of target, in the order of columns."""
        known = (self.scoring(column) for column in self.columns)
        return list({type(each): each for each in known}.values())

    def scoring(self, column: tuple[str, str]) -> Scoring:
        """Return the scoring of a corpus and target."""
        return next(cell.scoring for cell in self.cells if cell.column == column)

    @cached_property
    def finished(self) -> int:
        own = [cell for cell in self.cells if cell.tested_on is None]
        # A run of several tasks is in several cells.
        return len({run.planned.folder for cell in own for run in cell.runs.values()})

    @cached_property
    def summaries(self) -> list[Summary | None]:
        """Scores of each cell on the split that the main table shows."""
        return [summary(cell, cell.part) for cell in self.cells]

    @cached_property
    def intervals(self) -> list[tuple[float, float] | None]:
        """Confidence intervals of each cell's pooled primary score over speakers."""
        return [confidence_interval(cell) for cell in self.cells]

    @cached_property
    def rows(self) -> list[tuple[Cell, Summary | None, tuple[float, float] | None]]:
        """Cells with their scores and intervals, target by target."""
        rows = zip(self.cells, self.summaries, self.intervals, strict=True)
        return sorted(rows, key=lambda row: self.columns.index(row[0].column))

    @cached_property
    def slices(self) -> list[Slice]:
        return [each for cell in self.cells for each in slices(cell)]

    def ceiling(self, column: tuple[str, str]) -> float | None:
        """Return the score of one rater on a corpus and target; None if it is unknown."""
        known = (cell.ceiling for cell in self.cells if cell.column == column)
        return next((ceiling for ceiling in known if ceiling is not None), None)

    @property
    def has_ceiling(self) -> bool:
        return any(self.ceiling(column) is not None for column in self.columns)

    @cached_property
    def gaps(self) -> list[Gap]:
        """Gaps between groups of speakers, target by target."""
        return sorted(gaps(self.cells), key=lambda gap: self.columns.index(gap.cell.column))

    @property
    def scored(self) -> Iterator[tuple[Cell, Summary]]:
        """Cells that have scores."""
        for cell, scores in zip(self.cells, self.summaries, strict=True):
            if scores is not None:
                yield cell, scores

    @property
    def headline(self) -> str:
        corpora = ", ".join(dict.fromkeys(corpus for corpus, _ in self.columns))
        return f"{self.finished:,} of {self.planned:,} runs are finished; corpus: {corpora}"

    def tests_of(self, kind: str) -> list[Contrast]:
        """Return the tests of one kind, target by target, then pair by pair."""
        of_kind = (test for test in self.tests if test.kind == kind)
        return sorted(of_kind, key=lambda test: self.columns.index(test.cell.column))

    @cached_property
    def main_tests(self) -> list[Contrast]:
        """The tests that conclusions are drawn from, target by target, then pair by pair."""
        main = (test for test in self.tests if test.is_main)
        return sorted(main, key=lambda test: self.columns.index(test.cell.column))

    def colour_of(self, system: str) -> int:
        """Return the number of a system's colour, see `ser.plots.colours`."""
        return self.systems.index(system)

    def select(self, column: tuple[str, str]) -> "ReportData":
        """Return the data of one corpus and target; p stays corrected over all tests."""
        cells = tuple(cell for cell in self.cells if cell.column == column)
        tests = tuple(test for test in self.tests if test.cell.column == column)
        return replace(self, cells=cells, tests=tests)

    def column_name(self, column: tuple[str, str]) -> str:
        """Return the target, with the corpus if there are several."""
        corpora = {corpus for corpus, _ in self.columns}
        return column[1] if len(corpora) == 1 else f"{column[0]} {column[1]}"

    def cell_name(self, cell: Cell) -> str:
        return f"{cell.system} on {self.column_name(cell.column)}"

    def cell_names(self, cells: Sequence[Cell]) -> str:
        """List cells, by system alone where all cells of the system are meant."""
        if len(cells) == len(self.cells):
            return "all systems"
        names = []
        for system in dict.fromkeys(cell.system for cell in cells):
            of_system = [cell for cell in cells if cell.system == system]
            everywhere = len(of_system) == sum(cell.system == system for cell in self.cells)
            names += [system] if everywhere else [self.cell_name(cell) for cell in of_system]
        return ", ".join(names)


def published_scores(cell: Cell) -> Mapping[str, Any]:
    """Return the scores in % that the cell's paper reports; empty for another corpus."""
    if cell.paper.get("corpus", cell.corpus) != cell.corpus:
        return {}
    return (cell.paper.get("published") or {}).get(cell.target) or {}


def remarks(data: ReportData) -> list[str]:
    """Return warnings that must be shown with the scores, and the cells that they concern."""
    cells_of: dict[str, list[Cell]] = {}
    for cell in data.cells:
        for remark in cell.remarks:
            cells_of.setdefault(remark, []).append(cell)
    everyone = sum(1 for cell in data.cells if cell.runs)
    return [
        *(
            remark if len(cells) == everyone else f"{remark} ({data.cell_names(cells)})"
            for remark, cells in cells_of.items()
        ),
        *_mixtures(data),
    ]


def _mixtures(data: ReportData) -> Iterator[str]:
    """Yield a remark for each library, or the code, of which several versions made the runs."""
    cells_of: dict[str, dict[str, list[Cell]]] = {}
    own = [cell for cell in data.cells if cell.tested_on is None]
    for cell in own:
        made_by = [run.software.parts for run in cell.runs.values()]
        for name in dict.fromkeys(name for parts in made_by for name in parts):
            for version in sorted({parts.get(name, UNKNOWN) for parts in made_by}):
                cells_of.setdefault(name, {}).setdefault(version, []).append(cell)
    for name, by_version in cells_of.items():
        dirty = [version for version in by_version if version.endswith(DIRTY)]
        if len(by_version) > 1:
            what = "commits of the code" if name == "commit" else f"versions of {name}"
            listed = "; ".join(f"{v}: {data.cell_names(c)}" for v, c in sorted(by_version.items()))
            yield f"runs of different {what} are compared ({listed})"
        if dirty:
            yield f"runs were made with code that no commit has ({', '.join(sorted(dirty))})"


def missing(data: ReportData) -> list[str]:
    """List runs that are not finished, e.g. "seed 2, folds 3, 7: aae on valence"."""
    cells_of: dict[str, list[Cell]] = {}
    for cell in data.cells:
        for runs in _missing_runs(cell):
            cells_of.setdefault(runs, []).append(cell)
    return [f"{runs}: {data.cell_names(cells)}" for runs, cells in cells_of.items()]


def _missing_runs(cell: Cell) -> Iterator[str]:
    by_folds: dict[tuple[int, ...], list[int]] = {}
    for seed, folds in cell.missing.items():
        by_folds.setdefault(folds, []).append(seed)
    for folds, seeds in by_folds.items():
        which = f"all {len(folds)} folds" if folds == cell.folds else _numbered("fold", folds)
        what = "" if cell.tested_on is None else " not yet evaluated (python -m ser evaluate)"
        yield f"{_numbered('seed', seeds)}, {which}{what}"


def _numbered(word: str, numbers: Sequence[int]) -> str:
    """List numbers, three or more consecutive ones as a range, e.g. "folds 0-4, 7"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    listed = [
        f"{each[0]}-{each[-1]}" if len(each) > 2 else ", ".join(map(str, each)) for each in ranges
    ]
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(listed)}"
