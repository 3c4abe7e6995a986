"""Tests of all systems against the baseline: what is tested, on what, and what is not."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, confusion, planned, truth, without, write, write_grid
from scipy import stats
from written import write_report

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute, statistics, summarise
from ser.report.cells import cells
from ser.report.comparisons import resolve
from ser.report.contrasts import DRAWS, KINDS, Contrast, training_units
from ser.report.data import ReportData
from ser.report.gather import Run, SharedUtterances, finished_runs, read
from ser.report.provenance import UNKNOWN_FIT
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun


def by_kind(data: ReportData, system: str = "aae") -> dict[str, Contrast]:
    return {test.kind: test for test in data.tests if test.cell.system == system}


def run_record(run: Run, **facts: Any) -> dict[str, Any]:
    """Return the record of a run with other facts."""
    record = results.RunFolder(run.planned.folder).read_record()
    assert record is not None
    return record | facts


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
    # Folds 0 and 1, 2 and 3, 4 and 5 share their training split: two speakers test, four train.
    fold_means = {
        (system, unit): np.mean(
            [single[system, seed, fold] for seed in range(3) for fold in (2 * unit, 2 * unit + 1)]
        )
        for system in ("aae", "mlp")
        for unit in range(3)
    }
    differences = np.array([fold_means["aae", u] - fold_means["mlp", u] for u in range(3)])
    folds = statistics.over_folds(differences, 2 / 4)
    assert folds is not None
    assert tests["folds"].n == "6 folds with 3 training splits, 3 seeds"
    assert tests["folds"].result is not None
    assert tests["folds"].result.p == pytest.approx(folds.p)
    assert tests["folds"].result.difference == pytest.approx(differences.mean())
    assert tests["speakers"].result is not None
    assert tests["speakers"].result.difference == pytest.approx(means[0] - means[1])
    assert tests["speakers"].n == "6 speakers"
    # The main test draws both speakers of a training together: Student's t with 2 degrees.
    sessions = tests["sessions"]
    assert (sessions.n, sessions.is_main) == ("3 sessions", True)
    assert not any(test.is_main for kind, test in tests.items() if kind != "sessions")
    sums = [
        np.array(
            [
                [
                    confusion(
                        [
                            r
                            for r in finished_grid.runs
                            if (r.system, r.seed) == (s, k) and r.fold // 2 == u
                        ]
                    )
                    for u in range(3)
                ]
                for k in range(3)
            ]
        )
        for s in ("aae", "mlp")
    ]
    assert sessions.result == statistics.over_speakers(*sums, statistics.weights(3, DRAWS))


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


def test_estimators_are_fitted_on_validation_too(finished_grid: Grid) -> None:
    """Folds with the same training split differ in what a refitted estimator has seen."""
    runs = finished_runs(finished_grid)
    test = by_kind(summarise(finished_grid, runs))["folds"]
    both = {"splits": ["train", "val"], "utterances": 5 * EACH}
    shared: SharedUtterances = {}
    refitted = [
        each
        for run in runs
        for each in (
            read(run.planned, run_record(run, fitted_on=both), shared)
            if run.planned.system == "aae"
            else [run]
        )
    ]
    alone = Grid("", tuple(r for r in finished_grid.runs if r.system == "aae"), None)
    (cell,) = cells(alone, [run for run in refitted if run.planned.system == "aae"])
    assert list(training_units([cell])) == list(range(6))
    # Against a network, folds in which that has one training remain a unit; its share is larger.
    mixed = by_kind(summarise(finished_grid, refitted))["folds"]
    assert (mixed.n, mixed.result) == (test.n, test.result)
    as_validated = replace(cell, part="val")
    assert len(set(training_units([as_validated]))) == 3  # scored by a fit on train alone


@pytest.mark.parametrize(
    ("facts", "utterances", "is_known"),
    [
        ({"fitted_on": {"splits": ["train", "val"], "utterances": 150}}, 150, True),
        ({"inner_ua": 0.5}, 120 + 30, True),  # an estimator of an earlier version
        ({"best_epoch": 3}, 120, True),  # a network of an earlier version
        ({}, 120, False),
    ],
)
def test_what_a_model_was_fitted_on(
    facts: dict[str, Any], utterances: int, is_known: bool, tmp_path: Path
) -> None:
    counts = {"train": {"low": 70, "high": 50}, "val": {"low": 30, "high": 0}}
    facts = {"fitted_on": None, "class_counts": counts} | facts
    (run,) = finished_runs(Grid("", (write(planned(tmp_path), **facts),), None))
    assert run.fits["test"].utterances == utterances
    assert (run.digests["test"] == run.digests["val"]) == (utterances == 120)
    assert run.fits["val"].utterances == 120
    assert (UNKNOWN_FIT in run.remarks) == (not is_known)
    nothing = write(run.planned, fitted_on={"splits": ["train"], "utterances": 0})
    with pytest.raises(UserError, match="fitted_on has no utterances"):
        finished_runs(Grid("", (nothing,), None))


def test_overlapping_test_splits_are_not_counted_twice(tmp_path: Path) -> None:
    """Draws as of fold=holdout: 3 times 30 of 60 utterances."""
    runs = [
        planned(tmp_path / "runs", s, k, f)
        for s in ("mlp", "aae")
        for k in (0, 1)
        for f in range(3)
    ]
    truth_of = np.random.default_rng(0).integers(0, 3, 60)
    for run in runs:
        drawn = np.random.default_rng([run.fold, 5]).permutation(60)[:EACH]
        write(run, speaker_independent=False)
        for name in ("predictions", "utterances"):
            file = run.folder / f"{name}.csv"
            table = pd.read_csv(file, dtype=str)
            is_test = table["part"] == "test"
            table.loc[is_test, "utterance"] = [f"u{number}" for number in drawn]
            if name == "predictions":
                table.loc[is_test, "truth"] = np.array(CLASSES)[truth_of[drawn]]
            table.to_csv(file, index=False)
    grid = Grid("holdout", tuple(runs), "mlp")
    data = compute(grid)
    summed = data.summaries[0]
    assert summed is not None
    tested = pd.concat(results.RunFolder(run.folder).read_predictions() for run in runs[:3])
    distinct = tested[tested["part"] == "test"].drop_duplicates("utterance")
    assert (summed.predictions, summed.utterances) == (90, len(distinct))
    assert len(distinct) < 60
    assert list(summed.support) == [(distinct["truth"] == name).sum() for name in CLASSES]
    assert np.isnan(summed.p_chance)
    by_value = [each for each in data.slices if each.cell is data.cells[0]]
    genders = {each.value: each.utterances for each in by_value if each.column == "gender"}
    assert genders["male"] == EACH  # tested in one fold
    tests = by_kind(data)
    assert f"overlap: 90 predictions of {len(distinct)} utterances" in tests["proportions"].verdict
    assert all(tests[kind].result for kind in ("seeds", "folds", "speakers"))
    written = write_report(grid, tmp_path / "out")
    assert "predicted 90 times with each seed: several folds test the same" in written.printed
    assert "neither p (chance) nor a test of proportions" in written.read("report.md")
    assert "tested speakers are in the training split" in written.printed
    scores = pd.read_csv(written.out / "scores.csv").query("shown")
    assert list(scores["utterances"]) == [len(distinct)] * 2
    assert list(scores["predictions"]) == [90, 90]
    assert scores["p_chance"].isna().all()


def test_only_seeds_complete_in_both_are_paired(finished_grid: Grid) -> None:
    lost = {("mlp", 0): 2, ("aae", 2): 5}
    grid = without(finished_grid, lambda run: lost.get((run.system, run.seed)) == run.fold)
    tests = by_kind(compute(grid))
    assert tests["seeds"].n == "2 and 2 seeds"
    assert tests["folds"].n == "6 folds with 3 training splits, 1 seed"


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
        assert {test.is_main for test in of_kind} == {kind == "sessions"}
    written = write_report(grid, tmp_path / "out")
    table = pd.read_csv(written.out / "tests.csv")
    assert set(zip(table["system"], table["reference"], strict=True)) == set(expected)
    for reference in ("mlp", "encoder", "cnn"):
        assert f"against {reference}:" in written.printed
    assert "| 3 folds with 2 training splits, 2 seeds |" in written.read("report.md")
    assert written.read("report.md").count("\n| activation | aae | encoder |") == len(KINDS)
    # A table that is wider than a page is divided.
    assert written.read("report.tex").count("activation & aae & encoder &") >= len(KINDS)
    columns = (
        r'<td class="words">\s*<a [^>]*>aae</a>\s*</td><td class="words">\s*<a [^>]*>encoder</a>'
    )
    assert len(re.findall(columns, written.read("index.html"))) == 2 * len(KINDS)


def test_main_test_is_over_speakers_unless_folds_share_trainings(
    finished_grid: Grid, tmp_path: Path
) -> None:
    # Fold 0 of each session alone: each training tests one speaker.
    alone = Grid("", tuple(run for run in finished_grid.runs if run.fold % 2 == 0), "mlp")
    tests = by_kind(compute(alone))
    assert "sessions" not in tests
    assert [kind for kind, test in tests.items() if test.is_main] == ["speakers"]
    main = tests["speakers"]
    assert main.result is not None
    assert main.result.effect is not None
    # Student's t of a paired test is d_z times the root of the number of pairs.
    t = main.result.effect * np.sqrt(3)
    assert main.result.p == pytest.approx(2 * stats.t.sf(abs(t), 2))
    assert np.mean(main.units) == pytest.approx(main.result.difference)
    assert np.std(main.units, ddof=1) == pytest.approx(main.result.difference / main.result.effect)
    written = write_report(alone, tmp_path / "out")
    table = pd.read_csv(written.out / "tests.csv", keep_default_na=False)
    assert list(table["score"]) == ["ua"] * 4
    assert dict(zip(table["kind"], table["needed"], strict=True))["speakers"] == str(main.needed)
    assert set(table.loc[~table["main"], "needed"]) == {""}
    text = written.read("report.md")
    assert text.index("### Main test, over speakers") < text.index("### Secondary test, over seeds")
    assert text.count("Assumes: ") == 4
    assert "because folds share trainings" not in text


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
