"""The tables of a leaderboard: the best systems, all systems, one corpus and target, an audit."""

from collections.abc import Iterator, Sequence

import numpy as np

from ser.benchmark.standings import Board, Entry, audit_of
from ser.report.tables import ONE_RATER, Table
from ser.report.text import NONE, p_value, percent


def summary(known: Sequence[Board]) -> Table:
    """Return the best system of each corpus and target."""
    rows = []
    for board in known:
        best, score = board.best, board.task.scoring.primary
        if best is None:
            rows.append((board.task.title, *[NONE] * 6))
            continue
        base = None if board.reference is None else board.entry(board.reference)
        rows.append(
            (
                board.task.title,
                short(best.system),
                f"{score.title} {_cell(board, best, arrow=False)}",
                NONE if base is None else score.text(base.score),
                _difference(board, best),
                score.text(board.task.chance),
                NONE if board.ceiling is None else score.text(board.ceiling),
            )
        )
    columns = (
        *("corpus: target", "best system", "score (95%)", "reference"),
        *("better than the reference", "chance", ONE_RATER),
    )
    notes = ("The best of many by test score is optimistic: look at how close the next ones are.",)
    return Table("The best systems", columns, tuple(rows), 2, notes=notes)


def short(system: str) -> str:
    """Return the name of a system for a table: model and features.

    Examples:
        >>> short("svm features=functionals")
        'svm functionals'
    """
    return system.replace(" features=", " ")


def _difference(board: Board, entry: Entry) -> str:
    """Return the test of an entry in words, e.g. "+5.2 (1.8 to 8.7), p 0.004"."""
    if entry.system == board.reference:
        return "is the reference"
    if entry.test is None:
        return NONE
    score, test = board.task.scoring.primary, entry.test
    p = p_value(entry.p_holm)
    ends = score.interval((test.low, test.high))
    shown = "" if entry.verdict else ", not shown"
    return f"{score.signed(test.difference)} ({ends}), p {p}{shown}"


def overview(known: Sequence[Board]) -> list[Table]:
    """Return the scores of all systems on all corpora and targets, classes and values apart."""
    tables = []
    for has_classes in (True, False):
        chosen = [b for b in known if bool(b.task.splits.classes) == has_classes]
        if not chosen:
            continue
        systems = dict.fromkeys(entry.system for board in chosen for entry in board.entries)
        rows = [
            (short(system), *(_cell(board, board.entry(system)) for board in chosen))
            for system in sorted(systems)
        ]
        score = chosen[0].task.scoring.primary
        rows.append(("chance", *(score.text(board.task.chance) for board in chosen)))
        if any(board.ceiling is not None for board in chosen):
            ceilings = (
                NONE if board.ceiling is None else score.text(board.ceiling) for board in chosen
            )
            rows.append((ONE_RATER, *ceilings))
        columns = ("system", *(board.task.title for board in chosen))
        notes = (
            "In brackets: 95% over speakers. Arrows: significantly higher (↑) or lower (↓) than "
            "the reference.",
        )
        tables.append(Table(f"{score.axis}", columns, tuple(rows), notes=notes))
    return tables


def _cell(board: Board, entry: Entry | None, *, arrow: bool = True) -> str:
    if entry is None or not len(entry.seeds):
        return "missing" if entry is None else entry.missing
    score = board.task.scoring.primary
    mark = {"higher": " ↑", "lower": " ↓", "": ""}[entry.verdict] if arrow else ""
    return f"{score.text(entry.score)} ({score.interval(entry.interval)}){mark}"


