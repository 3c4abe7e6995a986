"""Tables and figures of a report, each built once for all documents."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ser.plots.svg import Figure
from ser.report import costs, paper, raters, robustness, tables, testing
from ser.report.cards import cards
from ser.report.cells import Cell
from ser.report.conclusion import Conclusion, conclusion
from ser.report.contrasts import KINDS
from ser.report.data import ReportData, missing, published_scores, remarks
from ser.report.figures import captions, curve
from ser.report.figures.confusion import confusion
from ser.report.figures.density import density
from ser.report.figures.dots import bounds, dots
from ser.report.figures.forest import forest
from ser.report.figures.layers import layers
from ser.report.figures.learning_curves import curves
from ser.report.figures.losses import losses
from ser.report.figures.reliability import reliability
from ser.report.figures.representations import (
    MOST,
    Example,
    about_runs,
    are_coloured,
    with_codes,
    with_losses,
    with_planes,
)
from ser.report.quality import quality
from ser.report.scores import Summary
from ser.report.scoring import titles
from ser.report.tables import Table

Titled = tuple[str, Figure]  # the figure of a cell and its title


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        caption: Text that belongs to it.
        png: Content of the file.
        columns: Number of systems side by side.
    """

    caption: str
    png: bytes
    columns: int

    @property
    def url(self) -> str:
        """The picture as a data URL, for self-contained pages."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Codes(Picture):
    """Codes of two values.

    Attributes:
        page: Interactive HTML page.
        points: The codes.
    """

    page: str
    points: pd.DataFrame


@dataclass(frozen=True)
class TSNE(Picture):
    """Codes of many values by t-SNE.

    Attributes:
        pdf: The same picture as PDF.
        numbers: Classes of nearest neighbours.
        table: The same numbers as text.
        points: The places of the drawn codes.
    """

    pdf: bytes
    numbers: pd.DataFrame
    table: Table
    points: pd.DataFrame


class Contents:
    """Tables and figures of a report.

    Attributes:
        data: Data of the report.
        main: Main table.
        scores: Tables of all scores by kind of target, and against the shares of raters.
        shares: The last of them; None if no run is scored by shares.
        recalls, slices: Tables by target.
        quality: Table of representations; None if there is none.
        measured, robustness: Scores on corrupted audio, and their table; None if there are none.
        main_tests: Table of the main tests; None if nothing is tested.
        other_tests: Tables of the secondary tests, by kind.
        power: How many speakers would show each difference, a sentence each.
        gaps: Table of gaps between groups of speakers; None if no run knows any.
        cards: What each system is.
        costs: Time by system; None if it is unknown.
        software: Code and libraries by system.
        remarks: Warnings that must be shown with the scores.
        missing: Runs that are not finished.
    """

    def __init__(self, data: ReportData) -> None:
        self.data = data
        self.main = paper.main(data)
        self.scores = [tables.scores(data, scoring) for scoring in data.scorings]
        self.shares = raters.table(data)
        self.scores += [] if self.shares is None else [self.shares]
        by_class = (tables.recalls(data, column) for column in data.columns)
        self.recalls = [table for table in by_class if table is not None]
        self.main_tests = testing.main(data)
        secondary = (testing.secondary(data, kind) for kind in KINDS)
        self.other_tests = [table for table in secondary if table is not None]
        self.power = [text for test in data.main_tests if (text := testing.power(data, test))]
        self.gaps = tables.gaps(data)
        sliced = (tables.sliced(data, column) for column in data.columns)
        self.slices = [table for table in sliced if table is not None]
        self.quality = quality(data)
        self.measured = robustness.robustness(data)
        self.robustness = robustness.table(data, self.measured)
        self.cards = cards(data)
        self.costs = costs.costs(data)
        self.software = costs.software(data)
        self.remarks = remarks(data)
        self.missing = missing(data)

    @property
    def about_tests(self) -> str:
        if not self.data.compares:
            return captions.NO_BASELINE
        if not self.data.tests:
            return captions.NOTHING_TO_TEST
        return captions.TESTED

    @cached_property
    def conclusion(self) -> Conclusion:
        return conclusion(self.data)

    # ---- figures of each target

    @cached_property
    def forest(self) -> list[Titled]:
        columns = self.data.columns
        drawn = ((self.data.column_name(column), forest(self.data, column)) for column in columns)
        return [(title, figure) for title, figure in drawn if figure is not None]

    @property
    def forest_title(self) -> str:
        return f"{titles(self.data.scorings)} of every system"

    @property
    def about_forest(self) -> str:
        notes = [captions.FOREST]
        if any(cell.missing for cell in self.data.cells):
            notes.append(captions.HOLLOW)
        if any(test.is_significant for test in self.data.main_tests):
            notes.append(captions.SHOWN)
        if any(published_scores(cell) for cell in self.data.cells):
            notes.append(captions.PUBLISHED)
        return " ".join([*notes, *([captions.CEILING] if self.data.has_ceiling else [])])

    # ---- figures of each cell

    @cached_property
    def curve(self) -> curve.Curve | None:
        return curve.curve(self.data)

    @property
    def curve_title(self) -> str:
        return f"Scores over {self.curve.option}" if self.curve else ""

    @cached_property
    def curve_figures(self) -> list[list[Titled]]:
        return curve.figures(self.curve) if self.curve else []

    @property
    def dots_title(self) -> str:
        return f"{titles(self.data.scorings)} by fold and seed"

    @property
    def about_dots(self) -> str:
        return f"{captions.DOTS} {captions.CEILING}" if self.data.has_ceiling else captions.DOTS

    @cached_property
    def dots(self) -> list[Titled]:
        scored = list(self.data.scored)
        limits = {
            column: bounds([pair for pair in scored if pair[0].column == column])
            for column in {cell.column for cell, _ in scored}
        }
        return [
            (self._title(c), dots(c, summed, limits[c.column], self._colour(c)))
            for c, summed in scored
        ]

    @cached_property
    def confusions(self) -> list[Titled]:
        return [
            (self._title(c), confusion(c, self._colour(c))) for c, _ in self._drawn("confusions")
        ]

    @cached_property
    def reliability(self) -> list[Titled]:
        drawn = self._drawn("reliability")
        return [(self._title(c), reliability(c, summed, self._colour(c))) for c, summed in drawn]

    @cached_property
    def density(self) -> list[Titled]:
        drawn = self._drawn("density")
        return [(self._title(c), density(c, summed, self._colour(c))) for c, summed in drawn]

    def _drawn(self, figure: str) -> Iterator[tuple[Cell, Summary]]:
        """Yield the cells whose kind of target has a figure."""
        for cell, summed in self.data.scored:
            if figure in cell.scoring.figures and cell.details(cell.part).any():
                yield cell, summed

    @cached_property
    def curves(self) -> list[Titled]:
        drawn = ((self._title(c), curves(c)) for c, _ in self.data.scored)
        return [(title, figure) for title, figure in drawn if figure is not None]

    @cached_property
    def layers(self) -> list[Titled]:
        drawn = ((self._title(c), layers(c)) for c, _ in self.data.scored)
        return [(title, figure) for title, figure in drawn if figure is not None]

    @property
    def about_layers(self) -> str:
        return captions.LAYERS.format(score=titles(self.data.scorings))

    def _title(self, cell: Cell) -> str:
        return self.data.cell_name(cell)

    def _colour(self, cell: Cell) -> int:
        return self.data.colour_of(cell.system)

    # ---- representations

    @cached_property
    def loss_examples(self) -> list[Example]:
        return with_losses(self.data)

    @cached_property
    def losses(self) -> list[Titled]:
        return [(self._title(each.cell), losses(each)) for each in self.loss_examples[:MOST]]

    @property
    def about_losses(self) -> str:
        return f"{captions.LOSSES} {about_runs(self.data, self.loss_examples)}"

    @cached_property
    def codes(self) -> Codes | None:
        examples = with_planes(self.data)
        if not examples:
            return None
        # Importing matplotlib takes seconds, and most grids have no such codes.
        from ser.report.figures.codes import (
            COLUMNS,
            about_prior,
            atlas,
            explorable,
            png,
            points,
        )

        atlases = [atlas(self.data, each) for each in examples[:MOST]]
        drawn = f"Drawn: {about_runs(self.data, examples)}"
        caption = " ".join(filter(None, [captions.CODES, about_prior(atlases), drawn]))
        columns = min(COLUMNS, len(atlases))
        page = explorable(self.data, atlases)
        return Codes(caption, png(atlases), columns, page, points(atlases))

    @cached_property
    def code_examples(self) -> list[Example]:
        """Codes for t-SNE in the order of the grid, like the columns of a paper's figure."""
        order = self.data.tsne
        examples = with_codes(self.data) if order else []
        return sorted(examples, key=lambda each: order.index(each.cell.system))

    @property
    def without_codes(self) -> str:
        """Which systems cannot be drawn by t-SNE; empty if all can or none was requested."""
        drawn = {id(each.cell) for each in self.code_examples}
        own = [c for c in self.data.cells if c.tested_on is None and are_coloured(c)]
        lacking = [c for c in own if id(c) not in drawn]
        if not self.data.tsne or not lacking:
            return ""
        return captions.NOT_CODED.format(self.data.cell_names(lacking))

    @cached_property
    def tsne(self) -> TSNE | None:
        if not self.code_examples:
            return None
        # As for `codes`.
        from ser.report.figures.neighbours import coded, frame, table
        from ser.report.figures.tsne import about, column, drawings, points

        data, drawn = self.data, [coded(each) for each in self.code_examples[:MOST]]
        is_single = len(data.columns) == 1
        cells = [each.example.cell for each in drawn]
        names = [cell.system if is_single else data.cell_name(cell) for cell in cells]
        columns = [column(name, each) for name, each in zip(names, drawn, strict=True)]
        caption = f"{about(columns)} Drawn: {about_runs(data, self.code_examples)}"
        png, pdf = drawings(columns)
        numbers = frame(drawn)
        as_text = table(data, numbers)
        return TSNE(caption, png, len(columns), pdf, numbers, as_text, points(columns))
