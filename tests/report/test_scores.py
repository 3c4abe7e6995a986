"""What is read, what counts, and how it is joined."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import CLASSES, EACH, confusion, grid, planned, truth, write

from ser import metrics, results
from ser.errors import UserError
from ser.report import compute
from ser.report.findings import missing
from ser.report.gather import finished_runs
from ser.report.scores import Cell, cells, sample_sd, slices, summary
from ser.sweeps.grid import Grid


def made(grid: Grid) -> list[Cell]:
    return cells(grid, finished_runs(grid))


def test_pooled_scores_are_those_of_hand_made_confusions(tmp_path: Path) -> None:
    found = grid(tmp_path, ["mlp"])
    (cell,) = made(found)
    summed = summary(cell, "test")
    assert summed is not None
    by_seed = [confusion([run for run in found.runs if run.seed == seed]) for seed in range(3)]
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
    single = [[confusion([r]) for r in found.runs if r.seed == seed] for seed in range(3)]
    by_fold = [[np.diag(m) / m.sum(axis=1) for m in folds] for folds in single]
    np.testing.assert_allclose(summed.recalls["fold_mean"], np.mean(by_fold, axis=1))


def test_means_over_folds_are_of_fold_scores(tmp_path: Path) -> None:
    found = grid(tmp_path, ["mlp"])
    (cell,) = made(found)
    for part in ("test", "val"):
        single = {
            (run.seed, run.fold): metrics.unweighted_accuracy(confusion([run], part))
            for run in found.runs
        }
        summed = summary(cell, part)
        assert summed is not None
        for seed in range(3):
            mean = np.mean([single[seed, fold] for fold in range(6)])
            assert summed.seeds["fold_mean"]["ua"][seed] == pytest.approx(mean)
        folds = [np.mean([single[seed, fold] for seed in range(3)]) for fold in range(6)]
        np.testing.assert_allclose(summed.folds, folds)


def test_a_seed_that_lacks_a_fold_changes_nothing(tmp_path: Path) -> None:
    found = grid(tmp_path, ["mlp"])
    (before,) = made(Grid("", tuple(run for run in found.runs if run.seed < 2), None))
    (found.runs[-1].folder / results.RESULT).unlink()
    (after,) = made(found)
    assert (after.seeds, after.planned, dict(after.missing)) == ((0, 1), 3, {2: (5,)})
    assert len(after.runs) == 17
    np.testing.assert_array_equal(after.confusions("test"), before.confusions("test"))
    assert [one.ua for one in slices(after)] == [one.ua for one in slices(before)]


def test_a_seed_begun_later_must_have_every_fold(tmp_path: Path) -> None:
    """As in a folder, where nobody says how many runs there should be."""
    found = grid(tmp_path, ["mlp"])
    fewer = tuple(run for run in found.runs if run.seed < 2 or run.fold < 4)
    (cell,) = made(Grid("", fewer, None))
    assert cell.seeds == (0, 1)
    assert cell.missing == {2: (4, 5)}


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ([(2, 3), (2, 5)], ["seed 2, folds 3, 5: aae"]),
        ([(1, 0), (2, 0)], ["seeds 1, 2, fold 0: aae"]),
        (
            [(0, 2), (0, 3), (0, 4), *((1, fold) for fold in range(6))],
            ["seed 0, folds 2-4: aae", "seed 1, all 6 folds: aae"],
        ),
    ],
)
def test_missing_runs_are_named(
    lost: list[tuple[int, int]], told: list[str], tmp_path: Path
) -> None:
    found = grid(tmp_path)
    for run in found.runs:
        if run.system == "aae" and (run.seed, run.fold) in lost:
            shutil.rmtree(run.folder)
    assert missing(compute(found)) == told


def test_slices_are_counted_by_hand(tmp_path: Path) -> None:
    found = grid(tmp_path, ["mlp"], seeds=2)
    (cell,) = made(found)
    by = {(one.column, one.value): one for one in slices(cell)}
    assert {column for column, _ in by} == {"gender", "session", "speaker", "style", "text"}
    women = [confusion([r for r in found.runs if r.seed == s and r.fold % 2 == 0]) for s in (0, 1)]
    female = by["gender", "female"]
    assert female.utterances == 3 * EACH
    assert female.ua == pytest.approx(np.mean([metrics.unweighted_accuracy(m) for m in women]))
    assert female.wa == pytest.approx(np.mean([metrics.weighted_accuracy(m) for m in women]))
    halves = [by["style", style] for style in ("improvised", "scripted")]
    assert sum(one.utterances for one in halves) == 6 * EACH
    assert by["text", "new"].utterances == 6 * 10


def test_an_absent_class_is_left_out_and_said(tmp_path: Path) -> None:
    run = planned(tmp_path)
    told = {part: truth(0, part) for part in ("val", "test")}
    write(run, told)
    table = results.RunFolder(run.folder).read_predictions()
    table.loc[table["truth"] == "high", ["truth", "prediction"]] = "low"
    results.RunFolder(run.folder).write_predictions(table)
    (cell,) = made(Grid("", (run,), None))
    summed = summary(cell, "test")
    assert summed is not None
    assert summed.mean("pooled", "ua") == 1
    assert summed.mean("pooled", "chance_ua") == 0.5
    assert {one.classes for one in slices(cell)} == {2}


def test_order_of_rows_and_of_runs_is_no_matter(tmp_path: Path) -> None:
    found = grid(tmp_path, targets=["valence", "activation"])
    before = made(found)
    run = found.runs[0]
    results.RunFolder(run.folder).write_predictions(
        results.RunFolder(run.folder).read_predictions()[::-1]
    )
    after = made(Grid("", tuple(reversed(found.runs)), "mlp"))
    assert [(c.system, c.column) for c in after] == [(c.system, c.column) for c in before]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.confusions("test"), other.confusions("test"))
        parts = [cell.runs[0, 0].parts["test"] for cell in (one, other)]
        assert parts[0].digest == parts[1].digest


def test_systems_go_as_in_the_paper(tmp_path: Path) -> None:
    published = {"valence": {"ua": 1.0}, "activation": {"ua": 1.0}}
    runs = [
        write(planned(tmp_path, name, target=target, paper={"key": "p", "row": row} | paper))
        for target in ("activation", "valence")
        for name, row, paper in (("c", 1, {"published": published}), ("b", 3, {}), ("a", 2, {}))
    ]
    found = made(Grid("", tuple(runs), None))
    assert list(dict.fromkeys(cell.system for cell in found)) == ["c", "a", "b"]
    assert [cell.target for cell in found[:2]] == ["valence", "activation"]
    plain = [write(planned(tmp_path / "plain", name)) for name in "abc"]
    assert [cell.system for cell in made(Grid("", tuple(plain), "c"))] == ["c", "a", "b"]


def test_the_part_is_the_papers_or_what_there_is(tmp_path: Path) -> None:
    run = write(planned(tmp_path, paper={"key": "p", "part": "val", "joined": "fold_mean"}))
    (cell,) = made(Grid("", (run,), None))
    assert (cell.part, cell.joined) == ("val", "fold_mean")
    other = write(planned(tmp_path, "aae"))
    table = results.RunFolder(other.folder).read_predictions()
    results.RunFolder(other.folder).write_predictions(table[table["part"] == "val"])
    (cell,) = made(Grid("", (other,), None))
    assert cell.part == "val"
    assert summary(cell, "test") is None


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
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


def test_runs_of_one_cell_agree(tmp_path: Path) -> None:
    runs = (
        write(planned(tmp_path, fold=0)),
        write(planned(tmp_path, fold=1), classes=CLASSES[::-1]),
    )
    with pytest.raises(UserError, match="differ in their classes"):
        made(Grid("", runs, None))
    twice = (runs[0], planned(tmp_path / "copy"))
    with pytest.raises(UserError, match="the same run"):
        made(Grid("", twice, None))


def test_one_seed_has_no_spread() -> None:
    assert np.isnan(sample_sd(np.array([0.5])))
    assert sample_sd(np.array([0.4, 0.6])) == pytest.approx(np.sqrt(0.02))


def test_ece_is_of_all_folds_of_a_seed(tmp_path: Path) -> None:
    """Predictions of one system all surer than right by as much, of another exactly right."""
    runs = []
    for system, sure in (("too sure", 0.9), ("right", 0.6)):
        for fold in range(2):
            run = write(planned(tmp_path, system, fold=fold))
            table = results.RunFolder(run.folder).read_predictions()
            is_right = np.arange(len(table)) % 5 < 3  # three of five
            others = table["truth"].map({"low": "high", "neutral": "low", "high": "neutral"})
            table["prediction"] = table["truth"].where(is_right, others)
            for name in CLASSES:
                is_told = table["prediction"] == name
                table[f"p_{name}"] = np.where(is_told, sure, (1 - sure) / 2)
            results.RunFolder(run.folder).write_predictions(table)
            runs.append(run)
    found = {cell.system: cell for cell in made(Grid("", tuple(runs), None))}
    for system, gap in (("too sure", 0.3), ("right", 0.0)):
        summed = summary(found[system], "test")
        assert summed is not None
        assert summed.mean("pooled", "ece") == pytest.approx(gap, abs=1e-9)
        assert summed.mean("fold_mean", "ece") == pytest.approx(gap, abs=1e-9)
        counts = found[system].reliabilities("test")
        assert counts.shape == (1, 2, metrics.BINS, 3)
        assert counts[..., 0].sum() == 2 * EACH
