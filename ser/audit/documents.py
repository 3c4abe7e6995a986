"""The documents of an audit: a self-contained HTML page, Markdown and CSV files, the terminal."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ser.audit import result
from ser.audit.figure import figure
from ser.audit.findings import NAMED, SEVERITIES, Finding, count
from ser.audit.result import Audit
from ser.plots.jinja import render
from ser.plots.page import page_style, table_html
from ser.plots.svg import sheet
from ser.report.render import markdown as markdown_table
from ser.report.render import md
from ser.report.tables import Table
from ser.results import csv_text, write_text

FIGURE = "baselines.svg"
CAPTION = (
    "UA in % from each nuisance variable alone: a dot with its 95% interval, orange where it is a "
    "fault or a warning; dashed: chance level."
)
STYLES = {"fault": "red", "warning": "yellow", "remark": "dim"}
PRINTED = 10  # findings of one severity


def write(audit: Audit, out: Path) -> None:
    """Write all files of an audit, each atomically."""
    files = {
        "index.html": html(audit),
        "audit.md": markdown(audit),
        FIGURE: sheet([[("UA from nuisance variables", figure(audit))]]),
        **{f"{name}.csv": csv_text(frame, "%.6g") for name, frame in result.frames(audit).items()},
    }
    for name, content in files.items():
        write_text(out / name, content)


def html(audit: Audit) -> str:
    """Return the page."""
    return render(
        "ser.audit",
        "audit.html",
        audit=audit,
        outcome=outcome(audit),
        sections=[(severity, found) for severity, found in _findings(audit) if found],
        main=result.baseline_table(audit),
        tables=list(_tables(audit)),
        figure=figure(audit),
        caption=CAPTION,
        style=page_style(),
        draw=table_html,
    )


def markdown(audit: Audit) -> str:
    """Return all tables, with a link to the figure."""
    parts = [f"# Audit: {md(audit.headline)}\n", f"**{md(outcome(audit))}** {md(audit.verdict)}\n"]
    for severity, findings in _findings(audit):
        if findings:
            parts.append(f"## {severity.capitalize()}s\n")
            parts.append("".join(f"- {md(each.text)}\n" for each in findings))
    main = markdown_table(result.baseline_table(audit), 2)
    parts += [main, f"{md(CAPTION)}\n", f"![UA from nuisance variables]({FIGURE})\n"]
    parts += [markdown_table(table, 2) for table in _tables(audit)]
    parts += [f"Made by `python -m ser {audit.command}`.\n"]
    return "\n".join(parts)


def show(audit: Audit, out: Path, console: Console) -> None:
    """Print the verdict, the scores, the findings and the paths of the files."""
    _print(console, audit.headline, "bold")
    style = STYLES["fault"] if audit.has_fault else "green"
    _print(console, f"{outcome(audit)} {audit.verdict}", style)
    main = result.baseline_table(audit)
    table = RichTable(box=None, header_style="bold", title=Text(main.title), title_justify="left")
    for number, name in enumerate(main.columns):
        table.add_column(name, justify="left" if number < main.left else "right", overflow="fold")
    for row in main.rows:
        table.add_row(*map(Text, row), style=STYLES.get(row[main.columns.index(result.SEVERITY)]))
    console.print()
    console.print(table)
    for note in main.notes:
        _print(console, note, "dim")
    console.print()
    for severity, findings in _findings(audit):
        in_verdict = NAMED if severity == "fault" else 0
        for each in findings[in_verdict:PRINTED]:
            _print(console, f"{severity}: {each.text}", STYLES[severity])
        if len(findings) > PRINTED:
            more = count(len(findings) - PRINTED, f"more {severity}")
            _print(console, f"{more}: see {out / 'audit.md'}", STYLES[severity])
    copies = count(len(audit.copies), "pair")
    _print(console, f"Utterances with the same audio: {copies}")
    _print(console, f"Results: {out}; open {out / 'index.html'}")


def outcome(audit: Audit) -> str:
    """Return "Not passed." or "Passed."."""
    return "Not passed." if audit.has_fault else "Passed."


def _tables(audit: Audit) -> Iterator[Table]:
    yield result.median_table(audit)
    if audit.copies:
        yield result.copy_table(audit)
    if audit.published:
        yield result.overlap_table("Published splits", audit.published)
    if audit.folds.overlaps:
        title = f"Folds of fold={audit.folds.name}, training and test"
        yield result.overlap_table(title, audit.folds.overlaps)


def _findings(audit: Audit) -> Iterator[tuple[str, list[Finding]]]:
    for severity in SEVERITIES:
        yield severity, [each for each in audit.findings if each.severity == severity]


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))
