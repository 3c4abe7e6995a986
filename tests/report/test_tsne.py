"""Codes of many values in a report: t-SNE and nearest neighbours."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, SPEAKERS, represent, write_grid
from written import Written, write_report

from ser import results
from ser.errors import UserError
from ser.report import compute
from ser.report.contents import Contents
from ser.report.figures.neighbours import (
    NEAREST,
    RATINGS,
    chance,
    coded,
    correlation,
    frame,
    nearest,
    same_class,
)
from ser.report.figures.representations import with_codes
from ser.report.figures.tsne import column, picture
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

FILES = {"tsne.png", "tsne.pdf", "tsne.csv", "neighbours.csv"}
RNG = np.random.default_rng


def add_codes(run: PlannedRun, rated: bool, size: int = 3) -> None:
    """Add codes that encode the class, speakers, and ratings of which activation is encoded."""
    represent(run, size, sides=())
    folder = run.folder / results.REPRESENTATION
    table = pd.read_csv(folder / results.CODES, dtype={"utterance": str})
    utterances = table[["utterance", "part"]].assign(speaker=table["utterance"].str[:2])
    if rated:
        numbers = table["truth"].map(CLASSES.index)
        utterances["activation"] = numbers + RNG(0).uniform(1, 2, len(table))
        utterances["valence"] = RNG(1).uniform(1, 5, len(table))
        utterances.loc[3, "valence"] = np.nan
    results.RunFolder(run.folder).write_utterances(utterances)


def write_coded(root: Path, *, rated: bool = True) -> Grid:
    """Write one run each of two systems with codes of three values."""
    grid = write_grid(root, seeds=1, folds=1, baseline=None)
    for run in grid.runs:
        add_codes(run, rated)
    return replace(grid, tsne=True)


@pytest.fixture(scope="module")
def coded_grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Systems with codes and ratings; do not modify."""
    return write_coded(tmp_path_factory.mktemp("tsne") / "runs")


