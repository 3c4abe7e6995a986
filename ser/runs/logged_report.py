"""The report of a grid as a run of Weights & Biases."""

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import wandb as client

from ser.config.run_key import digest
from ser.errors import UserError
from ser.report import paper, testing
from ser.report.conclusion import sentences
from ser.report.data import ReportData
from ser.report.documents import FOREST
from ser.results import restored
from ser.runs.loggers import begin, offline_unless, short_tags

# Files of a report that are logged as tables; its pages and figures are logged, too.
TABLES = ("scores.csv", "tests.csv", "recalls.csv", "slices.csv", "gaps.csv", "shares.csv")


def log_report(
    data: ReportData,
    corpora: Iterable[str],
    folder: Path,
    *,
    project: str,
    group: str | None,
    mode: str | None,
    tags: list[str],
) -> None:
    """Log the tables, figures and page of a grid's report as one run of Weights & Biases.

    The section `first_page` has what the page of the report opens with: the conclusion, which is
    also the description of the run, the forest plot, the main table and the main tests. The id is
    that of the grid and its corpora, so that a report that is logged again replaces the earlier
    one.

    Args:
        data: Data of the report.
        corpora: Corpora of its runs.
        folder: Folder of the report.
        project: As for `ser.runs.loggers.wandb`, like the following.
        group: Group; None: the grid.
        mode: Mode.
        tags: Further tags.

    Raises:
        UserError: The folder has no report.
    """
    grid = data.name
    tables = [path for name in TABLES if (path := folder / name).exists()]
    images = sorted(folder.glob("*.png"))
    pages = sorted(
        [*folder.glob("*.html"), *folder.glob("*.svg")]
    )  # SVG is not an image type there
    if not (tables or images or pages):
        raise UserError(f"{folder}: no report; make it with python -m ser report grid={grid}")
    corpora = sorted(set(corpora))
    id_ = digest({"report": grid, "corpora": corpora})
    run = begin(
        folder,
        project=project,
        id=id_,
        name=f"{grid} report",
        group=group or grid,
        job_type="report",
        tags=short_tags([*corpora, *tags]),
        notes="\n\n".join(sentences(data)),
        mode=offline_unless(mode),
    )
    content = _first_page(data, folder)
    content |= {path.stem: _table(path) for path in tables}
    # With suffix, because a page may have the same name.
    content |= {path.name: client.Image(str(path)) for path in images}
    content |= {path.stem: client.Html(path.read_text(), inject=False) for path in pages}
    run.log(content)
    run.finish()


def _first_page(data: ReportData, folder: Path) -> dict[str, Any]:
    """Return what the page of a report opens with; panels are in the order of their names."""
    paragraphs = "".join(f"<p>{escape(each)}</p>" for each in sentences(data))
    content: dict[str, Any] = {"1_conclusion": client.Html(paragraphs, inject=False)}
    if (forest := folder / FOREST).exists():
        content["2_forest_plot"] = client.Html(forest.read_text(), inject=False)
    shown = {"3_main_table": paper.main(data), "4_main_tests": testing.main(data)}
    for name, table in shown.items():
        if table is not None:
            content[name] = client.Table(
                columns=list(table.headers), data=[list(row) for row in table.rows]
            )
    return {f"first_page/{name}": each for name, each in content.items()}


def _table(path: Path) -> Any:
    """Return a CSV file as a table of Weights & Biases, with None for missing values."""
    table = restored(pd.read_csv(path))
    rows: list[Any] = [
        [None if isinstance(value, float) and math.isnan(value) else value for value in row]
        for row in table.astype(object).itertuples(index=False)
    ]
    return client.Table(columns=[str(name) for name in table], data=rows)
