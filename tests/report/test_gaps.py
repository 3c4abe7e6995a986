"""Gaps between groups of speakers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, planned, truth, write, write_values
from written import write_report

from ser import metrics, results
from ser.report import compute, statistics
from ser.report.statistics import between_groups, resampled_ua
from ser.sweeps.grid import Grid

RNG = np.random.default_rng(0)


def write_grid(root: Path, **columns: Any) -> Grid:
    """Write a run per fold whose errors are those of men (odd folds) more often.

    Args:
        root: Folder of the runs.
        columns: Functions of the number of the fold that return a column of `utterances.csv`.
    """
    runs = []
    for fold in range(6):
        rng = np.random.default_rng(fold)
        true = truth(fold, "test")
        is_correct = rng.random(EACH) < (0.4 if fold % 2 else 0.95)
        predicted = np.where(is_correct, true, (true + 1) % 3)
        run = write(planned(root, fold=fold), {"val": truth(fold, "val"), "test": predicted})
        folder = results.RunFolder(run.folder)
        table = folder.read_utterances()
        folder.write_utterances(table.assign(**{name: of(fold) for name, of in columns.items()}))
        runs.append(run)
    return Grid("gaps", tuple(runs), None)


def ua(grid: Grid, folds: tuple[int, ...]) -> float:
    tables = [results.RunFolder(grid.runs[fold].folder).read_predictions() for fold in folds]
    return metrics.unweighted_accuracy(results.confusion(pd.concat(tables), "test", CLASSES))


def test_gap_is_that_of_pooled_scores_and_in_all_documents(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs")
    (gap,) = compute(grid).gaps
    assert (gap.by, gap.groups, gap.speakers) == ("gender", ("female", "male"), (3, 3))
    assert gap.scores == pytest.approx((ua(grid, (0, 2, 4)), ua(grid, (1, 3, 5))))
    assert gap.result is not None
    assert gap.result.difference == pytest.approx(gap.scores[0] - gap.scores[1])
    assert gap.verdict == "higher"
    written = write_report(grid, tmp_path / "out")
    (row,) = pd.read_csv(written.out / "gaps.csv").to_dict("records")
    assert row["gap"] == pytest.approx(gap.result.difference, abs=2e-6)
    assert row["low"] < row["gap"] < row["high"]
    assert (row["score"], row["speakers"], row["p"]) == ("ua", 3, row["p_holm"])
    for name in ("index.html", "report.md", "report.tex"):
        assert "Gaps between groups: are some speakers recognised worse?" in written.read(name)
        assert f"{100 * gap.result.difference:+.1f}" in written.read(name)
    assert "1 of 1 tested ones shown (mlp on activation: female higher)" in written.printed


def test_groups_of_few_speakers_are_not_tested(tmp_path: Path) -> None:
    ages = ["25", "35.5", "35", "62", "62", ""]
    gaps = compute(write_grid(tmp_path, age=ages.__getitem__)).gaps
    by_age = [gap for gap in gaps if gap.by == "age"]
    assert [gap.groups for gap in by_age] == [
        (name, "all others") for name in ("18-29", "30-44", "60+")
    ]
    assert [gap.speakers for gap in by_age] == [(1, 4), (2, 3), (2, 3)]  # one age is unknown
    assert {gap.verdict for gap in by_age} == {"not tested: fewer than 3 speakers"}
    assert all(np.isnan(gap.p_holm) for gap in by_age)
    tested = [gap for gap in gaps if gap.result]
    assert [gap.by for gap in tested] == ["gender"]


def test_speakers_of_two_languages_are_drawn_for_both(tmp_path: Path) -> None:
    halves = np.where(np.arange(6 * EACH) % 2, "da", "en")
    gaps = {gap.by: gap for gap in compute(write_grid(tmp_path, language=lambda _: halves)).gaps}
    gap = gaps["language"]
    assert (gap.groups, gap.speakers) == (("da", "en"), (6, 6))
    assert gap.result is not None
    # Speakers differ much more than the languages of a speaker.
    assert gap.result.high - gap.result.low < 2 * abs(gaps["gender"].result.high)
    raw = [each.result.p for each in gaps.values() if each.result]
    assert [each.p_holm for each in gaps.values()] == pytest.approx(statistics.holm(raw))


def test_groups_with_other_classes_are_not_compared(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    for run in grid.runs[1::2]:
        folder = results.RunFolder(run.folder)
        table = folder.read_predictions()
        folder.write_predictions(table[table["truth"] != "low"])
    (gap,) = compute(grid).gaps
    assert gap.verdict == "not tested: the groups differ in their classes"


def test_runs_without_groups_have_no_table(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", gender=lambda _: "female")
    assert compute(grid).gaps == []
    assert "gaps.csv" not in write_report(grid, tmp_path / "out").names


def test_values_have_gaps_of_ccc(tmp_path: Path) -> None:
    runs = tuple(write_values(planned(tmp_path, fold=fold)) for fold in range(6))
    data = compute(Grid("values", runs, None))
    (gap,) = data.gaps
    sums = [data.cells[0].sums("test")[0, start::2].sum(axis=0) for start in (0, 1)]
    assert gap.scores == pytest.approx([float(metrics.ccc(each)) for each in sums])
    assert gap.result is not None
    assert replace(gap, p_holm=0.5).verdict == "no gap shown"


@pytest.mark.parametrize("sizes", [(3, 3), (4, 9)])
def test_equal_groups_differ_rarely(sizes: tuple[int, int]) -> None:
    """Groups whose speakers differ in recall, by chance only."""
    rejected, covered, trials = 0, 0, 300
    for _ in range(trials):
        groups = []
        for size in sizes:
            hits = RNG.binomial(40, RNG.beta(6, 4, (size, 3)))
            counts = np.zeros((1, size, 3, 3))
            for true in range(3):
                counts[0, :, true, true] = hits[:, true]
                counts[0, :, true, (true + 1) % 3] = 40 - hits[:, true]
            groups.append(counts)
        result = between_groups(*groups, 300, resampled_ua)
        assert result is not None
        rejected += result.p < 0.05
        covered += result.low <= 0 <= result.high
    assert rejected / trials <= 0.09
    assert covered / trials >= 0.91
    assert between_groups(groups[0][:, :1], groups[1], 300, resampled_ua) is None