@pytest.fixture(scope="module")
def written(coded_grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(coded_grid, tmp_path_factory.mktemp("tsne") / "out")


# ---- numbers


def test_neighbours_are_nearest_codes_of_other_speakers() -> None:
    codes, speakers = RNG(0).normal(size=(90, 4)), np.repeat(["a", "b", "c"], 30)
    near = nearest(codes, speakers)
    assert near.shape == (90, NEAREST)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    distances[speakers[:, None] == speakers] = np.inf
    for number, row in enumerate(near):
        assert set(row) == set(distances[number].argsort()[:NEAREST])


def test_codes_of_the_class_have_same_class_neighbours_and_codes_of_the_speaker_do_not() -> None:
    speakers, labels = np.repeat(np.arange(6), 40), np.tile(np.arange(4), 60)
    noise = 0.1 * RNG(0).normal(size=(240, 4))
    expected = chance(labels, speakers).mean()
    assert expected == pytest.approx(0.25)
    assert same_class(nearest(np.eye(4)[labels] + noise, speakers), labels).mean() > 0.99
    voice = np.eye(6)[speakers] + 0.1 * RNG(0).normal(size=(240, 6))
    assert same_class(nearest(voice, speakers), labels).mean() == pytest.approx(expected, abs=0.06)


def test_chance_is_the_share_of_a_class_among_other_speakers() -> None:
    labels, speakers = RNG(0).integers(0, 3, 50), RNG(1).integers(0, 4, 50)
    for number, share in enumerate(chance(labels, speakers)):
        others = labels[speakers != speakers[number]]
        assert share == pytest.approx((others == labels[number]).mean())


def test_encoded_rating_correlates_with_neighbours() -> None:
    rating, speakers = RNG(0).uniform(1, 5, 200), np.tile(["a", "b"], 100)
    near = nearest(rating[:, None], speakers)
    rating[:20] = np.nan
    assert correlation(near, rating) > 0.98
    assert abs(correlation(near, RNG(1).permutation(rating))) < 0.3
    assert np.isnan(correlation(near, np.full(200, 3.0)))
    assert np.isnan(correlation(near, np.full(200, np.nan)))


def test_few_codes_have_fewer_neighbours() -> None:
    assert nearest(np.eye(5), np.array(["a", "a", "b", "b", "b"])).shape == (5, 2)


# ---- picture


def test_picture_has_a_row_per_colouring_and_a_column_per_system(coded_grid: Grid) -> None:
    contents = Contents(compute(coded_grid))
    columns = [column(each.cell.system, coded(each)) for each in contents.code_examples]
    figure = picture(columns)
    panels = figure.axes[:6]
    assert [axes.get_title() for axes in panels] == ["mlp", "aae", "", "", "", ""]
    bars = [axes for axes in panels[-1].child_axes + panels[3].child_axes]
    assert {axes.get_ylabel() for axes in bars} == {f"{name} (mean rating)" for name in RATINGS}
    each = columns[0]
    assert each.map.points.shape == (150, 2)  # of train and val
    assert not set(each.coded.speakers) & {SPEAKERS[0]}  # the test speaker
    drawn = [axes.collections[0] for axes in panels[::2]]
    assert all(np.array_equal(one.get_offsets(), drawn[0].get_offsets()) for one in drawn)
    colours = [np.unique(one.get_facecolors(), axis=0, return_counts=True) for one in drawn]
    assert sorted(colours[0][1]) == sorted(np.bincount(each.coded.labels))
    assert len(colours[1][0]) > 50
    numbers = frame([column.coded for column in columns]).set_index(["system", "by", "value"])
    assert numbers.loc[("mlp", "activation", "all"), "near"] > 0.5
    assert numbers.loc[("mlp", "activation", "r"), "near"] > 0.5
    assert abs(numbers.loc[("mlp", "valence", "r"), "near"]) < 0.4


def test_codes_of_segments_are_read(tmp_path: Path) -> None:
    plan = write_coded(tmp_path).runs[0]
    folder = plan.folder / results.REPRESENTATION
    table = pd.read_csv(folder / results.CODES, dtype={"utterance": str})
    table = table.loc[table.index.repeat(2)]
    (folder / results.CODES).unlink()
    strings = {name: table[name].to_numpy(str) for name in ("utterance", "part", "truth")}
    codes = table.filter(like="code_").to_numpy(np.float32)
    np.savez(folder / results.SEGMENT_CODES, codes=codes, **strings)
    (example,) = with_codes(compute(Grid("made_up", (plan,), None)))
    segments = coded(example)
    assert segments.codes.shape == (300, 3)
    assert (segments.unit, len(np.unique(segments.utterances))) == ("segments", 150)


# ---- files


def test_requested_files_are_written(written: Written) -> None:
    assert written.names >= FILES
    for name in ("index.html", "report.md"):
        text = written.read(name)
        assert "t-SNE of codes" in text
        assert "perplexity 30" in text
        assert "no ratings" not in text


def test_files_are_equal_byte_for_byte_wherever_runs_are(written: Written, tmp_path: Path) -> None:
    one = written.contents
    two = write_report(write_coded(tmp_path / "moved"), tmp_path / "elsewhere").contents
    assert two.keys() >= FILES
    assert b"CreationDate" not in one["tsne.pdf"]
    for name in FILES:
        assert one[name] == two[name], name


def test_files_are_removed_if_not_requested(
    written: Written, coded_grid: Grid, tmp_path: Path
) -> None:
    shutil.copytree(written.out, tmp_path / "out")
    later = write_report(replace(coded_grid, tsne=False), tmp_path / "out")
    assert not FILES & later.names


def test_systems_and_ratings_that_cannot_be_drawn_are_stated(tmp_path: Path) -> None:
    grid = write_coded(tmp_path / "runs", rated=False)
    (grid.runs[1].folder / results.REPRESENTATION / results.CODES).unlink()
    written = write_report(grid, tmp_path / "out")
    assert written.names >= FILES
    md = written.read("report.md")
    assert "speakers of the training split: aae. " in md
    assert "The corpus has no ratings of activation and valence." in md
    (grid.runs[0].folder / results.REPRESENTATION / results.CODES).unlink()
    later = write_report(grid, tmp_path / "out")
    assert not FILES & later.names
    for name in ("index.html", "report.md"):
        assert "speakers of the training split: all systems. " in later.read(name)


def test_runs_of_an_earlier_version_and_codes_of_two_values_are_not_drawn(tmp_path: Path) -> None:
    grid = write_coded(tmp_path / "runs")
    add_codes(grid.runs[0], rated=True, size=2)
    utterances = results.RunFolder(grid.runs[1].folder).read_utterances()
    results.RunFolder(grid.runs[1].folder).write_utterances(
        utterances[utterances["part"] != "train"]
    )
    assert not with_codes(compute(grid))


def test_codes_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    grid = write_coded(tmp_path / "runs")
    path = grid.runs[0].folder / results.REPRESENTATION / results.CODES
    table = pd.read_csv(path, dtype={"utterance": str})
    table.loc[5, "code_1"] = np.inf
    path.write_text(table.to_csv(index=False))
    with pytest.raises(UserError, match="is marked as finished, but cannot be read"):
        write_report(grid, tmp_path / "out")
