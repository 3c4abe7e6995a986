"""Representations in a report: losses by epoch, codes of two values, and an interactive page."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, SPEAKERS, planned, represent, without, write, write_grid
from written import Written, write_report

from ser import results
from ser.errors import UserError
from ser.plots.svg import TITLE_CHARACTERS, Figure, sheet
from ser.report import compute, report
from ser.report.figures.codes import atlas, picture
from ser.report.figures.losses import losses
from ser.report.figures.representations import MOST, with_losses, with_planes
from ser.sweeps.grid import Grid

OPTIONAL = {"losses.svg", "codes.png", "codes.html"}
UTTERANCES = EACH * len(SPEAKERS)
CENTRES = [[5.0, 0.0], [-2.5, 4.3], [-2.5, -4.3]]
NASTY = "</script><b>&\"'x"
PHASES = ("reconstruction", "discriminator", "generator")


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attrs = self.tags[-1] if self.tags else ("", {})
        if tag == "script":
            self.scripts.setdefault(attrs.get("id"), data)


def write_represented(root: Path, seeds: int = 1, folds: int = 2, **options: object) -> Grid:
    """Write a grid of mlp and aae, of which aae has a representation."""
    grid = write_grid(root, seeds=seeds, folds=folds)
    for run in grid.runs:
        if run.system == "aae":
            represent(run, **options)  # type: ignore[arg-type]
    return grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Codes of a mixture; do not modify."""
    return write_represented(
        tmp_path_factory.mktemp("codes") / "runs", 2, 3, centres=CENTRES, spread=1.0
    )


@pytest.fixture(scope="module")
def written(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_report(grid, tmp_path_factory.mktemp("codes") / "out", width=1000)


@pytest.fixture(scope="module")
def page(written: Written) -> Page:
    return Page(written.read("codes.html"))


@pytest.fixture(scope="module")
def content(page: Page) -> dict[str, Any]:
    """The data of the interactive page."""
    (content,) = json.loads(page.scripts["data"])
    return content


# ---- presence


def test_runs_without_representations_have_no_such_figures(shared: Written) -> None:
    assert not OPTIONAL & shared.names
    assert "Representations" not in shared.printed
    for name in ("index.html", "report.md"):
        assert "2-D codes" not in shared.read(name)
        assert "Losses of representations" not in shared.read(name)


def test_representations_are_in_all_documents(written: Written) -> None:
    assert written.names >= OPTIONAL
    assert all(str(written.out / name) in written.printed for name in OPTIONAL)
    md = written.read("report.md")
    assert "(losses.svg)" in md
    assert "(codes.png)" in md
    assert "(codes.html)" in md
    points = pd.read_csv(written.out / "codes.csv")
    assert list(points) == ["system", "utterance", "part", "truth", "code_0", "code_1"]
    assert (points.groupby("system")["utterance"].nunique() == len(SPEAKERS) * EACH).all()
    assert {"loss", "epoch", "value"} <= set(pd.read_csv(written.out / "losses.csv"))
    page = Page(written.read("index.html"))
    ids = {attrs.get("id") for _, attrs in page.tags}
    assert {"losses", "codes"} <= ids
    (image,) = [attrs["src"] or "" for tag, attrs in page.tags if tag == "img"]
    assert image.startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"size": 3}, {"losses.svg"}),
        ({"sides": ()}, {"codes.png", "codes.html"}),
        ({"size": 3, "sides": ()}, set()),
    ],
)
def test_figures_need_losses_or_codes_of_two_values(
    options: dict[str, object], expected: set[str], tmp_path: Path
) -> None:
    written = write_report(write_represented(tmp_path / "runs", **options), tmp_path / "out")
    assert OPTIONAL & written.names == expected


def test_figures_of_an_earlier_report_are_removed(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.out, tmp_path / "out")
    later = write_report(write_grid(tmp_path / "others", seeds=1, folds=2), tmp_path / "out")
    assert not OPTIONAL & later.names


def test_order_and_folder_of_runs_change_no_byte(written: Written, tmp_path: Path) -> None:
    moved = write_represented(tmp_path / "elsewhere" / "runs", 2, 3, centres=CENTRES, spread=1.0)
    other = write_report(replace(moved, runs=moved.runs[::-1]), tmp_path / "two")
    one, two = written.contents, other.contents
    for name in (*OPTIONAL, "index.html", "report.md"):
        assert one[name] == two[name], name


