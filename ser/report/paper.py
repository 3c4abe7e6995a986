"""The main table, like that of the paper: systems by targets, published and reproduced scores."""

from collections.abc import Iterator, Mapping

from ser.report.cells import Cell
from ser.report.data import ReportData, published_scores
from ser.report.scores import Summary
from ser.report.scoring import Score
from ser.report.tables import ABOUT_RATER, ONE_RATER, Table
from ser.report.text import NONE

JOINED = {"pooled": "folds pooled", "fold_mean": "mean over folds"}

# By corpus and target: whether scores were published, and the scores that the table shows.
Layout = Mapping[tuple[str, str], tuple[bool, list[Score]]]


def main(data: ReportData) -> Table:
    """Return the main table; its last row is chance level."""
    columns, spans = ["system"], [("", 1)]
    layout = {column: _layout(data, column) for column in data.columns}
    # As many digits as papers report, if there is something to compare with.
    digits = 2 if any(is_published for is_published, _ in layout.values()) else 1
    for column, (is_published, scores) in layout.items():
        headers = [
            f"{score.title} {kind}"
            for score in scores
            for kind in (["published", "reproduced"] if is_published else ["reproduced"])
        ]
        columns += headers
        spans.append((data.column_name(column), len(headers)))
    rows = []
    for system in data.systems:
        row = [system]
        for column, (is_published, scores) in layout.items():
            for score in scores:
                row += [_published(data, system, column, score)] if is_published else []
                row.append(_reproduced(data, system, column, score, digits))
        rows.append(tuple(row))
    if data.has_ceiling:
        rows.append((ONE_RATER, *_ceilings(data, layout, digits)))
    rows.append(tuple(_chance(data, layout, digits)))
    title = f"{_scores(data)}, {_convention(data)}"
    return Table(title, tuple(columns), tuple(rows), 1, tuple(spans), tuple(_notes(data)))


def _scores(data: ReportData) -> str:
    """Return what the table shows: "Scores in %", or which of them are in %."""
    in_percent = [each.primary.title for each in data.scorings if each.primary.in_percent]
    if len(in_percent) == len(data.scorings):
        return "Scores in %"
    return f"Scores ({' and '.join(in_percent)} in %)" if in_percent else "Scores"


def _layout(data: ReportData, column: tuple[str, str]) -> tuple[bool, list[Score]]:
    published = [published_scores(cell) for cell in data.cells if cell.column == column]
    scoring = data.scoring(column)
    names = {scoring.primary.name, *(name for each in published for name in each)}
    return any(published), [score for score in scoring.scores if score.name in names]


def _published(data: ReportData, system: str, column: tuple[str, str], score: Score) -> str:
    for cell in data.cells:
        if (cell.system, cell.column) == (system, column):
            known, name = published_scores(cell), score.name
            is_only = [each.name for each in cell.scoring.scores if each.name in known] == [name]
            is_default = is_only or score is cell.scoring.primary
            sd = known.get(f"{name}_sd", known.get("sd") if is_default else None)
            if name in known:
                digits = 2 if score.in_percent else 3
                return f"{known[name]:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")
    return NONE


def _reproduced(
    data: ReportData, system: str, column: tuple[str, str], score: Score, digits: int
) -> str:
    for cell, summed in zip(data.cells, data.summaries, strict=True):
        if (cell.system, cell.column) == (system, column):
            if summed is None:
                return "no complete seed"
            text = summed.text(cell.joined, score.name, digits)
            is_partial = len(cell.seeds) < cell.planned
            return f"{text} [{len(cell.seeds)}/{cell.planned}]" if is_partial else text
    return NONE


