"""Everything that a report tells, before it is put into tables and figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ser.report.comparisons import Contrast, own_interval
from ser.report.scores import Cell, Slice, Summary, slices, summary


@dataclass(frozen=True)
class Findings:
    """Everything that a report tells.

    Attributes:
        name: of the grid.
        planned: how many runs there should be, evaluations on other corpora not counted.
        cells: in the order of the table.
        baseline: a system; None: none is named.
        tests: of the others against it.
        tsne: systems whose codes of many values are to be drawn, in the order of the grid.
    """

    name: str
    planned: int
    cells: tuple[Cell, ...]
    baseline: str | None
    tests: tuple[Contrast, ...]
    tsne: tuple[str, ...] = ()

    @cached_property
    def systems(self) -> list[str]:
        return list(dict.fromkeys(cell.system for cell in self.cells))

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Corpora and targets, in the order of the first system that has each."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @cached_property
    def finished(self) -> int:
        return sum(len(cell.runs) for cell in self.cells if cell.tested_on is None)

    @cached_property
    def summaries(self) -> list[Summary | None]:
        """Of each cell, on the part that the main table shows."""
        return [summary(cell, cell.part) for cell in self.cells]

    @cached_property
    def intervals(self) -> list[tuple[float, float] | None]:
        """Of each cell's pooled UA, over speakers."""
        return [own_interval(cell) for cell in self.cells]

    @cached_property
    def rows(self) -> list[tuple[Cell, Summary | None, tuple[float, float] | None]]:
        """Cells with their scores and intervals, target by target."""
        made = zip(self.cells, self.summaries, self.intervals, strict=True)
        return sorted(made, key=lambda row: self.columns.index(row[0].column))

    def tested(self, kind: str) -> list[Contrast]:
        """The tests of one kind, target by target."""
        of_kind = (test for test in self.tests if test.kind == kind)
        return sorted(of_kind, key=lambda test: self.columns.index(test.cell.column))

    def of(self, column: tuple[str, str]) -> "Findings":
        """Those of one corpus and target; p stays corrected over all."""
        cells = tuple(cell for cell in self.cells if cell.column == column)
        tests = tuple(test for test in self.tests if test.cell.column == column)
        return replace(self, cells=cells, tests=tests)

    @cached_property
    def slices(self) -> list[Slice]:
        return [found for cell in self.cells for found in slices(cell)]

    @property
    def scored(self) -> Iterator[tuple[Cell, Summary]]:
        for cell, found in zip(self.cells, self.summaries, strict=True):
            if found is not None:
                yield cell, found

    def called(self, column: tuple[str, str]) -> str:
        """A column's name, as short as tells it from the others."""
        corpora = {corpus for corpus, _ in self.columns}
        return column[1] if len(corpora) == 1 else f"{column[0]} {column[1]}"

    def where(self, cell: Cell) -> str:
        """A cell's name in a sentence."""
        return f"{cell.system} on {self.called(cell.column)}"

    def named(self, cells: Sequence[Cell]) -> str:
        """Several cells' names in a sentence, as short as may be."""
        if len(cells) == len(self.cells):
            return "all systems"
        told = []
        for system in dict.fromkeys(cell.system for cell in cells):
            of_system = [cell for cell in cells if cell.system == system]
            everywhere = len(of_system) == sum(cell.system == system for cell in self.cells)
            told += [system] if everywhere else [self.where(cell) for cell in of_system]
        return ", ".join(told)

    @property
    def headline(self) -> str:
        corpora = ", ".join(dict.fromkeys(corpus for corpus, _ in self.columns))
        return f"{self.finished:,} of {self.planned:,} runs are finished; corpus: {corpora}"


def published_of(cell: Cell) -> Mapping[str, Any]:
    """What the cell's paper reports of it, in %; empty: nothing, or on another corpus."""
    if cell.paper.get("corpus", cell.corpus) != cell.corpus:
        return {}
    return (cell.paper.get("published") or {}).get(cell.target) or {}


def remarks(found: Findings) -> list[str]:
    """What must stand beside the scores, with the cells that each is about."""
    about: dict[str, list[Cell]] = {}
    for cell in found.cells:
        for remark in cell.remarks:
            about.setdefault(remark, []).append(cell)
    everyone = sum(1 for cell in found.cells if cell.runs)
    return [
        remark if len(cells) == everyone else f"{remark} ({found.named(cells)})"
        for remark, cells in about.items()
    ]


def missing(found: Findings) -> list[str]:
    """What is not finished, and where, e.g. "seed 2, folds 3, 7: aae on valence"."""
    about: dict[str, list[Cell]] = {}
    for cell in found.cells:
        for lacking in _lacking(cell):
            about.setdefault(lacking, []).append(cell)
    return [f"{lacking}: {found.named(cells)}" for lacking, cells in about.items()]


def _lacking(cell: Cell) -> Iterator[str]:
    by_folds: dict[tuple[int, ...], list[int]] = {}
    for seed, folds in cell.missing.items():
        by_folds.setdefault(folds, []).append(seed)
    for folds, seeds in by_folds.items():
        which = f"all {len(folds)} folds" if folds == cell.folds else _numbered("fold", folds)
        what = "" if cell.tested_on is None else " not yet given to python -m ser evaluate"
        yield f"{_numbered('seed', seeds)}, {which}{what}"


def _numbered(word: str, numbers: Sequence[int]) -> str:
    """Numbers in words, stretches of three and more shortened, e.g. "folds 0-4, 7"."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    told = [
        f"{each[0]}-{each[-1]}" if len(each) > 2 else ", ".join(map(str, each))
        for each in stretches
    ]
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(told)}"
