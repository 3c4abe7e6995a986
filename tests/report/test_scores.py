"""Reading of runs, complete seeds, and joining of folds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, confusion, planned, truth, without, write, write_grid
from written import write_report

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute
from ser.report.cells import Cell, cells
from ser.report.data import missing
from ser.report.gather import finished_runs
from ser.report.scores import sample_sd, slices, summary
from ser.report.tables import sliced
from ser.results import restored
from ser.sweeps.grid import Grid


def read_cells(grid: Grid) -> list[Cell]:
    return cells(grid, finished_runs(grid))


@pytest.fixture(scope="module")
def mlp(finished_grid: Grid) -> Grid:
    """One system of the shared grid."""
    return Grid("", tuple(run for run in finished_grid.runs if run.system == "mlp"), None)


@pytest.fixture(scope="module")
def cell(mlp: Grid) -> Cell:
    (cell,) = read_cells(mlp)
    return cell


def test_pooled_scores_equal_those_of_counted_confusion_matrices(mlp: Grid, cell: Cell) -> None:
    summed = summary(cell, "test")
    assert summed is not None
    by_seed = [confusion([run for run in mlp.runs if run.seed == seed]) for seed in range(3)]
    for name, score in (
        ("ua", metrics.unweighted_accuracy),
        ("wa", metrics.weighted_accuracy),
        ("f1", metrics.macro_f1),
    ):
        values = [score(matrix) for matrix in by_seed]
        np.testing.assert_allclose(summed.seeds["pooled"][name], values)
        assert summed.mean("pooled", name) == pytest.approx(np.mean(values))
        assert summed.sd("pooled", name) == pytest.approx(np.std(values, ddof=1))
    assert summed.utterances == 6 * EACH
    np.testing.assert_array_equal(summed.support, by_seed[0].sum(axis=1))
    recalls = [np.diag(matrix) / matrix.sum(axis=1) for matrix in by_seed]
    np.testing.assert_allclose(summed.recalls["pooled"], recalls)
    # UA is their mean, however folds are joined.
    single = [[confusion([r]) for r in mlp.runs if r.seed == seed] for seed in range(3)]
    by_fold = [[np.diag(m) / m.sum(axis=1) for m in folds] for folds in single]
    np.testing.assert_allclose(summed.recalls["fold_mean"], np.mean(by_fold, axis=1))


def test_fold_means_are_means_of_fold_scores(mlp: Grid, cell: Cell) -> None:
    for part in ("test", "val"):
        single = {
            (run.seed, run.fold): metrics.unweighted_accuracy(confusion([run], part))
            for run in mlp.runs
        }
        summed = summary(cell, part)
        assert summed is not None
        for seed in range(3):
            mean = np.mean([single[seed, fold] for fold in range(6)])
            assert summed.seeds["fold_mean"]["ua"][seed] == pytest.approx(mean)
        folds = [np.mean([single[seed, fold] for seed in range(3)]) for fold in range(6)]
        np.testing.assert_allclose(summed.folds, folds)


def test_incomplete_seed_is_not_counted(mlp: Grid) -> None:
    (before,) = read_cells(Grid("", tuple(run for run in mlp.runs if run.seed < 2), None))
    (after,) = read_cells(without(mlp, lambda run: (run.seed, run.fold) == (2, 5)))
    assert (after.seeds, after.planned, dict(after.missing)) == ((0, 1), 3, {2: (5,)})
    assert len(after.runs) == 17
    np.testing.assert_array_equal(after.sums("test"), before.sums("test"))
    assert [one.scores for one in slices(after)] == [one.scores for one in slices(before)]


def test_seed_with_fewer_planned_folds_is_incomplete(mlp: Grid) -> None:
    """As in a folder, where the number of planned runs is unknown."""
    fewer = tuple(run for run in mlp.runs if run.seed < 2 or run.fold < 4)
    (cell,) = read_cells(Grid("", fewer, None))
    assert cell.seeds == (0, 1)
    assert cell.missing == {2: (4, 5)}


@pytest.mark.parametrize(
    ("lost", "listed"),
    [
        ([(2, 3), (2, 5)], ["seed 2, folds 3, 5: aae"]),
        ([(1, 0), (2, 0)], ["seeds 1, 2, fold 0: aae"]),
        (
            [(0, 2), (0, 3), (0, 4), *((1, fold) for fold in range(6))],
            ["seed 0, folds 2-4: aae", "seed 1, all 6 folds: aae"],
        ),
    ],
)
def test_missing_runs_are_listed(
    lost: list[tuple[int, int]], listed: list[str], finished_grid: Grid
) -> None:
    grid = without(finished_grid, lambda run: run.system == "aae" and (run.seed, run.fold) in lost)
    assert missing(compute(grid)) == listed


def test_slices_equal_counted_ones(mlp: Grid, cell: Cell) -> None:
    by = {(one.column, one.value): one for one in slices(cell)}
    assert {column for column, _ in by} == {"gender", "session", "speaker", "style", "text"}
    women = [confusion([r for r in mlp.runs if r.seed == s and r.fold % 2 == 0]) for s in range(3)]
    female = by["gender", "female"]
    assert female.utterances == 3 * EACH
    assert female.scores["ua"] == pytest.approx(
        np.mean([metrics.unweighted_accuracy(m) for m in women])
    )
    assert female.scores["wa"] == pytest.approx(
        np.mean([metrics.weighted_accuracy(m) for m in women])
    )
    halves = [by["style", style] for style in ("improvised", "scripted")]
    assert sum(one.utterances for one in halves) == 6 * EACH
    assert by["text", "new"].utterances == 6 * 10


def test_joined_corpora_languages_and_published_splits_are_slices(tmp_path: Path) -> None:
    runs = [write(planned(tmp_path, fold=fold)) for fold in (0, 1)]
    for run in runs:
        folder = results.RunFolder(run.folder)
        table = folder.read_utterances()
        corpus = ["emodb", "own"][run.fold]  # each fold tests one, both folds have several
        folder.write_utterances(table.assign(corpus=corpus, split="test1", language="de"))
    (cell,) = read_cells(Grid("", tuple(runs), None))
    by = {(one.column, one.value): one for one in slices(cell)}
    assert by["corpus", "own"].utterances == EACH
    score = metrics.unweighted_accuracy(confusion(runs[1:]))
    assert by["corpus", "own"].scores["ua"] == pytest.approx(score)
    # One value for all utterances is no slice.
    assert not {"split", "language"} & {column for column, _ in by}
    table = sliced(compute(Grid("", tuple(runs), None)), cell.column)
    assert table is not None
    assert [row[:2] for row in table.rows if row[0] == "corpus"] == [
        ("corpus", "emodb"),
        ("corpus", "own"),
    ]


def test_absent_class_is_ignored(tmp_path: Path) -> None:
    run = planned(tmp_path)
    write(run, {part: truth(0, part) for part in ("val", "test")})
    table = results.RunFolder(run.folder).read_predictions()
    table.loc[table["truth"] == "high", ["truth", "prediction"]] = "low"
    results.RunFolder(run.folder).write_predictions(table)
    (cell,) = read_cells(Grid("", (run,), None))
    summed = summary(cell, "test")
    assert summed is not None
    assert summed.mean("pooled", "ua") == 1
    assert summed.mean("pooled", "chance_ua") == 0.5
    assert {one.classes for one in slices(cell)} == {2}


def test_order_of_rows_and_runs_does_not_matter(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, targets=["valence", "activation"], seeds=2, folds=3)
    before = read_cells(grid)
    run = grid.runs[0]
    results.RunFolder(run.folder).write_predictions(
        results.RunFolder(run.folder).read_predictions()[::-1]
    )
    after = read_cells(Grid("", tuple(reversed(grid.runs)), "mlp"))
    assert [(c.system, c.column) for c in after] == [(c.system, c.column) for c in before]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.sums("test"), other.sums("test"))
        parts = [cell.runs[0, 0].parts["test"] for cell in (one, other)]
        assert parts[0].digest == parts[1].digest


def test_systems_are_ordered_as_in_the_paper(tmp_path: Path) -> None:
    published = {"valence": {"ua": 1.0}, "activation": {"ua": 1.0}}
    runs = [
        write(planned(tmp_path, name, target=target, paper={"key": "p", "row": row} | paper))
        for target in ("activation", "valence")
        for name, row, paper in (
            ("c", 1, {"published": published}),
            ("b", 3, {}),
            ("a", 2, {}),
            ("added", None, {}),
        )
    ]
    ordered = read_cells(Grid("", tuple(runs), None))
    assert list(dict.fromkeys(cell.system for cell in ordered)) == ["c", "a", "b", "added"]
    assert [cell.target for cell in ordered[:2]] == ["valence", "activation"]
    plain = [write(planned(tmp_path / "plain", name)) for name in "abc"]
    assert [cell.system for cell in read_cells(Grid("", tuple(plain), "c"))] == ["c", "a", "b"]


def test_split_is_that_of_the_paper_or_the_only_one(tmp_path: Path) -> None:
    run = write(planned(tmp_path, paper={"key": "p", "part": "val", "joined": "fold_mean"}))
    (cell,) = read_cells(Grid("", (run,), None))
    assert (cell.part, cell.joined) == ("val", "fold_mean")
    other = write(planned(tmp_path, "aae"))
    table = results.RunFolder(other.folder).read_predictions()
    results.RunFolder(other.folder).write_predictions(table[table["part"] == "val"])
    (cell,) = read_cells(Grid("", (other,), None))
    assert cell.part == "val"
    assert summary(cell, "test") is None


def test_damaged_run_is_named(tmp_path: Path) -> None:
    run = write(planned(tmp_path))
    whole = (run.folder / results.PREDICTIONS).read_text()
    for damage in (whole[: len(whole) // 2], whole.replace("neutral", "neutre"), ""):
        (run.folder / results.PREDICTIONS).write_text(damage)
        with pytest.raises(UserError, match=f"{run.folder}.*force=true"):
            finished_runs(Grid("", (run,), None))
    (run.folder / results.PREDICTIONS).write_text(whole)
    speech = (run.folder / results.UTTERANCES).read_text()
    (run.folder / results.UTTERANCES).write_text("\n".join(speech.splitlines()[:-1]))
    with pytest.raises(UserError, match="lacks utterances"):
        finished_runs(Grid("", (run,), None))


def test_runs_of_one_cell_must_agree(tmp_path: Path) -> None:
    runs = (
        write(planned(tmp_path, fold=0)),
        write(planned(tmp_path, fold=1), classes=CLASSES[::-1]),
    )
    with pytest.raises(UserError, match="differ in their classes"):
        read_cells(Grid("", runs, None))
    twice = (runs[0], planned(tmp_path / "copy"))
    with pytest.raises(UserError, match="the same run"):
        read_cells(Grid("", twice, None))


def test_one_seed_has_no_standard_deviation() -> None:
    assert np.isnan(sample_sd(np.array([0.5])))
    assert sample_sd(np.array([0.4, 0.6])) == pytest.approx(np.sqrt(0.02))


def test_ece_is_over_all_folds_of_a_seed(tmp_path: Path) -> None:
    """One system is overconfident by 0.3 in each prediction, the other calibrated."""
    runs = []
    for system, confidence in (("overconfident", 0.9), ("calibrated", 0.6)):
        for fold in range(2):
            run = write(planned(tmp_path, system, fold=fold))
            table = results.RunFolder(run.folder).read_predictions()
            is_correct = np.arange(len(table)) % 5 < 3  # three of five
            others = table["truth"].map({"low": "high", "neutral": "low", "high": "neutral"})
            table["prediction"] = table["truth"].where(is_correct, others)
            for name in CLASSES:
                is_predicted = table["prediction"] == name
                table[f"p_{name}"] = np.where(is_predicted, confidence, (1 - confidence) / 2)
            results.RunFolder(run.folder).write_predictions(table)
            runs.append(run)
    by_system = {cell.system: cell for cell in read_cells(Grid("", tuple(runs), None))}
    for system, gap in (("overconfident", 0.3), ("calibrated", 0.0)):
        summed = summary(by_system[system], "test")
        assert summed is not None
        assert summed.mean("pooled", "ece") == pytest.approx(gap, abs=1e-9)
        assert summed.mean("fold_mean", "ece") == pytest.approx(gap, abs=1e-9)
        counts = by_system[system].details("test")
        assert counts.shape == (1, 2, metrics.BINS, 3)
        assert counts[..., 0].sum() == 2 * EACH


def test_classes_named_as_formulas_have_their_recorded_scores(tmp_path: Path) -> None:
    classes = ('=HYPERLINK("x")', "-neutral", "'=high")
    run = planned(tmp_path)
    write(run, classes=classes)
    table = results.RunFolder(run.folder).read_predictions()
    recorded = {part: results.split_scores(table, part, classes) for part in ("val", "test")}
    write(run, classes=classes, **recorded)
    written = write_report(Grid("odd", (run,), None), tmp_path / "report")
    recalls = pd.read_csv(written.out / "recalls.csv").query("joined == 'pooled'")
    assert recalls["class"].tolist() == ['\'=HYPERLINK("x")', "'-neutral", "''=high"]
    found = recalls["recall"].tolist()
    assert found == pytest.approx(list(recorded["test"]["recall"].values()), abs=1e-6)
    assert restored(recalls)["class"].tolist() == list(classes)
