"""Scores over an option that a grid sweeps: what is drawn, and from which runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import planned, truth, write

from ser import results
from ser.report import compute, report
from ser.report.figures.curve import curve
from ser.sweeps.grid import Grid, PlannedRun

SIZE = "representation.size"
SIZES = ("32", "64", "128", "256", "512")
SYSTEMS = ("ae_lstm", "vae_lstm")


def swept(
    root: Path,
    sizes: tuple[str, ...] = SIZES,
    targets: tuple[str, ...] = ("emotion",),
    systems: tuple[str, ...] = SYSTEMS,
    option: str = SIZE,
    seeds: int = 2,
) -> Grid:
    """A finished grid of two folds; larger codes are more often right."""
    runs = [
        made(planned(root, system, seed, fold, target, varied={option: size}), number)
        for system in systems
        for number, size in enumerate(sizes)
        for target in targets
        for seed in range(seeds)
        for fold in range(2)
    ]
    return Grid("swept", tuple(runs), None)


def made(run: PlannedRun, number: int) -> PlannedRun:
    rng = np.random.default_rng([len(run.system), run.seed, run.fold, number])
    told = {}
    for part in ("val", "test"):
        true = truth(run.fold, part)
        is_right = rng.random(len(true)) < 0.4 + 0.1 * number
        told[part] = np.where(is_right, true, (true + rng.integers(1, 3, len(true))) % 3)
    return write(run, told)


def marks(text: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Places of marks by system and value, one of each panel that has it."""
    pattern = r'<circle class="mark[^"]*" cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(\S+), (\S+):'
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for across, down, system, value in re.findall(pattern, text):
        found.setdefault((system, value), []).append((float(across), float(down)))
    return found


def test_each_point_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    grid = swept(tmp_path / "runs")
    report(grid, tmp_path / "out")
    told = pd.read_csv(tmp_path / "out" / "curve.csv", dtype={"value": str})
    assert len(told) == len(SYSTEMS) * len(SIZES) * 3
    assert list(told["value"].drop_duplicates()) == list(SIZES)  # by size, not by name
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    scores = scores[scores["shown"]].set_index("system")
    for row in told.itertuples():
        whole = scores.loc[f"{row.system} {SIZE}={row.value}"]
        assert row.mean == pytest.approx(whole[row.score], abs=2e-6)
        assert row.sd == pytest.approx(whole[f"{row.score}_sd"], abs=2e-6)

    drawn = marks((tmp_path / "out" / "curve.svg").read_text())
    assert set(drawn) == {(system, size) for system in SYSTEMS for size in SIZES}
    # Sizes that double are at equal distances; the better, the higher.
    across = [drawn["ae_lstm", size][0][0] for size in SIZES]
    assert np.diff(across) == pytest.approx(np.full(4, np.diff(across).mean()), abs=0.15)
    ua = told[(told["system"] == "ae_lstm") & (told["score"] == "ua")]["mean"]
    down = [drawn["ae_lstm", size][0][1] for size in SIZES]
    assert np.corrcoef(ua, down)[0, 1] < -0.999


def test_the_curve_is_on_the_page_and_in_the_text(tmp_path: Path) -> None:
    report(swept(tmp_path / "runs"), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'id="curve"' in page
    assert 'href="#curve"' in page
    assert len(marks(page)) == len(SYSTEMS) * len(SIZES)
    assert "(curve.svg)" in (tmp_path / "out" / "report.md").read_text()


def test_several_targets_have_their_mean(tmp_path: Path) -> None:
    targets = ("activation", "dominance", "valence")
    grid = swept(tmp_path / "runs", ("32", "64"), targets, seeds=1)
    lacking = next(run for run in grid.runs if run.system.endswith("64"))
    (lacking.folder / results.RESULT).unlink()
    report(grid, tmp_path / "out")
    told = pd.read_csv(tmp_path / "out" / "curve.csv")
    mean = f"mean of {', '.join(targets)}"
    assert list(told["target"].drop_duplicates()) == [*targets, mean]
    told = told.set_index(["system", "value", "target", "score"])["mean"]
    for system in SYSTEMS:
        of_each = [told[system, 32, target, "f1"] for target in targets]
        assert told[system, 32, mean, "f1"] == pytest.approx(np.mean(of_each), abs=2e-6)
    # No mean of fewer targets than the others have.
    assert ("ae_lstm", 64, mean, "f1") not in told
    assert ("ae_lstm", 64, "valence", "f1") in told
    assert ("vae_lstm", 64, mean, "f1") in told


def test_what_is_not_finished_is_not_drawn(tmp_path: Path) -> None:
    grid = swept(tmp_path / "runs")
    for run in grid.runs:
        whole, first = f"vae_lstm {SIZE}=512", f"vae_lstm {SIZE}=256"
        if run.system == whole or (run.system == first and run.seed == 1):
            (run.folder / results.RESULT).unlink()
    report(grid, tmp_path / "out")
    text = (tmp_path / "out" / "curve.svg").read_text()
    drawn = marks(text)
    assert ("vae_lstm", "512") not in drawn
    assert ("ae_lstm", "512") in drawn
    assert "1 of 2 seeds" in text
    assert text.count('few"') == 3  # hollow, in each panel
    told = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert told[(told["system"] == "vae_lstm") & (told["value"] == 256)]["sd"].isna().all()


@pytest.mark.parametrize(
    ("option", "values"),
    [("features", ("is10", "lld")), (SIZE, ("2", "[2,10]")), (SIZE, ("64",))],
)
def test_without_several_numbers_there_is_no_curve(
    option: str, values: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report(swept(tmp_path / "numbers", ("32", "64")), out)
    assert (out / "curve.svg").exists()
    report(swept(tmp_path / "runs", values, option=option), out)
    assert not (out / "curve.svg").exists()
    assert not (out / "curve.csv").exists()
    assert 'id="curve"' not in (out / "index.html").read_text()


def test_steps_of_equal_size_are_at_equal_distances(tmp_path: Path) -> None:
    shares = ("0.25", "0.5", "0.75", "1")
    grid = swept(tmp_path / "runs", shares, option="target.labelled_fraction")
    found = curve(compute(grid))
    assert found is not None
    assert found.values == (0.25, 0.5, 0.75, 1.0)
    report(grid, tmp_path / "out")
    drawn = marks((tmp_path / "out" / "curve.svg").read_text())
    across = [drawn["ae_lstm", share][0][0] for share in shares]
    assert np.diff(across) == pytest.approx(np.full(3, np.diff(across).mean()), abs=0.15)
