"""Tables of text: the same content for the terminal, Markdown, LaTeX and HTML."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ser.report.contrasts import KINDS
from ser.report.counts import COLUMNS
from ser.report.data import ReportData, published_scores
from ser.report.scores import SCORES, sample_sd

NONE = "-"
NAMES = {"ua": "UA", "wa": "WA", "f1": "F1"}
NO_SPEAKERS = (
    "no utterances.csv, because the runs were made by an earlier version: neither slices nor a "
    "bootstrap over speakers; train again with force=true"
)
OVERLAP = (
    "some utterances are tested in more folds than others. Predictions are pooled as they are, and "
    "intervals over speakers draw all predictions of a speaker together. They are no sample of "
    "independent utterances, so there is neither p (chance) nor a test of proportions."
)
DEPENDENT = (
    "tested speakers are in the training split, too; intervals and tests over speakers hold for "
    "such speakers, not for new ones."
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


def percent(value: float, digits: int = 1) -> str:
    return NONE if np.isnan(value) else f"{100 * value:.{digits}f}"


def spread(mean: float, sd: float, digits: int = 1) -> str:
    """Format mean and standard deviation, e.g. "76.0 ± 1.6"; the mean alone if sd is NaN."""
    return percent(mean, digits) + ("" if np.isnan(sd) else f" ± {percent(sd, digits)}")


def p_value(p: float) -> str:
    return NONE if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def scores(data: ReportData) -> Table:
    """Return all scores of all cells, and chance level."""
    rows: list[tuple[str, ...]] = []
    for cell, summed, interval in data.rows:
        head = (data.column_name(cell.column), cell.system)
        seeds = f"{len(cell.seeds)} of {cell.planned}"
        if summed is None:
            rows.append((*head, *[NONE] * 10, seeds))
            continue
        names = (*SCORES, "ece")
        pooled = [spread(summed.mean("pooled", name), summed.sd("pooled", name)) for name in names]
        chance = [percent(summed.mean("pooled", name)) for name in ("chance_ua", "majority_wa")]
        mean, folds = summed.mean("fold_mean", "ua"), summed.folds
        rows.append(
            (
                *head,
                pooled[0],
                NONE if interval is None else f"{percent(interval[0])} to {percent(interval[1])}",
                chance[0],
                p_value(summed.p_chance),
                *pooled[1:2],
                *chance[1:],
                *pooled[2:],
                spread(mean, summed.sd("fold_mean", "ua")),
                f"{percent(folds.min())} to {percent(folds.max())}",
                seeds,
            )
        )
    columns = ["target", "system", "UA", "95% over speakers", "chance UA", "p (chance)", "WA"]
    columns += ["majority class WA", "F1", "ECE", "UA, mean of folds", "range of folds", "seeds"]
    return Table(
        "All scores in %, folds pooled",
        tuple(columns),
        tuple(rows),
        2,
        notes=tuple(about_scores(data)),
    )


def about_scores(data: ReportData) -> Iterator[str]:
    """Yield notes on how to read the scores, and on limitations of some."""
    yield (
        "±: standard deviation over seeds, the variation between repeated trainings. 95% over "
        "speakers: confidence interval by a bootstrap over the tested speakers, the variation "
        "between speakers; coarse for few speakers. Range of folds: lowest and highest UA of a "
        "fold, mean over seeds. p (chance): two-sided binomial test of UA against chance level, "
        "with UA treated as the share of correct predictions among the utterances of one seed; "
        "approximate, because utterances of one speaker are not independent, and not corrected for "
        "the number of systems. ECE: expected "
        "calibration error over 15 bins of the highest probability; 0 is best, and small samples "
        "increase it."
    )
    known = [
        (cell, summed, interval[0])
        for cell, summed, interval in data.rows
        if summed is not None and interval is not None
    ]
    lower = [c for c, s, low in known if low <= s.mean("pooled", "chance_ua")]
    if lower:
        names = data.cell_names(lower)
        yield f"Not shown to be above chance (lower end of the interval): {names}."
    elif known:
        yield "The lower end of every interval is above chance."
    if overlapping := [cell for cell, summed in data.scored if summed.overlap]:
        yield f"{data.cell_names(overlapping)}: {OVERLAP}"
    if dependent := [cell for cell, _ in data.scored if not cell.is_speaker_independent]:
        yield f"{data.cell_names(dependent)}: {DEPENDENT}"
    without = [c for c in data.cells if c.seeds and not c.knows_speakers]
    if without:
        yield f"{data.cell_names(without)}: {NO_SPEAKERS}."
    lacking = [
        cell for cell, _ in data.scored if (cell.confusions(cell.part)[0].sum(axis=2) == 0).any()
    ]
    if lacking:
        yield f"Some folds lack a class, which their UA ignores: {data.cell_names(lacking)}."


def recalls(data: ReportData, column: tuple[str, str]) -> Table | None:
    """Return the recall of each class, published and reproduced; None without scores."""
    scored = [(cell, summed) for cell, summed in data.scored if cell.column == column]
    if not scored:
        return None
    classes = scored[0][0].classes
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


def tests(data: ReportData, kind: str) -> Table:
    """Return the tests of one kind."""
    about = KINDS[kind]
    rows = []
    for test in data.tests_of(kind):
        head = (data.column_name(test.cell.column), test.cell.system, test.reference.system)
        result = test.result
        if result is None:
            blank = [NONE] * (4 + bool(about.effect))
            rows.append((*head, *blank, test.n or NONE, test.verdict))
            continue
        effect = [NONE if result.effect is None else f"{result.effect:.2f}"] if about.effect else []
        rows.append(
            (
                *head,
                f"{100 * result.difference:+.1f}",
                f"{100 * result.low:+.1f} to {100 * result.high:+.1f}",
                *effect,
                p_value(result.p),
                p_value(test.p_holm),
                test.n,
                test.verdict,
            )
        )
    columns = ["target", "system", "reference", "difference", "95%"]
    columns += [about.effect] if about.effect else []
    columns += ["p", "p (Holm)", "n", "than the reference"]
    title = f"System - reference, {about.title}: difference in points of UA"
    note = about.description[0].upper() + about.description[1:] + "."
    return Table(title, tuple(columns), tuple(rows), 3, notes=(note,))


def sliced(data: ReportData, column: tuple[str, str]) -> Table | None:
    """Return UA and WA of each system by gender, session, ...; None if no run knows any."""
    of_target = [each for each in data.slices if each.cell.column == column]
    if not of_target:
        return None
    systems = [s for s in data.systems if any(each.cell.system == s for each in of_target)]
    rows = []
    for by in COLUMNS:
        of_column = [each for each in of_target if each.column == by]
        for value in sorted({each.value for each in of_column}):
            of_value = {each.cell.system: each for each in of_column if each.value == value}
            first = next(iter(of_value.values()))
            cells = [
                f"{percent(of_value[s].ua)} / {percent(of_value[s].wa)}" if s in of_value else NONE
                for s in systems
            ]
            rows.append(
                (by, value or "(none)", f"{first.utterances:,}", str(first.classes), *cells)
            )
    columns = ("by", "", "utterances", "classes", *systems)
    notes = ["UA / WA in %, mean over seeds. UA is over the classes that occur in a slice."]
    if any(row[0] == "text" for row in rows):
        notes.append("text: seen if the training split has the same text, else new.")
    return Table(f"Slices: {data.column_name(column)}", columns, tuple(rows), 2, notes=tuple(notes))
