"""Tests of all systems against the baseline: what is tested, on what, and what is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, confusion, planned, truth, without, write, write_grid
from written import write_report

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute, statistics, summarise
from ser.report.comparisons import KINDS, Contrast, resolve
from ser.report.data import ReportData
from ser.report.gather import finished_runs
from ser.sweeps.grid import Grid, PlannedRun


def by_kind(data: ReportData, system: str = "aae") -> dict[str, Contrast]:
    return {test.kind: test for test in data.tests if test.cell.system == system}


def ua(runs: list[PlannedRun]) -> float:
    return metrics.unweighted_accuracy(confusion(runs))


def test_all_kinds_of_test_equal_manual_calculation(finished_grid: Grid, data: ReportData) -> None:
    tests = by_kind(data)
    single = {(r.system, r.seed, r.fold): ua([r]) for r in finished_grid.runs}
    by_seed = [
        [ua([r for r in finished_grid.runs if r.system == s and r.seed == k]) for k in range(3)]
        for s in ("aae", "mlp")
    ]
    seeds = statistics.over_seeds(*map(np.array, by_seed))
    assert tests["seeds"].result == seeds
    n = 6 * EACH
    means = [float(np.mean(values)) for values in by_seed]
    assert tests["proportions"].result == statistics.over_proportions(*means, (n, n))
    fold_means = {
        (system, fold): np.mean([single[system, seed, fold] for seed in range(3)])
        for system in ("aae", "mlp")
        for fold in range(6)
    }
    differences = np.array([fold_means["aae", f] - fold_means["mlp", f] for f in range(6)])
    folds = statistics.over_folds(differences, EACH / 120)
    assert folds is not None
    assert tests["folds"].result is not None
    assert tests["folds"].result.p == pytest.approx(folds.p)
    assert tests["folds"].result.difference == pytest.approx(differences.mean())
    assert tests["speakers"].result is not None
    assert tests["speakers"].result.difference == pytest.approx(means[0] - means[1])
    assert tests["speakers"].n == "6 speakers"


def test_better_system_is_higher_and_worse_one_lower(finished_grid: Grid, data: ReportData) -> None:
    assert {test.verdict for test in by_kind(data).values()} == {"higher"}
    runs = finished_runs(finished_grid)
    reverse = by_kind(summarise(Grid(finished_grid.name, finished_grid.runs, "aae"), runs), "mlp")
    assert reverse.pop("seeds").verdict == "not shown to be higher"  # one tail
    assert {test.verdict for test in reverse.values()} == {"lower"}


def test_equal_systems_show_no_difference(tmp_path: Path) -> None:
    runs = []
    for system in ("mlp", "twin"):
        for seed in range(3):
            for fold in range(6):
                rng = np.random.default_rng([seed, fold])
                predicted = {
                    part: np.where(rng.random(EACH) < 0.6, truth(fold, part), 0)
                    for part in ("val", "test")
                }
                runs.append(write(planned(tmp_path, system, seed, fold), predicted))
    tests = by_kind(compute(Grid("", tuple(runs), "mlp")), "twin")
    for kind in KINDS:
        result = tests[kind].result
        assert result is not None
        assert result.difference == 0
        assert result.p == pytest.approx(0.5 if kind == "seeds" else 1)
    assert "higher" not in {test.verdict for test in tests.values()}


def test_only_seeds_complete_in_both_are_paired(finished_grid: Grid) -> None:
    lost = {("mlp", 0): 2, ("aae", 2): 5}
    grid = without(finished_grid, lambda run: lost.get((run.system, run.seed)) == run.fold)
    tests = by_kind(compute(grid))
    assert tests["seeds"].n == "2 and 2 seeds"
    assert tests["folds"].n == "6 folds, 1 seeds"


def test_verdict_states_why_a_test_is_impossible(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, seeds=1)
    assert "two seeds" in by_kind(compute(grid))["seeds"].verdict
    for run in grid.runs:
        (run.folder / results.UTTERANCES).unlink()
    assert "force=true" in by_kind(compute(grid))["speakers"].verdict
    (grid.runs[0].folder / results.RESULT).unlink()
    tests = by_kind(compute(grid))
    assert {test.verdict for test in tests.values()} == {
        "not tested: mlp has no complete seed with a test split"
    }
    assert all(np.isnan(test.p_holm) for test in tests.values())


def test_different_utterances_are_not_paired(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    for run in grid.runs:
        if run.system == "aae" and run.fold == 0:
            table = results.RunFolder(run.folder).read_predictions()
            results.RunFolder(run.folder).write_predictions(table.iloc[:-1])
    tests = by_kind(compute(grid))
    assert "different utterances" in tests["folds"].verdict
    assert "different utterances" in tests["speakers"].verdict
    assert tests["proportions"].n == "179 and 180 utterances"


def test_interval_of_random_predictions_includes_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = [
        write(
            planned(tmp_path, seed=seed, fold=fold),
            {part: rng.integers(0, 3, EACH) for part in ("val", "test")},
        )
        for seed in range(2)
        for fold in range(6)
    ]
    (interval,) = compute(Grid("", tuple(runs), None)).intervals
    assert interval is not None
    assert interval[0] <= 1 / 3 <= interval[1]


def test_baseline_may_be_named_by_its_experiment(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, seeds=1, folds=1, baseline="somewhere/mlp")
    data = compute(grid)
    assert {test.reference.system for test in data.tests} == {"mlp"}
    with pytest.raises(UserError, match="cnn is not in this grid; systems are: aae, mlp"):
        compute(Grid(grid.name, grid.runs, "cnn"))
    run = write(planned(tmp_path, "papers/svm"))
    both = (*data.cells, *compute(Grid("", (run,), "svm")).cells)
    assert resolve(both, "svm", "report.baseline") == "papers/svm"
    assert resolve(both, "mlp", "report.baseline") == "mlp"


def test_pairs_are_tested_beside_the_baseline_and_corrected_together(tmp_path: Path) -> None:
    systems, targets = ["mlp", "aae", "cnn", "encoder"], ["activation", "valence"]
    grid = write_grid(tmp_path / "runs", systems, seeds=2, folds=3, targets=targets)
    grid = replace(grid, comparisons=(("aae", "encoder"), ("somewhere/mlp", "cnn")))
    data = compute(grid)
    for kind in KINDS:
        of_kind = [test for test in data.tests if test.kind == kind]
        named = [(t.cell.system, t.reference.system, t.cell.target) for t in of_kind]
        # The pair of mlp and cnn is tested once, in the direction that it was named in.
        expected = [("aae", "mlp"), ("encoder", "mlp"), ("aae", "encoder"), ("mlp", "cnn")]
        assert named == [(*pair, target) for pair in expected for target in targets]
        raw = [test.result.p for test in of_kind if test.result]
        assert [test.p_holm for test in of_kind] == pytest.approx(statistics.holm(raw))
    written = write_report(grid, tmp_path / "out")
    table = pd.read_csv(written.out / "tests.csv")
    assert set(zip(table["system"], table["reference"], strict=True)) == set(expected)
    for reference in ("mlp", "encoder", "cnn"):
        assert f"against {reference}:" in written.printed
    assert written.read("report.md").count("\n| activation | aae | encoder |") == 4
    assert written.read("report.tex").count("activation & aae & encoder &") == 4
    columns = '<td class="words">aae</td><td class="words">encoder</td>'
    assert written.read("index.html").count(columns) == 2 * 4


def test_comparisons_without_baseline_and_with_unknown_systems(finished_grid: Grid) -> None:
    grid = replace(finished_grid, baseline=None, comparisons=(("aae", "mlp"),))
    assert {test.reference.system for test in compute(grid).tests} == {"mlp"}
    grid = replace(grid, comparisons=(("aae", "svm"),))
    with pytest.raises(UserError, match="report.comparisons: svm is not in this grid; systems are"):
        compute(grid)


def test_without_baseline_nothing_is_tested(finished_grid: Grid) -> None:
    assert compute(Grid(finished_grid.name, finished_grid.runs, None)).tests == ()


def test_classes_that_are_never_predicted_count(tmp_path: Path) -> None:
    predicted = {part: np.zeros(EACH, int) for part in ("val", "test")}
    run = write(planned(tmp_path), predicted)
    (summed,) = compute(Grid("", (run,), None)).summaries
    assert summed is not None
    assert summed.mean("pooled", "ua") == pytest.approx(1 / len(CLASSES))
    counts = pd.Series(truth(0, "test")).value_counts()
    assert summed.mean("pooled", "majority_wa") == pytest.approx(counts.max() / EACH)
