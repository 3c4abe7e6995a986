"""Reports of runs that are scored against the shares of raters."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, plan_grid, utterances, write
from written import Written, write_report

from ser import metrics, results
from ser.report import compute, raters, shares
from ser.sweeps.planned import PlannedRun


def predicted(run: PlannedRun, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Shares of four raters, and probabilities of a run, nearer to them for "aae"; (EACH, C)."""
    t = np.random.default_rng([run.fold, part == "test"]).multinomial(4, [0.5, 0.3, 0.2], EACH) / 4
    rng = np.random.default_rng([run.seed, run.fold, len(run.system)])
    own = 0.8 if run.system == "aae" else 0.3
    return t, own * t + (1 - own) * rng.dirichlet(np.ones(3), EACH)


def write_shares(run: PlannedRun) -> PlannedRun:
    write(run)
    folder, table, parts = results.RunFolder(run.folder), utterances(run.fold), []
    for part in ("val", "test"):
        t, p = predicted(run, part)
        ids = table.loc[table["part"] == part, "utterance"]
        tied = (metrics.majority(t) > 0).sum(axis=1) > 1
        names = pd.Series(np.array(CLASSES)[t.argmax(axis=1)], ids).mask(tied)
        parts.append(
            results.predictions(part, names, p, CLASSES, pd.DataFrame(t, ids, list(CLASSES)))
        )
    folder.write_predictions(pd.concat(parts))
    stored = folder.read_predictions()
    scores = {part: results.split_scores(stored, part, CLASSES) for part in ("val", "test")}
    record = results.read_json(run.folder / results.RESULT) or {}
    results.write_json(run.folder / results.RESULT, record | scores)
    return run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two systems, two seeds, four folds: four speakers are tested."""
    folder = tmp_path_factory.mktemp("shares")
    grid = plan_grid(folder, seeds=2, folds=4)
    for run in grid.runs:
        write_shares(run)
    return write_report(grid, folder / "out")


def test_scores_are_those_of_all_predictions(written: Written) -> None:
    table = pd.read_csv(written.out / "shares.csv").set_index("system")
    for system in ("aae", "mlp"):
        by_seed = []
        for seed in (0, 1):
            runs = [r for r in written.grid.runs if (r.system, r.seed) == (system, seed)]
            pairs = [predicted(run, "test") for run in runs]
            t, p = (np.concatenate(each) for each in zip(*pairs, strict=True))
            by_seed.append(metrics.distribution_scores(t, p))
        for name in ("kl", "js", "ece_distribution"):
            values = [each[name] for each in by_seed]
            row = table.loc[system]
            assert row[name] == pytest.approx(np.mean(values), abs=1e-6)
            assert row[f"{name}_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
            assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        assert row["utterances"] == 4 * EACH  # ties are among them
        assert row["speakers"] == 4
    assert table.loc["aae", "js_high"] < table.loc["mlp", "js_low"]


def test_documents_have_the_table(written: Written) -> None:
    for name in ("report.md", "report.tex", "index.html"):
        text = written.read(name)
        assert raters.TITLE in text
        assert "calibration error" in text


def test_speakers_are_resampled_with_their_utterances() -> None:
    sums = np.zeros((2, 3, shares.SUMS))
    sums[..., 0], sums[..., 1] = [1, 2, 3], [[3, 2, 6], [1, 4, 3]]
    drawn = np.array([[1, 1, 1], [2, 0, 1]])
    values = raters._resampled(sums, drawn, "kl")
    np.testing.assert_allclose(values, [(11 / 6 + 8 / 6) / 2, (12 / 5 + 5 / 5) / 2])


def test_changed_shares_are_damage(written: Written, tmp_path: Path) -> None:
    run = write_shares(plan_grid(tmp_path, seeds=1, folds=1).runs[0])
    folder = results.RunFolder(run.folder)
    table = folder.read_predictions()
    table.loc[table["part"] == "test", "t_low"] *= 0.5
    folder.write_predictions(table)
    with pytest.raises(ValueError, match="gives another kl of test"):
        shares.read(folder, results.read_json(folder.record_file) or {}, None, CLASSES)


def test_runs_without_shares_have_no_table(tmp_path: Path) -> None:
    grid = plan_grid(tmp_path, seeds=1, folds=2)
    for run in grid.runs:
        write(run)
    assert raters.table(compute(grid)) is None
