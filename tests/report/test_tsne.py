"""Codes of many values in a report: t-SNE, and who lies near whom."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, SPEAKERS, grid, represent
from rich.console import Console

from ser import results
from ser.errors import UserError
from ser.report import compute, report
from ser.report.figures.neighbours import NEAREST, alike, chance, coded, correlation, frame, nearest
from ser.report.figures.representations import with_many
from ser.report.figures.tsne import column, picture
from ser.report.page import Documents
from ser.sweeps.grid import Grid, PlannedRun

FILES = {"tsne.png", "tsne.pdf", "neighbours.csv"}
RNG = np.random.default_rng


def told(run: PlannedRun, rated: bool, size: int = 3) -> None:
    """Gives a run codes that hold the class, and says who spoke them and how they were rated."""
    represent(run, size, sides=())
    folder = run.folder / results.REPRESENTATION
    table = pd.read_csv(folder / results.CODES, dtype={"utterance": str})
    spoken = table[["utterance", "part"]].assign(speaker=table["utterance"].str[:2])
    if rated:
        numbers = table["truth"].map(CLASSES.index)
        spoken["activation"] = numbers + RNG(0).uniform(1, 2, len(table))
        spoken["valence"] = RNG(1).uniform(1, 5, len(table))
        spoken.loc[3, "valence"] = np.nan
    results.RunFolder(run.folder).write_utterances(spoken)


def made(root: Path, *, rated: bool = True, tsne: bool = True) -> Grid:
    found = grid(root, seeds=1, folds=1, baseline=None)
    for run in found.runs:
        told(run, rated)
    return replace(found, tsne=tsne)


def make(grid: Grid, out: Path) -> set[str]:
    report(grid, out, Console(quiet=True))
    return FILES & {path.name for path in out.iterdir()}


# ---- the numbers


def test_neighbours_are_the_nearest_of_other_speakers() -> None:
    codes, speakers = RNG(0).normal(size=(90, 4)), np.repeat(["a", "b", "c"], 30)
    near = nearest(codes, speakers)
    assert near.shape == (90, NEAREST)
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    distances[speakers[:, None] == speakers] = np.inf
    for number, row in enumerate(near):
        assert set(row) == set(distances[number].argsort()[:NEAREST])


def test_codes_of_the_class_have_their_like_near_and_codes_of_the_voice_have_not() -> None:
    speakers, labels = np.repeat(np.arange(6), 40), np.tile(np.arange(4), 60)
    noise = 0.1 * RNG(0).normal(size=(240, 4))
    guessed = chance(labels, speakers).mean()
    assert guessed == pytest.approx(0.25)
    assert alike(nearest(np.eye(4)[labels] + noise, speakers), labels).mean() > 0.99
    voice = np.eye(6)[speakers] + 0.1 * RNG(0).normal(size=(240, 6))
    assert alike(nearest(voice, speakers), labels).mean() == pytest.approx(guessed, abs=0.06)


def test_chance_is_the_share_of_a_class_among_others() -> None:
    labels, speakers = RNG(0).integers(0, 3, 50), RNG(1).integers(0, 4, 50)
    for number, found in enumerate(chance(labels, speakers)):
        others = labels[speakers != speakers[number]]
        assert found == pytest.approx((others == labels[number]).mean())


def test_a_rating_that_codes_hold_is_told_by_neighbours() -> None:
    rating, speakers = RNG(0).uniform(1, 5, 200), np.tile(["a", "b"], 100)
    near = nearest(rating[:, None], speakers)
    rating[:20] = np.nan
    assert correlation(near, rating) > 0.98
    assert abs(correlation(near, RNG(1).permutation(rating))) < 0.3
    assert np.isnan(correlation(near, np.full(200, 3.0)))
    assert np.isnan(correlation(near, np.full(200, np.nan)))


def test_a_few_codes_have_fewer_neighbours() -> None:
    assert nearest(np.eye(5), np.array(["a", "a", "b", "b", "b"])).shape == (5, 2)


# ---- the picture


def test_a_row_a_colouring_and_a_column_a_system(tmp_path: Path) -> None:
    documents = Documents(compute(made(tmp_path)))
    columns = [column(each.cell.system, coded(each)) for each in documents.coded]
    figure = picture(columns)
    panels = figure.axes[:6]
    assert [axes.get_title() for axes in panels] == ["mlp", "aae", "", "", "", ""]
    bars = [axes for axes in panels[-1].child_axes + panels[3].child_axes]
    assert {axes.get_ylabel() for axes in bars} == {"activation", "valence"}
    each = columns[0]
    assert each.map.points.shape == (150, 2)  # of training and validation
    assert not set(each.coded.speakers) & {SPEAKERS[0]}  # who is tested
    drawn = [axes.collections[0] for axes in panels[::2]]
    assert all(np.array_equal(one.get_offsets(), drawn[0].get_offsets()) for one in drawn)
    colours = [np.unique(one.get_facecolors(), axis=0, return_counts=True) for one in drawn]
    assert sorted(colours[0][1]) == sorted(np.bincount(each.coded.labels))
    assert len(colours[1][0]) > 50
    numbers = frame([column.coded for column in columns]).set_index(["system", "by", "value"])
    assert numbers.loc[("mlp", "activation", "all"), "near"] > 0.5
    assert numbers.loc[("mlp", "activation", "r"), "near"] > 0.5
    assert abs(numbers.loc[("mlp", "valence", "r"), "near"]) < 0.4


def test_segments_are_drawn_as_utterances_are(tmp_path: Path) -> None:
    plan = made(tmp_path).runs[0]
    folder = plan.folder / results.REPRESENTATION
    table = pd.read_csv(folder / results.CODES, dtype={"utterance": str})
    table = table.loc[table.index.repeat(2)]
    (folder / results.CODES).unlink()
    strings = {name: table[name].to_numpy(str) for name in ("utterance", "part", "truth")}
    codes = table.filter(like="code_").to_numpy(np.float32)
    np.savez(folder / results.SEGMENT_CODES, codes=codes, **strings)
    (shown,) = with_many(compute(Grid("made_up", (plan,), None)))
    found = coded(shown)
    assert found.codes.shape == (300, 3)
    assert (found.unit, len(np.unique(found.utterances))) == ("segments", 150)


# ---- the files


def test_a_report_that_is_asked_has_them_and_another_has_not(tmp_path: Path) -> None:
    plan = made(tmp_path / "runs")
    assert make(plan, tmp_path / "out") == FILES
    for name in ("index.html", "report.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "t-SNE of codes" in text
        assert "perplexity 30" in text
        assert "no ratings" not in text
    once = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}
    assert b"CreationDate" not in once["tsne.pdf"]
    assert make(made(tmp_path / "moved"), tmp_path / "elsewhere") == FILES
    for name, content in once.items():
        assert (tmp_path / "elsewhere" / name).read_bytes() == content, name
    assert not make(replace(plan, tsne=False), tmp_path / "out")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    plan = made(tmp_path / "runs", rated=False)
    (plan.runs[1].folder / results.REPRESENTATION / results.CODES).unlink()
    assert make(plan, tmp_path / "out") == FILES
    md = (tmp_path / "out" / "report.md").read_text()
    assert "were kept: aae. " in md
    assert "The corpus has no ratings of activation and valence, so none are drawn." in md
    (plan.runs[0].folder / results.REPRESENTATION / results.CODES).unlink()
    assert not make(plan, tmp_path / "out")
    for name in ("index.html", "report.md"):
        assert "were kept: all systems. " in (tmp_path / "out" / name).read_text()


def test_runs_of_an_earlier_version_and_codes_of_two_values_are_not_drawn(tmp_path: Path) -> None:
    plan = made(tmp_path / "runs")
    told(plan.runs[0], rated=True, size=2)
    spoken = results.RunFolder(plan.runs).read_utterances([1].folder)
    results.RunFolder(plan.runs).write_utterances([1].folder, spoken[spoken["part"] != "train"])
    assert not with_many(compute(plan))


def test_codes_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    plan = made(tmp_path / "runs")
    path = plan.runs[0].folder / results.REPRESENTATION / results.CODES
    table = pd.read_csv(path, dtype={"utterance": str})
    table.loc[5, "code_1"] = np.inf
    path.write_text(table.to_csv(index=False))
    with pytest.raises(UserError, match="is marked as finished, but cannot be read"):
        make(plan, tmp_path / "out")
