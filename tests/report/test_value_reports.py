"""Reports of values, of both kinds of targets, and of several tasks at once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import EACH, plan_grid, planned, predict_value, write, write_values
from scipy import stats
from written import Written, write_report

from ser import results
from ser.errors import UserError
from ser.report import compute, frames, statistics
from ser.report.data import ReportData
from ser.report.gather import finished_runs
from ser.report.statistics import over_speakers, resampled_ccc, speaker_interval, weights
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two systems on values, three seeds, four folds, and one system on classes."""
    root = tmp_path_factory.mktemp("values")
    grid = plan_grid(root, folds=4)
    for run in grid.runs:
        write_values(run)
    other = [
        write(planned(root, "mlp", seed, fold, "emotion")) for seed in (0, 1) for fold in (0, 1)
    ]
    return Grid("mixed", (*grid.runs, *other), "mlp")


@pytest.fixture(scope="module")
def data(grid: Grid) -> ReportData:
    return compute(grid)


@pytest.fixture(scope="module")
def written(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(grid, tmp_path_factory.mktemp("values") / "out")


def pooled(runs: list[PlannedRun], task: str = "activation") -> tuple[np.ndarray, np.ndarray]:
    """Return all truths and predictions of the test splits of some runs."""
    pairs = [predict_value(run, "test", task) for run in runs]
    return np.concatenate([t for t, _ in pairs]), np.concatenate([p for _, p in pairs])


def lin(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return CCC as Lin (1989) defines it."""
    covariance = np.cov(truth, predicted, bias=True)[0, 1]
    spread = truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2
    return 2 * covariance / spread


# ---- scores


def test_scores_are_those_of_all_predictions_of_a_seed(grid: Grid, data: ReportData) -> None:
    (summed,) = (s for c, s in data.scored if (c.system, c.target) == ("aae", "activation"))
    by_seed = [
        pooled([r for r in grid.runs if r.system == "aae" and r.seed == seed]) for seed in range(3)
    ]
    scores = {
        "ccc": lin,
        "pearson": lambda t, p: stats.pearsonr(t, p).statistic,
        "rmse": lambda t, p: np.sqrt(np.mean((t - p) ** 2)),
        "mae": lambda t, p: np.abs(t - p).mean(),
    }
    for name, score in scores.items():
        expected = [score(*pair) for pair in by_seed]
        np.testing.assert_allclose(summed.seeds["pooled"][name], expected, atol=1e-8)
    folds = [
        np.mean([lin(*pooled([r])) for r in grid.runs if (r.system, r.fold) == ("aae", fold)])
        for fold in range(4)
    ]
    np.testing.assert_allclose(summed.folds, folds, atol=1e-8)
    assert (summed.utterances, summed.predictions) == (4 * EACH, 4 * EACH)
    assert np.isnan(summed.p_chance)


def test_numbers_of_both_kinds_are_in_the_same_files(written: Written) -> None:
    scores = pd.read_csv(written.out / "scores.csv").query("shown").set_index(["system", "target"])
    values, classes = scores.loc[("aae", "activation")], scores.loc[("mlp", "emotion")]
    assert values["ccc_low"] < values["ccc"] < values["ccc_high"]
    assert values[["ua", "wa", "classes", "p_chance"]].isna().all()
    assert classes[["ccc", "rmse", "truth_mean"]].isna().all()
    assert classes["ua_low"] < classes["ua"] < classes["ua_high"]
    runs = pd.read_csv(written.out / "runs.csv").query("part == 'test' and target == 'activation'")
    assert runs["ccc"].notna().all()
    assert runs["ua"].isna().all()
    tests = pd.read_csv(written.out / "tests.csv")
    assert list(tests["kind"]) == ["seeds", "folds", "speakers", "sessions"]  # no proportion
    assert set(tests["score"]) == {"ccc"}
    difference = values["ccc"] - scores.loc[("mlp", "activation"), "ccc"]
    assert tests["difference"].iloc[[0, 2]].tolist() == pytest.approx([difference] * 2, abs=2e-6)
    assert set(tests["verdict"].iloc[[0, 2]]) == {"higher"}
    assert set(pd.read_csv(written.out / "recalls.csv")["target"]) == {"emotion"}
    slices = pd.read_csv(written.out / "slices.csv").query("target == 'activation'")
    assert slices[["ccc", "rmse"]].notna().all(axis=None)


def test_documents_show_values_as_values_and_classes_in_percent(
    written: Written, data: ReportData
) -> None:
    (summed,) = (s for c, s in data.scored if (c.system, c.target) == ("aae", "activation"))
    ccc = f"{summed.mean('pooled', 'ccc'):.3f} ± {summed.sd('pooled', 'ccc'):.3f}"
    page, md = written.read("index.html"), written.read("report.md")
    for text in (written.printed, page, md, written.read("report.tex").replace("$\\pm$", "±")):
        assert ccc in text
        assert text is written.printed or "Scores (UA in " in text
        assert "standard deviation 1." in text  # of the truth
    for title in ("All scores in %, folds pooled", "All scores of values, folds pooled"):
        assert title in page
    assert "CCC or UA by fold and seed" in md
    assert "difference in CCC" in md
    assert written.names >= {"density.svg", "confusions.svg", "dots.svg"}
    assert page.count("Predictions by true value") >= 1
    assert "CCC on validation" in page
    assert "activation: CCC" not in written.printed  # no row of classes
    density = written.read("density.svg")
    counted = [float(n) for n in pd.Series(density).str.findall(r"([\d.]+) predictions per").sum()]
    assert sum(counted) == pytest.approx(2 * 4 * EACH, rel=2e-3)


def test_reports_of_values_alone_have_no_files_of_classes(grid: Grid, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "confusions.svg").touch()  # of an earlier report
    runs = tuple(run for run in grid.runs if run.choices["target"] == "activation")
    written = write_report(Grid("values", runs, "mlp"), out)
    assert not {"confusions.svg", "reliability.svg", "recalls.csv"} & written.names
    for name in ("index.html", "report.md", "report.tex"):
        assert "UA" not in written.read(name), name
    assert " UA" not in written.printed
    assert "classes" not in pd.read_csv(out / "scores.csv")


def test_same_target_as_values_and_as_classes_has_two_columns(tmp_path: Path) -> None:
    runs = write(planned(tmp_path)), write_values(planned(tmp_path, "mlp target.bins=null"))
    data = compute(Grid("bins", runs, None))
    assert [column[1] for column in data.columns] == ["activation", "activation (CCC)"]


def test_recorded_scores_must_be_those_of_the_predictions(tmp_path: Path) -> None:
    run = write_values(planned(tmp_path))
    (read,) = finished_runs(Grid("", (run,), None))
    truth, _ = predict_value(run, "test", "activation")
    np.testing.assert_allclose(read.parts["test"].truth, truth, atol=1e-8)
    folder = results.RunFolder(run.folder)
    table = folder.read_predictions().astype({"truth": float, "prediction": float})
    folder.write_predictions(table.assign(prediction=table["prediction"] + 0.01))
    with pytest.raises(UserError, match="another CCC of val than predictions.csv"):
        finished_runs(Grid("", (run,), None))
    table.loc[0, "prediction"] = np.inf
    folder.write_predictions(table)
    with pytest.raises(UserError, match="not a finite number"):
        finished_runs(Grid("", (run,), None))


def test_order_of_rows_changes_no_number(tmp_path: Path) -> None:
    run = write_values(planned(tmp_path))
    (before,) = finished_runs(Grid("", (run,), None))
    folder = results.RunFolder(run.folder)
    folder.write_predictions(pd.read_csv(folder.predictions_file)[::-1])
    (after,) = finished_runs(Grid("", (run,), None))
    one, two = before.parts["test"], after.parts["test"]
    np.testing.assert_array_equal(one.sums, two.sums)
    assert one.digest == two.digest
    assert one.slices is not None
    assert two.slices is not None
    for value, sums in one.slices["style"].items():
        np.testing.assert_array_equal(sums, two.slices["style"][value])


# ---- several tasks


def test_each_task_is_a_cell_beside_systems_of_one_task(tmp_path: Path) -> None:
    tasks = ("activation", "valence")
    single = plan_grid(tmp_path, ["mlp"], seeds=1, folds=3, targets=tasks)
    several = plan_grid(tmp_path, ["aae", "mlp"], seeds=1, folds=3, targets=["attributes"])
    for run in single.runs:
        write_values(run)
    of_tasks = {"activation": {"ceiling": {"ccc": 0.7}}, "valence": {"ceiling": {"ccc": 0.8}}}
    for run in several.runs[:-1]:
        write_values(run, tasks, raters={"tasks": of_tasks})
    data = compute(Grid("tasks", (*single.runs, *several.runs), "mlp"))
    assert data.columns == [("iemocap", "activation"), ("iemocap", "valence")]
    assert data.systems == ["mlp", "aae target=attributes", "mlp target=attributes"]
    assert [data.ceiling(column) for column in data.columns] == [0.7, 0.8]
    assert data.finished == len(single.runs) + len(several.runs) - 1
    first, second = (s for c, s in data.scored if c.system == "aae target=attributes")
    runs = [run for run in several.runs if run.system == "aae"]
    assert first.mean("pooled", "ccc") == pytest.approx(lin(*pooled(runs)), abs=1e-8)
    assert second.mean("pooled", "ccc") == pytest.approx(lin(*pooled(runs, "valence")), abs=1e-8)
    tested = {(t.cell.system, t.cell.target) for t in data.tests if t.result is not None}
    assert tested == {("aae target=attributes", task) for task in tasks}
    assert len(frames.cost(data)) == data.finished
    missing = [cell for cell in data.cells if cell.missing]
    assert {cell.system for cell in missing} == {"mlp target=attributes"}


def test_system_of_several_tasks_may_be_named_without_them(tmp_path: Path) -> None:
    grid = plan_grid(tmp_path, seeds=2, folds=2, targets=["attributes"])
    for run in grid.runs:
        write_values(run, ("activation",))
    assert {test.reference.system for test in compute(grid).tests} == {"mlp target=attributes"}


# ---- raters


def test_one_rater_is_beside_every_score_of_a_corpus_with_raters(tmp_path: Path) -> None:
    grid = plan_grid(tmp_path / "runs", seeds=2, folds=2, targets=["activation", "valence"])
    for run in grid.runs:
        rated = {"activation": {"raters": {"ceiling": {"ccc": 0.7664}}}, "valence": {}}
        write_values(run, **rated[run.choices["target"]])
    written = write_report(grid, tmp_path / "out")
    for text in (written.read("report.md"), written.read("index.html"), written.printed):
        assert "0.766" in text
        assert "one rater: score of one rater against the others" in text
    rows = [line for line in written.read("report.md").splitlines() if "| one rater |" in line]
    assert "| one rater | 0.766 |  |" in rows
    scores = pd.read_csv(written.out / "scores.csv").set_index("target")["ceiling"]
    assert set(scores["activation"]) == {0.7664}
    assert scores["valence"].isna().all()
    dots = written.read("dots.svg")
    assert dots.count("one rater against the others: 0.766") == 2  # systems on activation
    assert "Dotted line" in written.read("index.html")


def test_corpora_without_raters_have_no_ceiling(written: Written) -> None:
    assert "one rater" not in written.printed + written.read("index.html")
    assert "ceiling" not in pd.read_csv(written.out / "scores.csv")


def test_utterances_without_a_majority_of_raters_are_not_scored(tmp_path: Path) -> None:
    run = write(planned(tmp_path))
    folder = results.RunFolder(run.folder)
    table = folder.read_predictions()
    table.loc[table.index[::5], "truth"] = ""
    folder.write_predictions(table)
    (read,) = finished_runs(Grid("", (run,), None))
    matrix = results.confusion(table, "test", list(read.scoring.classes))
    np.testing.assert_array_equal(read.parts["test"].sums, matrix)


# ---- statistics


def simulate(speakers: int, each: int = 20) -> np.ndarray:
    """Simulate moments (1, K, 7) of speakers with an error and an offset of their own."""
    truth = RNG.normal(3, 1, (speakers, each))
    offset, slope = RNG.normal(0, 0.3, (speakers, 1)), RNG.uniform(0.4, 0.8, (speakers, 1))
    predicted = 3 + offset + slope * (truth - 3) + RNG.normal(0, 0.5, truth.shape)
    columns = (np.ones_like(truth), truth, predicted, truth**2, predicted**2, truth * predicted)
    return np.stack([*columns, abs(truth - predicted)], axis=2).sum(axis=1)[None]


def test_resampled_ccc_is_that_of_the_drawn_speakers() -> None:
    moments = np.concatenate([simulate(4), simulate(4)])
    drawn = np.array([[1.0, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 4]])
    for row, value in zip(drawn, resampled_ccc(moments, drawn), strict=True):
        by_seed = []
        for seed in moments:
            n, t, p, tt, pp, tp, _ = row @ seed
            means = t / n, p / n
            spread = tt / n - means[0] ** 2 + pp / n - means[1] ** 2 + (means[0] - means[1]) ** 2
            by_seed.append(2 * (tp / n - means[0] * means[1]) / spread)
        assert value == pytest.approx(np.mean(by_seed))


def test_interval_of_ccc_has_nominal_coverage_and_equal_systems_differ_rarely() -> None:
    truth = float(resampled_ccc(simulate(20_000), np.ones((1, 20_000)))[0])
    covered, rejected, trials, drawn = 0, 0, 300, weights(10, 400)
    for _ in range(trials):
        first, second = simulate(10), simulate(10)
        interval = speaker_interval(first, drawn, resampled_ccc, (-1.0, 1.0))
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
        result = over_speakers(first, second, drawn, resampled_ccc)
        assert result is not None
        rejected += result.p < 0.05
    assert 0.90 <= covered / trials <= 1.0
    assert rejected / trials <= 0.10
    assert statistics.speaker_interval(simulate(1), weights(1, 10), resampled_ccc) is None