def _chance(data: ReportData, layout: Layout, digits: int) -> Iterator[str]:
    names = {score.name for _, scores in layout.values() for score in scores}
    yield "chance (UA), majority class (WA)" if "wa" in names else "chance"
    for column, (is_published, scores) in layout.items():
        of_column = [summed for cell, summed in data.scored if cell.column == column]
        for score in scores:
            yield from [""] if is_published else []
            is_known = of_column and score.chance
            chance = of_column[0].mean("pooled", str(score.chance)) if is_known else None
            yield "" if chance is None else score.text(chance, digits)


def _ceilings(data: ReportData, layout: Layout, digits: int) -> Iterator[str]:
    for column, (is_published, scores) in layout.items():
        ceiling = data.ceiling(column)
        for score in scores:
            yield from [""] if is_published else []
            is_known = ceiling is not None and score is scores[0]
            yield score.text(float(ceiling or 0), digits) if is_known else ""


def _convention(data: ReportData) -> str:
    conventions = {f"{cell.part} split, {JOINED[cell.joined]}" for cell in data.cells}
    conventions |= set() if len(conventions) == 1 else {"see below"}
    return " or ".join(sorted(conventions)) + ", mean ± standard deviation over seeds"


def _notes(data: ReportData) -> Iterator[str]:
    for column in data.columns:
        yield from _support(data, column)
    if data.has_ceiling:
        yield ABOUT_RATER
    if any(cell.missing for cell in data.cells):
        yield "[k/n]: k of n seeds are complete and counted; missing runs are listed below."
    conventions = {(cell.part, cell.joined) for cell in data.cells}
    if len(conventions) > 1:
        for cell in data.cells:
            yield f"{data.cell_name(cell)}: {cell.part} split, {JOINED[cell.joined]}."
    yield from partial(data)
    other = [c for c in data.cells if c.paper.get("published") and not published_scores(c)]
    if any(cell.paper.get("corpus", cell.corpus) != cell.corpus for cell in other):
        yield "Published scores are not shown, because they are of another corpus."
    keys = sorted({_reference(cell) for cell in data.cells if published_scores(cell)})
    if keys:
        yield f"Published: {', '.join(keys)}."
    yield from dict.fromkeys(
        str(cell.paper["note"]) for cell in data.cells if cell.paper.get("note")
    )


def _reference(cell: Cell) -> str:
    table = cell.paper.get("table")
    return f"{cell.paper['key']}, table {table}" if table else str(cell.paper["key"])


def _support(data: ReportData, column: tuple[str, str]) -> Iterator[str]:
    """Yield what the tested utterances are, e.g. class counts, and chance level."""
    systems_of: dict[str, list[str]] = {}
    for cell, summed in data.scored:
        if cell.column == column:
            speakers = f" of {cell.speakers} speakers" if cell.speakers else ""
            text = f"{summed.utterances:,} utterances{speakers} in the {cell.part} split ("
            text += cell.scoring.spelled(summed.truth) + ")" + _repeated(summed)
            text += f"; {cell.scoring.chance_spelled(summed.chance)}."
            systems_of.setdefault(text, []).append(cell.system)
    for text, systems in systems_of.items():
        names = "" if len(systems_of) == 1 else f", {', '.join(systems)}"
        yield f"{data.column_name(column)}{names}: {text}"


def _repeated(summed: Summary) -> str:
    """Return how often utterances are predicted, if more than once per seed."""
    if summed.predictions == summed.utterances:
        return ""
    how = "several folds test the same utterance" if summed.overlap else "each by every fold"
    return f", predicted {summed.predictions:,} times with each seed: {how}"


def partial(data: ReportData) -> Iterator[str]:
    """Yield a note if a grid has only some of the folds."""
    cells_of: dict[str, list[Cell]] = {}
    for cell in data.cells:
        counts = {run.fold_count for run in cell.runs.values()}
        if counts and len(cell.folds) < max(counts):
            text = f"Scores are based on {len(cell.folds)} of {max(counts)} folds only."
            cells_of.setdefault(text, []).append(cell)
    for text, cells in cells_of.items():
        yield text if len(cells) == len(data.cells) else f"{data.cell_names(cells)}: {text}"
