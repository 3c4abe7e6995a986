"""Maps of codes whose target is a value: coloured by the true value, with a colour bar."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import SPEAKERS, plan_grid, represent, utterances, write_values
from test_figure_files import DARK, DEFICIENCIES, lab, linear
from written import Written, write_report

from ser import results
from ser.plots.colours import LIGHT, SHADES, UNKNOWN, shades
from ser.plots.maps import Scale
from ser.report import compute
from ser.report.contents import Contents
from ser.report.figures.codes import atlas, picture
from ser.report.figures.neighbours import coded, frame, table
from ser.report.figures.representations import with_planes
from ser.report.figures.tsne import column
from ser.report.figures.tsne import picture as tsne_picture
from ser.report.figures.tsne import points as tsne_points
from ser.report.text import NONE
from ser.sweeps.grid import Grid

LABEL = "activation (mean rating)"


def write_coded(root: Path, sizes: dict[str, int]) -> Grid:
    """Write a run of each system on values, whose codes encode the value."""
    grid = plan_grid(root, tuple(sizes), seeds=1, folds=1, baseline=None)
    for run in grid.runs:
        represent(write_values(run), sizes[run.system], sides=(), centres=[[0.0, 0.0]], spread=1.0)
        folder = results.RunFolder(run.folder)
        table = pd.read_csv(folder.codes_file, dtype={"utterance": str})
        values = np.random.default_rng(3).integers(6, 31, len(table)) / 6
        table["code_0"], table["truth"] = values + 0.1 * table["code_1"], values
        folder.codes_file.write_text(table.to_csv(index=False, float_format="%.9g"))
        folder.write_utterances(utterances(run.fold).assign(valence=1.0))
    return grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """A system with codes of two values, and one with codes of three; do not modify."""
    return write_coded(tmp_path_factory.mktemp("value_maps") / "runs", {"mlp": 2, "aae": 3})


@pytest.fixture(scope="module")
def written(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(grid, tmp_path_factory.mktemp("value_maps") / "out")


def test_shades_are_ordered_by_lightness_with_any_colour_vision() -> None:
    known = shades(9)
    luminance = np.array([linear(each) @ [0.2126, 0.7152, 0.0722] for each in known])
    backs = [linear(each) @ [0.2126, 0.7152, 0.0722] for each in (LIGHT["--back"], *DARK)]
    for back in backs:
        low, high = np.minimum(luminance, back), np.maximum(luminance, back)
        assert ((high + 0.05) / (low + 0.05)).min() > 2.2
    for deficiency, matrix in DEFICIENCIES.items():
        seen = [lab(np.clip(matrix @ linear(each), 0, 1)) for each in [*known, UNKNOWN]]
        assert np.all(np.diff([each[0] for each in seen[:-1]]) > 0), deficiency
        for (i, first), (j, second) in itertools.combinations(enumerate(seen), 2):
            if j - i > 1:
                assert np.linalg.norm(first - second) > 18, deficiency


def test_scale_covers_the_known_values() -> None:
    scale = Scale.of("x", pd.Series([2.0, np.nan, 3.0, 4.0]))
    assert (scale.low, scale.high) == (2.0, 4.0)
    assert scale.numbers.tolist() == [0, -1, round((SHADES - 1) / 2), SHADES - 1]
    assert scale.of_rows(np.array([True, False, True, False])).numbers.tolist() == [0, 32]
    assert set(Scale.of("x", pd.Series([3.0, 3.0])).numbers) == {0}
    with pytest.raises(ValueError, match="x: has no values"):
        Scale.of("x", pd.Series([np.nan]))


def test_picture_has_a_colour_bar_and_a_colour_per_value(grid: Grid) -> None:
    data = compute(grid)
    (example,) = with_planes(data)
    drawn = picture([atlas(data, example)])
    assert not [axes for axes in drawn.axes if axes.get_legend()]
    (bar,) = [child for axes in drawn.axes for child in axes.child_axes]
    assert bar.get_xlabel() == LABEL
    values = example.table["truth"].astype(float)
    assert bar.get_xlim() == pytest.approx((values.min(), values.max()))
    points = [c for axes in drawn.axes for c in axes.collections if len(c.get_offsets())]
    found = {}
    for each in points[:3]:
        colours = each.get_facecolors()
        found |= {
            tuple(xy): tuple(c[:3]) for xy, c in zip(each.get_offsets(), colours, strict=True)
        }
    numbers = Scale.of("x", values).numbers
    for row, number in zip(example.table.itertuples(), numbers, strict=True):
        expected = [int(shades()[number][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        assert found[row.code_0, row.code_1] == pytest.approx(expected)
    crosses = {line.get_color() for axes in drawn.axes[:2] for line in axes.lines}
    assert crosses == {"white", "0.35"}


def test_files_have_the_values(grid: Grid, written: Written) -> None:
    run = next(run for run in grid.runs if run.system == "mlp")
    stored = pd.read_csv(results.RunFolder(run.folder).codes_file).set_index("utterance")
    points = pd.read_csv(written.out / "codes.csv").set_index("utterance")
    np.testing.assert_allclose(points["truth"], stored.loc[points.index, "truth"], atol=1e-6)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', written.read(
        "codes.html"
    ))  # fmt: skip
    assert data is not None
    content: dict[str, Any]
    (content,) = json.loads(data[1])
    first = content["colourings"][0]
    assert (first["name"], first["names"], len(first["colours"])) == (LABEL, [], SHADES)
    assert first["ends"] == [f"{stored['truth'].min():.3g}", f"{stored['truth'].max():.3g}"]
    assert not content["judged"]
    assert "correctness" not in [each["name"] for each in content["colourings"]]
    assert set(content["rows"]["truth"]) == {f"{each:.3f}" for each in stored["truth"]}
    assert 'id="codes"' in written.read("index.html")
    assert "(codes.png)" in written.read("report.md")
    assert "in the colour of their class" not in written.read("report.md")


def test_tsne_and_neighbours_are_of_the_values(grid: Grid) -> None:
    data = compute(replace(grid, tsne=True))
    (example,) = Contents(data).code_examples
    columns = [column("aae", coded(example))]
    figure = tsne_picture(columns)
    bars = [child.get_ylabel() for axes in figure.axes for child in axes.child_axes]
    assert bars == [LABEL, "valence (mean rating)"]
    numbers = frame([each.coded for each in columns])
    near = numbers.set_index(["by", "value"])["near"]
    assert list(near.index) == [("activation", "r"), ("valence", "r")]
    assert near["activation", "r"] > 0.5
    assert np.isnan(near["valence", "r"])  # all are the same
    shown = table(data, numbers)
    assert shown.columns == ("system", "codes", "activation r", "valence r", "above")
    assert shown.rows[0][-2:] == (NONE, NONE)
    drawn = tsne_points(columns)
    assert drawn["truth"].tolist() == drawn["activation"].tolist()
    assert not set(drawn["speaker"]) & {SPEAKERS[0]}
