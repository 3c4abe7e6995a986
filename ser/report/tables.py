"""Tables of text: the same content for the terminal, Markdown, LaTeX and HTML."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ser.report.cells import Cell
from ser.report.counts import COLUMNS
from ser.report.data import ReportData, published_scores
from ser.report.scores import Summary, sample_sd
from ser.report.scoring import Scoring, titles
from ser.report.text import NONE, p_value, spread

NO_SPEAKERS = (
    "no utterances.csv, because the runs were made by an earlier version: neither slices nor a "
    "bootstrap over speakers; train again with force=true"
)
OVERLAP = (
    "some utterances are tested in more folds than others. Predictions are pooled as they are, and "
    "intervals over speakers draw all predictions of a speaker together."
)
OVERLAP_TESTS = (
    "Predictions of the same utterance in several folds are no sample of independent utterances, "
    "so there is neither p (chance) nor a test of proportions."
)
DEPENDENT = (
    "tested speakers are in the training split, too; intervals and tests over speakers hold for "
    "such speakers, not for new ones."
)
ONE_RATER = "one rater"
ABOUT_RATER = (
    "one rater: score of one rater against the others, on all utterances of the target, for the "
    "score of a system with folds pooled. A system is scored against all raters together, which "
    "are more reliable than one, so it can be better."
)
GAPS = (
    "Look for a p (Holm) below 0.05, and for wide intervals: where no gap is shown, one as large "
    "as the ends of its interval is still possible. Gap: score of the group minus the other's, "
    "folds pooled, mean over seeds; in brackets: number of speakers. More than two groups are "
    "compared with all others each. 95% and p: bootstrap over speakers, each group resampled "
    "separately (together where speakers are in both, e.g. of two languages), with Student's t. "
    "This assumes that the speakers of a group are an independent sample of such speakers, and "
    "takes the models as trained. p (Holm) is corrected over all gaps of this report. A gap does "
    "not tell its cause: groups may also differ in what they say, in recordings and in labels."
)


@dataclass(frozen=True)
class Table:
    """A table of plain text.

    Attributes:
        title: Title of the table.
        columns: Header of each column.
        rows: One text per column.
        left: Number of columns, from the left, that hold words rather than numbers.
        spans: Headers above the columns, with the number of columns each spans; may be empty.
        notes: Sentences below the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    spans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def headers(self) -> list[str]:
        """Header of each column in one line, with that above it."""
        above = [name for name, count in self.spans for _ in range(count)]
        return [
            f"{span} {name}".strip()
            for span, name in zip(above or [""] * len(self.columns), self.columns, strict=True)
        ]


def scores(data: ReportData, scoring: Scoring) -> Table:
    """Return all scores of all cells of one kind of target, and chance level."""
    rows: list[tuple[str, ...]] = []
    headers = _headers(scoring, data.has_ceiling)
    for cell, summed, interval in data.rows:
        if type(cell.scoring) is not type(scoring):
            continue
        texts = [NONE] * len(headers)
        if summed is not None:
            texts = _texts(cell, summed, interval, data.has_ceiling)
        seeds = f"{len(cell.seeds)} of {cell.planned}"
        rows.append((data.column_name(cell.column), cell.system, *texts, seeds))
    columns = ("target", "system", *headers, "seeds")
    unit = "All scores in %" if scoring.primary.in_percent else "All scores of values"
    notes = tuple(about_scores(data, scoring))
    return Table(f"{unit}, folds pooled", columns, tuple(rows), 2, notes=notes)


def _headers(scoring: Scoring, has_ceiling: bool) -> list[str]:
    headers = []
    for score in (*scoring.scores, *scoring.more):
        headers.append(score.title)
        headers += ["95% over speakers"] if score is scoring.primary else []
        headers += [ONE_RATER] if has_ceiling and score is scoring.primary else []
        headers += [score.chance_title] if score.chance_title else []
        if score is scoring.primary and scoring.has_proportions:
            headers.append("p (chance)")
    return [*headers, f"{scoring.primary.title}, mean of folds", "range of folds"]


def _texts(
    cell: Cell, summed: Summary, interval: tuple[float, float] | None, has_ceiling: bool
) -> list[str]:
    """Return a text for each of `_headers`."""
    scoring, texts = cell.scoring, []
    primary = scoring.primary
    for score in (*scoring.scores, *scoring.more):
        texts.append(summed.text("pooled", score.name))
        texts += [primary.interval(interval)] if score is primary else []
        if has_ceiling and score is primary:
            texts.append(NONE if cell.ceiling is None else score.text(cell.ceiling))
        texts += [score.text(summed.mean("pooled", name)) for name in score.own_chance]
        if score is primary and scoring.has_proportions:
            texts.append(p_value(summed.p_chance))
    low, high = (primary.text(each) for each in (summed.folds.min(), summed.folds.max()))
    return [*texts, summed.text("fold_mean", primary.name), f"{low} to {high}"]


def about_scores(data: ReportData, scoring: Scoring) -> Iterator[str]:
    """Yield notes on how to read all scores of a kind of target, and on limitations of some."""
    yield scoring.about
    yield from limitations(data, scoring)
    rows = [row for row in data.rows if type(row[0].scoring) is type(scoring)]
    scored = [(cell, summed) for cell, summed, _ in rows if summed is not None]
    if any(summed.overlap for _, summed in scored):
        yield OVERLAP_TESTS
    lacking = [cell for cell, _ in scored if scoring.lacks_class(cell.sums(cell.part)[0])]
    if lacking:
        yield f"Some folds lack a class, which their UA ignores: {data.cell_names(lacking)}."


