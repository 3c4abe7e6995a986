"""The leaderboard of a folder of published results: HTML, Markdown and CSV.

`python -m ser leaderboard docs/results/benchmark` writes index.html, leaderboard.md and
leaderboard.csv. They are a function of the published files.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ser.benchmark.published import read_published
from ser.benchmark.standing_figure import figure
from ser.benchmark.standing_tables import audit_table, commands, overview, standing, summary
from ser.benchmark.standings import Board, References, boards
from ser.config import CONF
from ser.plots.jinja import render
from ser.plots.page import page_style, table_html
from ser.report.render import markdown as table_markdown
from ser.report.render import md
from ser.results import csv_text, write_text

FILES = ("index.html", "leaderboard.md", "leaderboard.csv")
ABOUT = (
    "UA: mean recall over classes in %; CCC: concordance correlation of values. Scores are of the "
    "test predictions of all folds together, mean over seeds; no test speaker was in training or "
    "selection. 95% and tests: bootstrap over speakers with Student's t; p with Holm's correction "
    "over the systems of a corpus and target. One rater: a rater against the others."
)


def leaderboard(folder: Path, out: Path | None, reference: Sequence[str]) -> list[Path]:
    """Write the leaderboard of published results.

    Args:
        folder: Folder of published results.
        out: Folder of the files; None: the same.
        reference: Reference systems for classes and for values; empty: those of the benchmark's
            grids.

    Raises:
        UserError: There are no results, or a file is damaged.
    """
    known = boards(read_published(folder), references(reference))
    files = (html(known), markdown(known), csv_text(frame(known), "%.6g"))
    paths = [(out or folder) / name for name in FILES]
    for path, content in zip(paths, files, strict=True):
        write_text(path, content)
    return paths


def references(named: Sequence[str] = ()) -> References:
    """Return the systems that the benchmark's grids name as references, or others by name."""
    classes, values = (
        yaml.safe_load((CONF / "grid" / f"{grid}.yaml").read_text())["report"]
        for grid in ("benchmark", "benchmark_attributes")
    )
    pairs = tuple((system, other) for system, other in classes["comparisons"])
    first, *others = named or (classes["baseline"], values["baseline"])
    return References(first, others[0] if others else first, pairs)


# ---- files


def html(known: Sequence[Board]) -> str:
    """Return the page."""
    return render(
        "ser.benchmark",
        "leaderboard.html",
        about=ABOUT,
        summary=summary(known),
        commands=commands(known),
        overview=overview(known),
        sections=[(board, standing(board), audit_table(board), figure(board)) for board in known],
        style=page_style(),
        draw=table_html,
    )


def markdown(known: Sequence[Board]) -> str:
    """Return the same tables as Markdown."""
    parts = ["# Leaderboard", md(ABOUT), table_markdown(summary(known), 2)]
    parts += ["## How to rerun the best systems"]
    parts += [f"```\n{command}  # {title}\n```" for title, command in commands(known)]
    parts += [table_markdown(table, 2) for table in overview(known)]
    for board in known:
        parts.append(table_markdown(standing(board), 2))
        if (audit := audit_table(board)) is not None:
            parts.append(table_markdown(audit))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def frame(known: Sequence[Board]) -> pd.DataFrame:
    """Return a row per corpus, target and system, missing ones included."""
    rows = []
    for board in known:
        for rank, entry in enumerate(board.entries, 1):
            low, high = entry.interval or (np.nan, np.nan)
            test = entry.test
            rows.append(
                {
                    "task": board.task.title,
                    "corpus": board.task.splits.corpus,
                    "target": board.task.splits.target,
                    "fold": board.task.splits.fold,
                    "system": entry.system,
                    "rank": rank if len(entry.seeds) else None,
                    "score": board.task.scoring.primary.name,
                    "value": entry.score,
                    "low": low,
                    "high": high,
                    "sd_over_seeds": entry.spread,
                    "seeds": len(entry.seeds),
                    "missing": entry.missing,
                    "reference": board.reference or "",
                    "difference": test.difference if test else np.nan,
                    "difference_low": test.low if test else np.nan,
                    "difference_high": test.high if test else np.nan,
                    "p_holm": entry.p_holm,
                    "chance": board.task.chance,
                    "one_rater": np.nan if board.ceiling is None else board.ceiling,
                    "seconds_a_run": np.median(entry.seconds) if entry.seconds else np.nan,
                    "utterances": board.task.utterances,
                    "speakers": board.task.speakers,
                }
            )
    return pd.DataFrame(rows)