def test_damaged_codes_are_named(tmp_path: Path) -> None:
    grid = write_represented(tmp_path / "runs")
    codes = grid.runs[2].folder / results.REPRESENTATION / results.CODES
    codes.write_text(codes.read_text().replace("neutral", "bored"))
    with pytest.raises(UserError, match="fold-0-seed-0 is marked as finished, but cannot be read"):
        report(grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- which run


def test_lowest_fold_of_lowest_complete_seed_is_drawn(grid: Grid, tmp_path: Path) -> None:
    (example,) = with_losses(compute(grid))
    planned = example.run.planned
    assert (example.cell.system, planned.seed, planned.fold) == ("aae", 0, 0)
    partial = without(grid, lambda r: (r.system, r.seed, r.fold) == ("aae", 0, 2))
    (example,) = with_planes(compute(partial))
    assert (example.run.planned.seed, example.run.planned.fold) == (1, 0)
    written = write_report(partial, tmp_path / "out")
    for name in ("index.html", "report.md"):
        text = written.read(name)
        assert len(re.findall(r"Drawn: fold 0, seed 1\.", text)) == 2, name
        assert "influenced neither stopping nor selection" in text


def test_next_fold_is_drawn_if_inner_folds_selected_another_size(tmp_path: Path) -> None:
    grid = write_represented(tmp_path / "runs")
    represent(grid.runs[2], size=5)
    data = compute(grid)
    assert with_losses(data)[0].run.planned.fold == 0
    assert with_planes(data)[0].run.planned.fold == 1


def test_number_of_drawn_systems_is_limited(tmp_path: Path) -> None:
    systems = [f"aae_{number:02d}" for number in range(MOST + 1)]
    # Of three values, so that no picture of codes is drawn, which would take seconds.
    runs = [represent(write(planned(tmp_path / "runs", system)), 3) for system in systems]
    written = write_report(Grid("made_up", tuple(runs), None), tmp_path / "out")
    assert written.read("losses.svg").count("train split") == MOST
    assert f"The first {MOST} of {MOST + 1} systems are drawn." in written.read("report.md")


# ---- losses


def test_losses_have_a_line_per_phase_and_split(grid: Grid) -> None:
    (example,) = with_losses(compute(grid))
    body = losses(example).body
    assert body.count("<polyline") == 2 * len(PHASES)
    assert [body.count(f">{phase} loss<") for phase in PHASES] == [1, 1, 1]
    assert body.index("train split") < body.index("test split")
    assert "accuracy" not in body
    points = re.findall(r'points="([^"]*)"', body)
    assert {len(each.split()) for each in points} == {20}


def test_missing_losses_on_test_are_stated(tmp_path: Path) -> None:
    (example,) = with_losses(compute(write_represented(tmp_path / "runs", sides=("train",))))
    body = losses(example).body
    assert body.count("<polyline") == len(PHASES)
    assert "test split: no losses were recorded" in body


def test_losses_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    run = represent(write(planned(tmp_path / "runs")))
    path = run.folder / results.REPRESENTATION / results.METRICS
    path.write_text("epoch,train/a_loss,test/a_loss\n0,1.0,\n1,inf,\n2,nan,\n3,0.5,\n")
    (example,) = with_losses(compute(Grid("made_up", (run,), None)))
    (points,) = re.findall(r'points="([^"]*)"', losses(example).body)
    assert len(points.split()) == 2


def test_long_titles_are_wrapped() -> None:
    title = "svm representation=aae representation.size=2 " * 3
    drawn = sheet([[(title, Figure("", "nothing")), ("short", Figure("", "nothing"))]])
    lines = re.findall(r'font-weight="600"[^>]*>([^<]*)<', drawn)
    assert " ".join(lines[:-1]) == title.strip()
    assert max(map(len, lines)) <= TITLE_CHARACTERS


# ---- codes


def test_page_has_all_utterances_and_classes(page: Page, content: dict[str, Any]) -> None:
    points = [a for tag, a in page.tags if tag == "g" and "point " in (a.get("class") or "")]
    assert sorted(int(a["data-i"] or "") for a in points) == list(range(UTTERANCES))
    assert len(set(content["rows"]["utterance"])) == UTTERANCES
    assert len(content["maps"][0]["places"]) == UTTERANCES
    colourings = {each["name"]: each for each in content["colourings"]}
    assert colourings["activation"]["names"] == list(CLASSES)
    assert colourings["part"]["names"] == ["train", "val", "test"]
    assert {len(each["numbers"]) for each in colourings.values()} == {UTTERANCES}


def test_page_has_attributes_and_predictions_of_the_run(
    grid: Grid, content: dict[str, Any]
) -> None:
    rows = pd.DataFrame(content["rows"]).set_index("utterance")
    run = next(run for run in grid.runs if (run.system, run.seed, run.fold) == ("aae", 0, 0))
    predictions = results.RunFolder(run.folder).read_predictions().set_index("utterance")
    for column in ("part", "truth", "prediction"):
        assert (rows.loc[predictions.index, column] == predictions[column]).all(), column
    assert set(rows.loc[predictions.index, "speaker"]) == set(SPEAKERS[:2])
    trained = rows[rows["part"] == "train"]
    assert set(trained["prediction"]) == {""}
    assert set(trained["speaker"]) == set(SPEAKERS[2:])
    (correct,) = [each for each in content["colourings"] if each["name"] == "correctness"]
    assert correct["numbers"].count(-1) == len(trained)
    assert correct["numbers"].count(1) == (predictions["truth"] != predictions["prediction"]).sum()


def test_page_is_self_contained(written: Written, page: Page) -> None:
    text = written.read("codes.html")
    assert not re.search(r"https?:", text)
    assert not [a for _, a in page.tags if "href" in a or "src" in a]
    assert "Linear probes" not in text


def test_prior_is_drawn_to_scale(written: Written, content: dict[str, Any]) -> None:
    (plane,) = content["maps"]
    centres, (one, two) = np.array(plane["prior"]["centres"]), plane["prior"]["radii"]
    apart = np.linalg.norm(centres[0] - centres[1])
    assert two == pytest.approx(2 * one, abs=0.2)
    assert apart / one == pytest.approx(np.hypot(7.5, 4.3), rel=0.01)
    assert "circles: one and two standard deviations" in written.read("report.md")


def test_prior_of_unknown_standard_deviation_has_no_circles(tmp_path: Path) -> None:
    data = compute(write_represented(tmp_path / "runs", centres=CENTRES))
    drawn = picture([atlas(data, each) for each in with_planes(data)])
    assert not any(axes.patches for axes in drawn.axes)
    assert all(len(axes.lines) == 2 * len(CENTRES) for axes in drawn.axes)


def test_picture_has_all_points_and_classes(tmp_path: Path) -> None:
    systems = ("mlp", "aae", "cnn", "pca", "lda", "vae")
    grid = write_grid(tmp_path / "runs", systems, seeds=1, folds=1)
    for run in grid.runs:
        represent(run, centres=CENTRES, spread=0.5)
    data = compute(grid)
    drawn = picture([atlas(data, each) for each in with_planes(data)])
    points = [sum(len(c.get_offsets()) for c in axes.collections) for axes in drawn.axes]
    assert sum(points) == len(systems) * UTTERANCES
    legends = [axes.get_legend() for axes in drawn.axes if axes.get_legend()]
    assert len(legends) == len(systems)
    assert all([t.get_text() for t in each.get_texts()] == list(CLASSES) for each in legends)


# ---- escaping


def test_names_are_escaped(tmp_path: Path) -> None:
    classes = ("<b>&", "50%_of", "x$|$y")
    run = write(planned(tmp_path / "runs"), classes=classes)
    run = represent(run, classes=classes, utterance=NASTY)
    grid = Grid(NASTY, (replace(run, system=NASTY),), None)
    written = write_report(grid, tmp_path / "out")
    text = written.read("codes.html")
    page = Page(text)
    (data,) = json.loads(page.scripts["data"])
    assert data["rows"]["utterance"][0] == NASTY
    assert data["colourings"][0]["names"] == list(classes)
    assert not [tag for tag, _ in page.tags if tag == "b"]
    assert text.count("</script>") == len(page.scripts)
    for name in ("losses.svg", "index.html"):
        assert "<b>" not in written.read(name), name