def limitations(data: ReportData, scoring: Scoring) -> Iterator[str]:
    """Yield what limits the scores of some systems on a kind of target."""
    rows = [row for row in data.rows if type(row[0].scoring) is type(scoring)]
    known = [
        (cell, summed, interval[0])
        for cell, summed, interval in rows
        if summed is not None and interval is not None
    ]
    chance = str(scoring.primary.chance)
    lower = [c for c, s, low in known if low <= s.mean("pooled", chance)]
    if lower:
        names = data.cell_names(lower)
        yield f"Not shown to be above chance (lower end of the interval): {names}."
    elif known:
        of = "" if len(data.scorings) == 1 else f" of {scoring.primary.title}"
        yield f"The lower end of every interval{of} is above chance."
    scored = [(cell, summed) for cell, summed, _ in rows if summed is not None]
    if overlapping := [cell for cell, summed in scored if summed.overlap]:
        yield f"{data.cell_names(overlapping)}: {OVERLAP}"
    if dependent := [cell for cell, _ in scored if not cell.is_speaker_independent]:
        yield f"{data.cell_names(dependent)}: {DEPENDENT}"
    without = [cell for cell, _, _ in rows if cell.seeds and not cell.knows_speakers]
    if without:
        yield f"{data.cell_names(without)}: {NO_SPEAKERS}."


def recalls(data: ReportData, column: tuple[str, str]) -> Table | None:
    """Return the recall of each class, published and reproduced; None without any."""
    scored = [(cell, summed) for cell, summed in data.scored if cell.column == column]
    classes = data.scoring(column).classes
    if not scored or not classes:
        return None
    is_published = any("recall" in published_scores(cell) for cell, _ in scored)
    kinds = ["published", "reproduced"] if is_published else [""]
    rows = []
    for cell, summed in scored:
        row, known = [cell.system], published_scores(cell).get("recall", {})
        for number, name in enumerate(classes):
            row += [f"{known[name]:.2f}" if name in known else NONE] if is_published else []
            of_seeds = summed.recalls[cell.joined][:, number]
            digits = 2 if is_published else 1
            row.append(spread(float(np.mean(of_seeds)), sample_sd(of_seeds), digits))
        rows.append(tuple(row))
    return Table(
        f"Recall by class in %: {data.column_name(column)}",
        ("system", *(kind if is_published else name for name in classes for kind in kinds)),
        tuple(rows),
        spans=(("", 1), *((name, 2) for name in classes)) if is_published else (),
        notes=(
            "Share of the utterances of a class that are predicted as this class; mean ± standard "
            "deviation over seeds, folds joined as in the main table. With folds pooled, UA is the "
            "mean of the recalls.",
        ),
    )


def gaps(data: ReportData) -> Table | None:
    """Return the gaps between groups of speakers; None if no run knows any."""
    if not data.gaps:
        return None
    rows = []
    for gap in data.gaps:
        score, result = gap.cell.scoring.primary, gap.result
        sides = [
            text
            for name, count, value in zip(gap.groups, gap.speakers, gap.scores, strict=True)
            for text in (f"{name} ({count})", score.text(value))
        ]
        numbers = [score.signed(gap.scores[0] - gap.scores[1]), *[NONE] * 2]
        if result is not None:
            limits = f"{score.signed(result.low)} to {score.signed(result.high)}"
            numbers = [numbers[0], limits, p_value(gap.p_holm)]
        head = (data.column_name(gap.cell.column), gap.cell.system, gap.by)
        rows.append((*head, *sides, *numbers, gap.verdict))
    name = titles(data.scorings)
    columns = ["target", "system", "by", "group", name, "other group", name]
    columns += ["gap", "95%", "p (Holm)", f"{name} of the group is"]
    notes = [GAPS, *(each.about_gaps for each in data.scorings if each.about_gaps)]
    title = "Gaps between groups: are some speakers recognised worse?"
    return Table(title, tuple(columns), tuple(rows), 3, notes=tuple(notes))


def sliced(data: ReportData, column: tuple[str, str]) -> Table | None:
    """Return two scores of each system by gender, session, ...; None if no run knows any."""
    of_target = [each for each in data.slices if each.cell.column == column]
    if not of_target:
        return None
    systems = [s for s in data.systems if any(each.cell.system == s for each in of_target)]
    scoring, rows = data.scoring(column), []
    for by in COLUMNS:
        of_column = [each for each in of_target if each.column == by]
        for value in sorted({each.value for each in of_column}):
            of_value = {each.cell.system: each for each in of_column if each.value == value}
            first = next(iter(of_value.values()))
            cells = [of_value[s].text if s in of_value else NONE for s in systems]
            counts = [f"{first.utterances:,}", *([str(first.classes)] if scoring.classes else [])]
            rows.append((by, value or "(none)", *counts, *cells))
    counted = ("utterances", "classes") if scoring.classes else ("utterances",)
    notes = [scoring.about_slices]
    if any(row[0] == "text" for row in rows):
        notes.append("text: seen if the training split has the same text, else new.")
    title = f"Slices: {data.column_name(column)}"
    columns = ("by", "", *counted, *systems)
    return Table(title, columns, tuple(rows), 2, notes=tuple(notes))
