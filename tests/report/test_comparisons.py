"""Every system against the baseline: what is tested, on what, and what is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, confusion, grid, planned, truth, write

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute, statistics
from ser.report.comparisons import KINDS, Contrast, baseline_of
from ser.report.findings import Findings
from ser.sweeps.grid import Grid, PlannedRun


def by_kind(found: Findings, system: str = "aae") -> dict[str, Contrast]:
    return {test.kind: test for test in found.tests if test.cell.system == system}


def scored(runs: list[PlannedRun]) -> float:
    return metrics.unweighted_accuracy(confusion(runs))


def test_all_four_say_what_hands_reckon(tmp_path: Path) -> None:
    made = grid(tmp_path)
    tests = by_kind(compute(made))
    by_seed = [
        [scored([r for r in made.runs if r.system == s and r.seed == k]) for k in range(3)]
        for s in ("aae", "mlp")
    ]
    seeds = statistics.over_seeds(*map(np.array, by_seed))
    assert tests["seeds"].found == seeds
    n = 6 * EACH
    means = [float(np.mean(values)) for values in by_seed]
    assert tests["proportions"].found == statistics.over_proportions(*means, (n, n))
    pairs = {
        (r.system, r.fold): np.mean(
            [scored([o]) for o in made.runs if (o.system, o.fold) == (r.system, r.fold)]
        )
        for r in made.runs
    }
    differences = np.array([pairs["aae", fold] - pairs["mlp", fold] for fold in range(6)])
    folds = statistics.over_folds(differences, EACH / 120)
    assert folds is not None
    assert tests["folds"].found is not None
    assert tests["folds"].found.p == pytest.approx(folds.p)
    assert tests["folds"].found.difference == pytest.approx(differences.mean())
    assert tests["speakers"].found is not None
    assert tests["speakers"].found.difference == pytest.approx(means[0] - means[1])
    assert tests["speakers"].n == "6 speakers"


def test_a_better_system_is_found_better(tmp_path: Path) -> None:
    tests = by_kind(compute(grid(tmp_path)))
    assert {test.verdict for test in tests.values()} == {"higher"}
    back = by_kind(compute(grid(tmp_path, baseline="aae")), "mlp")
    assert back.pop("seeds").verdict == "not shown to be higher"  # one tail
    assert {test.verdict for test in back.values()} == {"lower"}


def test_equal_systems_show_no_difference(tmp_path: Path) -> None:
    runs = []
    for system in ("mlp", "twin"):
        for seed in range(3):
            for fold in range(6):
                rng = np.random.default_rng([seed, fold])
                told = {
                    part: np.where(rng.random(EACH) < 0.6, truth(fold, part), 0)
                    for part in ("val", "test")
                }
                runs.append(write(planned(tmp_path, system, seed, fold), told))
    tests = by_kind(compute(Grid("", tuple(runs), "mlp")), "twin")
    for kind in KINDS:
        test = tests[kind].found
        assert test is not None
        assert test.difference == 0
        assert test.p == pytest.approx(0.5 if kind == "seeds" else 1)
    assert "higher" not in {test.verdict for test in tests.values()}


def test_holm_goes_over_the_whole_table(tmp_path: Path) -> None:
    made = grid(tmp_path, ["mlp", "aae", "cnn"], targets=["activation", "valence"])
    found = compute(made)
    for kind in KINDS:
        of_kind = [test for test in found.tests if test.kind == kind]
        assert len(of_kind) == 4
        raw = [test.found.p for test in of_kind if test.found]
        assert [test.p_holm for test in of_kind] == pytest.approx(statistics.holm(raw))


def test_only_complete_seeds_of_both_are_paired(tmp_path: Path) -> None:
    made = grid(tmp_path, seeds=4)
    lost = {("mlp", 0): 2, ("aae", 3): 5}
    for run in made.runs:
        if lost.get((run.system, run.seed)) == run.fold:
            (run.folder / results.RESULT).unlink()
    tests = by_kind(compute(made))
    assert tests["seeds"].n == "3 and 3 seeds"
    assert tests["folds"].n == "6 folds, 2 seeds"


def test_what_cannot_be_tested_says_why(tmp_path: Path) -> None:
    made = grid(tmp_path, seeds=1)
    assert "two seeds" in by_kind(compute(made))["seeds"].verdict
    for run in made.runs:
        (run.folder / results.UTTERANCES).unlink()
    assert "force=true" in by_kind(compute(made))["speakers"].verdict
    (made.runs[0].folder / results.RESULT).unlink()
    tests = by_kind(compute(made))
    assert {test.verdict for test in tests.values()} == {
        "not tested: the baseline has no complete seed with a test part"
    }
    assert all(np.isnan(test.p_holm) for test in tests.values())


def test_other_utterances_are_not_paired(tmp_path: Path) -> None:
    made = grid(tmp_path)
    for run in made.runs:
        if run.system == "aae" and run.fold == 0:
            table = results.RunFolder(run.folder).read_predictions()
            results.RunFolder(run.folder).write_predictions(table.iloc[:-1])
    tests = by_kind(compute(made))
    assert "other utterances" in tests["folds"].verdict
    assert "other utterances" in tests["speakers"].verdict
    assert tests["proportions"].n == "179 and 180 utterances"


def test_guessing_is_not_found_to_be_more(tmp_path: Path) -> None:
    """Predictions that know nothing: the lower end of the interval is not above chance."""
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


def test_the_baseline_may_be_named_by_its_experiment(tmp_path: Path) -> None:
    found = compute(grid(tmp_path, baseline="somewhere/mlp"))
    assert found.baseline == "mlp"
    with pytest.raises(UserError, match="cnn is not in this grid; systems are: aae, mlp"):
        compute(grid(tmp_path, baseline="cnn"))
    run = write(planned(tmp_path, "papers/svm"))
    assert compute(Grid("", (run,), "svm")).baseline == "papers/svm"
    both = (*found.cells, *compute(Grid("", (run,), None)).cells)
    assert baseline_of(both, "mlp") == "mlp"


def test_without_baseline_nothing_is_tested(tmp_path: Path) -> None:
    assert compute(grid(tmp_path, baseline=None)).tests == ()


def test_classes_told_by_nobody_count_all_the_same(tmp_path: Path) -> None:
    told = {part: np.zeros(EACH, int) for part in ("val", "test")}
    run = write(planned(tmp_path), told)
    (summed,) = compute(Grid("", (run,), None)).summaries
    assert summed is not None
    assert summed.mean("pooled", "ua") == pytest.approx(1 / len(CLASSES))
    frame = pd.Series(truth(0, "test")).value_counts()
    assert summed.mean("pooled", "majority_wa") == pytest.approx(frame.max() / EACH)
