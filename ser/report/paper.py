"""The paper's own table: systems by targets, published beside reproduced."""

from collections.abc import Iterator, Mapping

from ser.report.findings import Findings, published_of
from ser.report.scores import SCORES, Cell
from ser.report.tables import NAMES, NONE, Table, percent, spread

JOINED = {"pooled": "folds pooled", "fold_mean": "mean over folds"}


def main(found: Findings) -> Table:
    """Systems by targets, published beside reproduced, with chance below."""
    columns, spans = ["system"], [("", 1)]
    shown = {column: _shown(found, column) for column in found.columns}
    # As many digits as papers print, where there is something to compare with.
    digits = 2 if any(published for published, _ in shown.values()) else 1
    for column, (published, names) in shown.items():
        headers = [
            f"{NAMES[name]} {kind}"
            for name in names
            for kind in (["published", "reproduced"] if published else ["reproduced"])
        ]
        columns += headers
        spans.append((found.called(column), len(headers)))
    rows = []
    for system in found.systems:
        row = [system]
        for column, (published, names) in shown.items():
            for name in names:
                row += [_published(found, system, column, name)] if published else []
                row.append(_reproduced(found, system, column, name, digits))
        rows.append(tuple(row))
    rows.append(tuple(_guessing(found, shown, digits)))
    title = f"Scores in %, {_convention(found)}"
    return Table(title, tuple(columns), tuple(rows), 1, tuple(spans), tuple(_notes(found)))


def _shown(found: Findings, column: tuple[str, str]) -> tuple[bool, list[str]]:
    """Whether anything is published for a column, and which scores it shows."""
    published = [published_of(cell) for cell in found.cells if cell.column == column]
    names = {"ua", *(name for each in published for name in each if name in SCORES)}
    return any(published), [name for name in SCORES if name in names]


def _published(found: Findings, system: str, column: tuple[str, str], name: str) -> str:
    for cell in found.cells:
        if (cell.system, cell.column) == (system, column):
            told = published_of(cell)
            only = [score for score in SCORES if score in told] == [name]
            sd = told.get(f"{name}_sd", told.get("sd") if only or name == "ua" else None)
            if name in told:
                return f"{told[name]:.2f}" + ("" if sd is None else f" ± {sd:.2f}")
    return NONE


def _reproduced(
    found: Findings, system: str, column: tuple[str, str], name: str, digits: int
) -> str:
    for cell, summed in zip(found.cells, found.summaries, strict=True):
        if (cell.system, cell.column) == (system, column):
            if summed is None:
                return "no complete seed"
            joined = cell.joined
            text = spread(summed.mean(joined, name), summed.sd(joined, name), digits)
            few = len(cell.seeds) < cell.planned
            return f"{text} [{len(cell.seeds)}/{cell.planned}]" if few else text
    return NONE


def _guessing(
    found: Findings, shown: Mapping[tuple[str, str], tuple[bool, list[str]]], digits: int
) -> Iterator[str]:
    scores = {name for _, names in shown.values() for name in names}
    yield "guessing (UA), largest class (WA)" if "wa" in scores else "guessing"
    for column, (published, names) in shown.items():
        of_column = [summed for cell, summed in found.scored if cell.column == column]
        for name in names:
            key = {"ua": "chance_ua", "wa": "majority_wa"}.get(name)
            yield from [""] if published else []
            is_known = of_column and key
            yield percent(of_column[0].mean("pooled", str(key)), digits) if is_known else ""


def _convention(found: Findings) -> str:
    told = {f"{cell.part} part, {JOINED[cell.joined]}" for cell in found.cells}
    told |= set() if len(told) == 1 else {"which one is said below"}
    return " or ".join(sorted(told)) + ", mean ± standard deviation over seeds"


def _notes(found: Findings) -> Iterator[str]:
    for column in found.columns:
        yield from _support(found, column)
    if any(cell.missing for cell in found.cells):
        yield "[k/n]: k of n seeds have every fold, and count; what others lack is named below."
    conventions = {(cell.part, cell.joined) for cell in found.cells}
    if len(conventions) > 1:
        for cell in found.cells:
            yield f"{found.where(cell)}: {cell.part} part, {JOINED[cell.joined]}."
    yield from _folds(found)
    other = [c for c in found.cells if c.paper.get("published") and not published_of(c)]
    if any(cell.paper.get("corpus", cell.corpus) != cell.corpus for cell in other):
        yield "Published scores are of another corpus, and so not shown."
    keys = sorted({_paper(cell) for cell in found.cells if published_of(cell)})
    if keys:
        yield f"Published: {', '.join(keys)}."
    yield from dict.fromkeys(
        str(cell.paper["note"]) for cell in found.cells if cell.paper.get("note")
    )


def _paper(cell: Cell) -> str:
    table = cell.paper.get("table")
    return f"{cell.paper['key']}, table {table}" if table else str(cell.paper["key"])


def _support(found: Findings, column: tuple[str, str]) -> Iterator[str]:
    """What was tested: class counts, and what guessing would get."""
    told: dict[str, list[str]] = {}
    for cell, summed in found.scored:
        if cell.column == column:
            counts = zip(cell.classes, summed.support, strict=True)
            speakers = f" of {cell.speakers} speakers" if cell.speakers else ""
            text = f"{summed.utterances:,} utterances{speakers} in the {cell.part} part ("
            text += ", ".join(f"{name} {count:,}" for name, count in counts)
            text += f"); guessing gets UA {percent(summed.mean('pooled', 'chance_ua'))}, always "
            text += f"naming the largest class WA {percent(summed.mean('pooled', 'majority_wa'))}."
            told.setdefault(text, []).append(cell.system)
    for text, systems in told.items():
        whose = "" if len(told) == 1 else f", {', '.join(systems)}"
        yield f"{found.called(column)}{whose}: {text}"


def _folds(found: Findings) -> Iterator[str]:
    """Where a grid asks for some of the folds only."""
    told: dict[str, list[Cell]] = {}
    for cell in found.cells:
        there = {run.fold_count for run in cell.runs.values()}
        if there and len(cell.folds) < max(there):
            text = f"{len(cell.folds)} of {max(there)} folds are in this grid: scores are of them "
            told.setdefault(f"{text}alone.", []).append(cell)
    for text, cells in told.items():
        yield text if len(cells) == len(found.cells) else f"{found.named(cells)}: {text}"
