"""What a report says, as tables of text: one content for the terminal, Markdown, LaTeX and HTML."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ser.report.comparisons import KINDS
from ser.report.findings import Findings, published_of
from ser.report.gather import COLUMNS
from ser.report.scores import SCORES, sample_sd

NONE = "-"
NAMES = {"ua": "UA", "wa": "WA", "f1": "F1"}
NO_SPEAKERS = (
    "no utterances.csv, which runs of an earlier version did not leave: neither slices nor a "
    "bootstrap over speakers; train again with force=true"
)


@dataclass(frozen=True)
class Table:
    """A table of text, in no markup.

    Attributes:
        title: of the table.
        columns: a header each.
        rows: as many texts each.
        left: how many columns, from the left, hold words rather than numbers.
        spans: headers above the columns, with how many each spans; empty: none.
        notes: sentences below it.
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
    """Mean and standard deviation, e.g. "76.0 ± 1.6"; the mean alone where there is no sd."""
    return percent(mean, digits) + ("" if np.isnan(sd) else f" ± {percent(sd, digits)}")


def p_value(p: float) -> str:
    return NONE if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def scores(found: Findings) -> Table:
    """Every score of every cell, with what guessing would get."""
    rows: list[tuple[str, ...]] = []
    for cell, summed, interval in found.rows:
        head = (found.called(cell.column), cell.system)
        seeds = f"{len(cell.seeds)} of {cell.planned}"
        if summed is None:
            rows.append((*head, *[NONE] * 10, seeds))
            continue
        names = (*SCORES, "ece")
        pooled = [spread(summed.mean("pooled", name), summed.sd("pooled", name)) for name in names]
        guessed = [percent(summed.mean("pooled", name)) for name in ("chance_ua", "majority_wa")]
        mean, folds = summed.mean("fold_mean", "ua"), summed.folds
        rows.append(
            (
                *head,
                pooled[0],
                NONE if interval is None else f"{percent(interval[0])} to {percent(interval[1])}",
                guessed[0],
                p_value(summed.p_guessing),
                *pooled[1:2],
                *guessed[1:],
                *pooled[2:],
                spread(mean, summed.sd("fold_mean", "ua")),
                f"{percent(folds.min())} to {percent(folds.max())}",
                seeds,
            )
        )
    columns = ["target", "system", "UA", "95% over speakers", "guessing UA", "p, guessing", "WA"]
    columns += ["largest class WA", "F1", "ECE", "UA, mean of folds", "folds from to", "seeds"]
    return Table(
        "All scores in %, folds pooled",
        tuple(columns),
        tuple(rows),
        2,
        notes=tuple(about_scores(found)),
    )


def recalls(found: Findings, column: tuple[str, str]) -> Table | None:
    """Recall of each class, published beside reproduced; None where nothing is complete."""
    there = [(cell, summed) for cell, summed in found.scored if cell.column == column]
    if not there:
        return None
    classes = there[0][0].classes
    printed = any("recall" in published_of(cell) for cell, _ in there)
    kinds = ["published", "reproduced"] if printed else [""]
    rows = []
    for cell, summed in there:
        row, known = [cell.system], published_of(cell).get("recall", {})
        for number, name in enumerate(classes):
            row += [f"{known[name]:.2f}" if name in known else NONE] if printed else []
            of_seeds = summed.recalls[cell.joined][:, number]
            row.append(spread(float(np.mean(of_seeds)), sample_sd(of_seeds), 2 if printed else 1))
        rows.append(tuple(row))
    return Table(
        f"Recall by class in %: {found.called(column)}",
        ("system", *(kind if printed else name for name in classes for kind in kinds)),
        tuple(rows),
        spans=(("", 1), *((name, 2) for name in classes)) if printed else (),
        notes=(
            "Of a class's utterances, the share told as it; mean ± standard deviation over seeds, "
            "folds joined as in the main table. UA is the mean of these.",
        ),
    )


def about_scores(found: Findings) -> Iterator[str]:
    """How to read the scores, and what is wrong with some."""
    yield (
        "± is the standard deviation over seeds: it tells what training again would change. The "
        "interval tells what other speakers would change, by a bootstrap over those tested; with "
        "few of them it is coarse. Folds: UA of each fold, mean over seeds. p, guessing: two-sided "
        "binomial test of UA, taken for a share of hits among the utterances of one seed, against "
        "what guessing gets; rough, as utterances of one speaker are not independent. ECE: by how "
        "much probabilities miss the share that is right, over 15 bins of the largest one; 0 is "
        "best, and few utterances raise it."
    )
    known = [
        (cell, summed, interval[0])
        for cell, summed, interval in found.rows
        if summed is not None and interval is not None
    ]
    lower = [c for c, s, low in known if low <= s.mean("pooled", "chance_ua")]
    if lower:
        yield f"Not shown to be above guessing (lower end of the interval): {found.named(lower)}."
    elif known:
        yield "The lower end of every interval lies above guessing."
    mute = [c for c in found.cells if c.seeds and not c.tells_speakers]
    if mute:
        yield f"{found.named(mute)}: {NO_SPEAKERS}."
    lacking = [
        cell for cell, _ in found.scored if (cell.confusions(cell.part)[0].sum(axis=2) == 0).any()
    ]
    if lacking:
        yield f"Some folds lack a class, which their UA leaves out: {found.named(lacking)}."


def tests(found: Findings, kind: str) -> Table:
    """The tests of one kind."""
    about = KINDS[kind]
    rows = []
    for test in found.tested(kind):
        head, told = (found.called(test.cell.column), test.cell.system), test.found
        if told is None:
            blank = [NONE] * (4 + bool(about.effect))
            rows.append((*head, *blank, test.n or NONE, test.verdict))
            continue
        effect = [NONE if told.effect is None else f"{told.effect:.2f}"] if about.effect else []
        rows.append(
            (
                *head,
                f"{100 * told.difference:+.1f}",
                f"{100 * told.low:+.1f} to {100 * told.high:+.1f}",
                *effect,
                p_value(told.p),
                p_value(test.p_holm),
                test.n,
                test.verdict,
            )
        )
    columns = ["target", "system", "difference", "95%"]
    columns += [about.effect] if about.effect else []
    columns += ["p", "p (Holm)", "n", f"than {found.baseline}"]
    title = f"Against {found.baseline}, {about.title}: difference in points of UA"
    note = about.how[0].upper() + about.how[1:] + "."
    return Table(title, tuple(columns), tuple(rows), 2, notes=(note,))


def sliced(found: Findings, column: tuple[str, str]) -> Table | None:
    """UA and WA of each system by gender, session, ...; None where no run tells any."""
    there = [each for each in found.slices if each.cell.column == column]
    if not there:
        return None
    systems = [name for name in found.systems if any(each.cell.system == name for each in there)]
    rows = []
    for by in COLUMNS:
        of_column = [each for each in there if each.column == by]
        for value in sorted({each.value for each in of_column}):
            found_here = {each.cell.system: each for each in of_column if each.value == value}
            first = next(iter(found_here.values()))
            cells = [
                f"{percent(found_here[s].ua)} / {percent(found_here[s].wa)}"
                if s in found_here
                else NONE
                for s in systems
            ]
            rows.append((by, value, f"{first.utterances:,}", str(first.classes), *cells))
    columns = ("by", "", "utterances", "classes", *systems)
    notes = ["UA / WA in %, mean over seeds. UA is over the classes that a slice has."]
    if any(row[0] == "text" for row in rows):
        notes.append("text: heard in training too, or new.")
    return Table(f"Slices: {found.called(column)}", columns, tuple(rows), 2, notes=tuple(notes))