def standing(board: Board) -> Table:
    """Return all systems of a board, the best first."""
    score = board.task.scoring.primary
    rows = []
    for entry in board.entries:
        if not len(entry.seeds):
            rows.append((short(entry.system), entry.missing, *[NONE] * 6))
            continue
        test, difference = entry.test, NONE
        if entry.system == board.reference:
            difference = "reference"
        elif test is not None:
            ends = score.interval((test.low, test.high))
            difference = f"{score.signed(test.difference)} ({ends})"
        rows.append(
            (
                short(entry.system),
                score.text(entry.score),
                score.interval(entry.interval),
                score.text(entry.spread),
                difference,
                p_value(entry.p_holm) if test else NONE,
                f"{len(entry.seeds)}" + (f" ({entry.missing})" if entry.missing else ""),
                _cost(entry),
            )
        )
    columns = (
        *("system", score.title, "95% over speakers", "sd over seeds", "difference (95%)"),
        *("p (Holm)", "seeds", "seconds a run"),
    )
    return Table(board.task.title, columns, tuple(rows), notes=tuple(_notes(board)))


def _cost(entry: Entry) -> str:
    return f"{np.median(entry.seconds):.0f}" if entry.seconds else NONE


def _notes(board: Board) -> Iterator[str]:
    """Yield what belongs to the scores of a board: data, chance, raters, layers, cost."""
    task, score = board.task, board.task.scoring.primary
    ceiling = (
        ""
        if board.ceiling is None
        else f" {ONE_RATER.capitalize()} has {score.text(board.ceiling)}."
    )
    yield (
        f"{task.utterances:,} test utterances of {task.speakers} speakers, {len(task.folds)} "
        f"fold{'s' if len(task.folds) > 1 else ''} ({task.splits.fold}); chance "
        f"{score.text(task.chance)}.{ceiling}"
    )
    if board.reference is None:
        yield "The reference system has no score here, so nothing is tested."
    for system, other, test, p in board.pairs:
        yield (
            f"{short(system)} against {short(other)}: {score.signed(test.difference)} "
            f"({score.interval((test.low, test.high))}), p {p_value(p)}."
        )
    encoders = sorted({entry.encoder for entry in board.entries if entry.encoder})
    if encoders:
        yield f"Pretrained encoder: {', '.join(encoders)}."
    layers = sorted({layer for entry in board.entries for layer in entry.layers})
    if layers:
        yield f"Layers of the encoder that inner folds chose: {', '.join(map(str, layers))}."
    seconds = [each for entry in board.entries for each in entry.seconds]
    if seconds:
        yield f"All runs: {sum(seconds) / 3600:.1f} hours. Seconds a run: median."
    remarks = sorted(
        {
            remark
            for entry in board.entries
            for run in (entry.submission.runs if entry.submission else ())
            for remark in run.record.get("remarks") or ()
        }
    )
    yield from (f"Remark of the runs: {remark}." for remark in remarks)


def audit_table(board: Board) -> Table | None:
    """Return what predicts the label without listening to it; None: there is no audit."""
    audit = audit_of(board)
    if audit is None:
        return None
    baselines, findings = audit
    rows = tuple(
        (
            str(row["nuisance"]),
            percent(row["ua"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["chance"]),
            str(row["severity"]),
        )
        for row in baselines.fillna("").to_dict("records")
    )
    counts = findings["severity"].value_counts()
    found = ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items())
    serious = findings.loc[findings["severity"].isin(["fault", "warning"]), "text"]
    notes = (f"Findings: {found or 'none'}.", *map(str, serious))
    columns = ("nuisance", "UA", "95%", "chance", "finding")
    return Table("Audit: what predicts the label without it", columns, rows, notes=notes)


def commands(known: Sequence[Board]) -> list[tuple[str, str]]:
    """Return the command that trains the best system of each board."""
    listed = []
    for board in known:
        submission = None if board.best is None else board.best.submission
        overrides = () if submission is None else submission.facts.get("overrides") or ()
        if overrides:
            options = " ".join(f"'{each}'" if "[" in each else each for each in overrides)
            command = f"python train.py {options} fold.index=all seed={_seeds(board.best)}"
            listed.append((board.task.title, command))
    return listed


def _seeds(entry: Entry | None) -> str:
    runs = entry.submission.runs if entry is not None and entry.submission is not None else ()
    return ",".join(map(str, sorted({run.seed for run in runs})))
