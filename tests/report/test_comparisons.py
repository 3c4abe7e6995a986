"""Tests of all systems against the baseline: what is tested, on what, and what is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, confusion, planned, truth, without, write, write_grid

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute, statistics, summarise
from ser.report.comparisons import KINDS, Contrast, resolve_baseline
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


def test_holm_correction_is_over_the_whole_table(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, ["mlp", "aae", "cnn"], targets=["activation", "valence"], seeds=2)
    data = compute(grid)
    for kind in KINDS:
        of_kind = [test for test in data.tests if test.kind == kind]
        assert len(of_kind) == 4
        raw = [test.result.p for test in of_kind if test.result]
        assert [test.p_holm for test in of_kind] == pytest.approx(statistics.holm(raw))


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
        "not tested: the baseline has no complete seed with a test split"
    }
    assert all(np.isnan(test.p_holm) for test in tests.values())


def test_different_utterances_are_not_paired(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    for run in grid.runs:
        if run.system == "aae" and run.fold == 0:
            table = results.RunFolder(run.folder).read_predictions()
            results.RunFolder(run.folder).write_predictions(table.iloc[:-1])
    tests = by_kind(compute(grid))
    assert "other utterances" in tests["folds"].verdict
    assert "other utterances" in tests["speakers"].verdict
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
    assert data.baseline == "mlp"
    with pytest.raises(UserError, match="cnn is not in this grid; systems are: aae, mlp"):
        compute(Grid(grid.name, grid.runs, "cnn"))
    run = write(planned(tmp_path, "papers/svm"))
    assert compute(Grid("", (run,), "svm")).baseline == "papers/svm"
    both = (*data.cells, *compute(Grid("", (run,), None)).cells)
    assert resolve_baseline(both, "mlp") == "mlp"


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
