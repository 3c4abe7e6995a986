"""Scores over an option that a grid varies: what is drawn, and from which runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import planned, truth, without, write
from written import Written, write_report

from ser.report import compute, report
from ser.report.figures.curve import curve
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

SIZE = "representation.size"
SIZES = ("32", "64", "128", "256", "512")
SYSTEMS = ("ae_lstm", "vae_lstm")


def write_curve(
    root: Path,
    sizes: tuple[str, ...] = SIZES,
    targets: tuple[str, ...] = ("emotion",),
    systems: tuple[str, ...] = SYSTEMS,
    option: str = SIZE,
    seeds: int = 2,
) -> Grid:
    """Write a finished grid of two folds; larger codes have a higher accuracy."""
    runs = [
        write_size(planned(root, system, seed, fold, target, varied={option: size}), number)
        for system in systems
        for number, size in enumerate(sizes)
        for target in targets
        for seed in range(seeds)
        for fold in range(2)
    ]
    return Grid("swept", tuple(runs), None)


def write_size(run: PlannedRun, number: int) -> PlannedRun:
    rng = np.random.default_rng([len(run.system), run.seed, run.fold, number])
    predicted = {}
    for part in ("val", "test"):
        true = truth(run.fold, part)
        is_correct = rng.random(len(true)) < 0.4 + 0.1 * number
        predicted[part] = np.where(is_correct, true, (true + rng.integers(1, 3, len(true))) % 3)
    return write(run, predicted)


def marks(text: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return places of marks by system and value, one per panel."""
    pattern = (
        r'<circle (?:class="mark[^"]*" )?cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(\S+), (\S+):'
    )
    places: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for x, y, system, value in re.findall(pattern, text):
        places.setdefault((system, value), []).append((float(x), float(y)))
    return places


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two systems with five sizes; do not modify."""
    return write_curve(tmp_path_factory.mktemp("curve") / "runs")


@pytest.fixture(scope="module")
def written(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(grid, tmp_path_factory.mktemp("curve") / "out")


def test_points_are_means_over_seeds(written: Written) -> None:
    table = pd.read_csv(written.out / "curve.csv", dtype={"value": str})
    assert len(table) == len(SYSTEMS) * len(SIZES) * 3
    assert list(table["value"].drop_duplicates()) == list(SIZES)  # numerically, not alphabetically
    scores = pd.read_csv(written.out / "scores.csv")
    scores = scores[scores["shown"]].set_index("system")
    for row in table.itertuples():
        whole = scores.loc[f"{row.system} {SIZE}={row.value}"]
        assert row.mean == pytest.approx(whole[row.score], abs=2e-6)
        assert row.sd == pytest.approx(whole[f"{row.score}_sd"], abs=2e-6)

    drawn = marks(written.read("curve.svg"))
    assert set(drawn) == {(system, size) for system in SYSTEMS for size in SIZES}
    # A logarithmic axis; higher scores are drawn higher.
    xs = [drawn["ae_lstm", size][0][0] for size in SIZES]
    assert np.diff(xs) == pytest.approx(np.full(4, np.diff(xs).mean()), abs=0.15)
    ua = table[(table["system"] == "ae_lstm") & (table["score"] == "ua")]["mean"]
    ys = [drawn["ae_lstm", size][0][1] for size in SIZES]
    assert np.corrcoef(ua, ys)[0, 1] < -0.999


def test_curve_is_in_all_documents(written: Written) -> None:
    page = written.read("index.html")
    assert 'id="curve"' in page
    assert 'href="#curve"' in page
    assert len(marks(page)) == len(SYSTEMS) * len(SIZES)
    assert "(curve.svg)" in written.read("report.md")


def test_mean_over_targets_needs_all_targets(tmp_path: Path) -> None:
    targets = ("activation", "dominance", "valence")
    grid = write_curve(tmp_path / "runs", ("32", "64"), targets, seeds=1)
    lost = next(run for run in grid.runs if run.system.endswith("64"))
    report(without(grid, lambda run: run is lost), tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "curve.csv")
    mean = f"mean of {', '.join(targets)}"
    assert list(table["target"].drop_duplicates()) == [*targets, mean]
    table = table.set_index(["system", "value", "target", "score"])["mean"]
    for system in SYSTEMS:
        of_each = [table[system, 32, target, "f1"] for target in targets]
        assert table[system, 32, mean, "f1"] == pytest.approx(np.mean(of_each), abs=2e-6)
    # No mean over fewer targets.
    assert ("ae_lstm", 64, mean, "f1") not in table
    assert ("ae_lstm", 64, "valence", "f1") in table
    assert ("vae_lstm", 64, mean, "f1") in table


def test_unfinished_runs_are_not_drawn(grid: Grid, tmp_path: Path) -> None:
    none, one = f"vae_lstm {SIZE}=512", f"vae_lstm {SIZE}=256"
    lost = {(none, 0), (none, 1), (one, 1)}
    report(without(grid, lambda run: (run.system, run.seed) in lost), tmp_path / "out")
    text = (tmp_path / "out" / "curve.svg").read_text()
    drawn = marks(text)
    assert ("vae_lstm", "512") not in drawn
    assert ("ae_lstm", "512") in drawn
    assert "1 of 2 seeds" in text
    assert text.count('fill-opacity="0"') == 3  # hollow, in each panel
    table = pd.read_csv(tmp_path / "out" / "curve.csv")
    assert table[(table["system"] == "vae_lstm") & (table["value"] == 256)]["sd"].isna().all()


@pytest.mark.parametrize(
    ("option", "values"),
    [("features", ("is10", "lld")), (SIZE, ("2", "[2,10]")), (SIZE, ("64",))],
)
def test_curve_needs_several_numbers(option: str, values: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("curve.svg", "curve.csv"):
        (out / name).touch()  # of an earlier report
    report(write_curve(tmp_path / "runs", values, option=option, seeds=1), out)
    assert not (out / "curve.svg").exists()
    assert not (out / "curve.csv").exists()
    assert 'id="curve"' not in (out / "index.html").read_text()


def test_words_are_lines_and_a_single_seed_has_intervals_over_speakers(tmp_path: Path) -> None:
    grid = write_curve(tmp_path / "runs", ("0", "1", "all"), option="features.layer", seeds=1)
    over_layers = curve(compute(grid))
    assert over_layers is not None
    assert over_layers.values == (0.0, 1.0)
    out = write_report(grid, tmp_path / "out")
    table = pd.read_csv(out.out / "curve.csv", dtype={"value": str})
    assert list(table["value"].drop_duplicates()) == ["0", "1", "all"]
    text = out.read("curve.svg")
    assert {value for _, value in marks(text)} == {"0", "1"}
    scores = pd.read_csv(out.out / "scores.csv")
    scores = scores[scores["shown"]].set_index("system")
    for system in SYSTEMS:
        whole = 100 * scores.loc[f"{system} features.layer=all", ["ua", "ua_low", "ua_high"]]
        ua, low, high = (f"{value:.1f}" for value in whole)
        assert f"<title>{system}, all: {ua} ({low} to {high}), 1 of 1 seeds</title>" in text
    # In each of three panels a line per system; bars of UA alone.
    assert text.count('stroke-dasharray="7 2"') == 3 * len(SYSTEMS)
    assert len(re.findall(r'<line [^>]*stroke="#[^>]*/><circle', text)) == 2 * len(SYSTEMS)


def test_axis_of_equal_steps_is_linear(tmp_path: Path) -> None:
    shares = ("0.25", "0.5", "0.75", "1")
    grid = write_curve(tmp_path / "runs", shares, option="target.labelled_fraction", seeds=1)
    over_shares = curve(compute(grid))
    assert over_shares is not None
    assert over_shares.values == (0.25, 0.5, 0.75, 1.0)
    report(grid, tmp_path / "out")
    drawn = marks((tmp_path / "out" / "curve.svg").read_text())
    xs = [drawn["ae_lstm", share][0][0] for share in shares]
    assert np.diff(xs) == pytest.approx(np.full(3, np.diff(xs).mean()), abs=0.15)
