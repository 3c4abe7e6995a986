"""Representations in a report: losses by epoch, codes of two values, and a page to explore them."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, SPEAKERS, grid, planned, represent, write
from rich.console import Console

from ser import results
from ser.errors import UserError
from ser.plots.svg import TITLE, Figure, sheet
from ser.report import compute, report
from ser.report.figures.codes import atlas, picture
from ser.report.figures.representations import MOST, losses, with_losses, with_planes
from ser.sweeps.grid import Grid

SOMETIMES = {"losses.svg", "codes.png", "codes.html"}
EVERYONE = EACH * len(SPEAKERS)
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


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def told(made: Grid, out: Path) -> str:
    """What is printed, each path on one line."""
    printed = io.StringIO()
    report(made, out, Console(file=printed, width=1000, highlight=False))
    return printed.getvalue()


def represented(root: Path, systems: tuple[str, ...] = ("mlp", "aae"), **options: object) -> Grid:
    """A grid of which the last system alone has a representation."""
    made = grid(root, systems, seeds=2, folds=3)
    for run in made.runs:
        if run.system == systems[-1]:
            represent(run, **options)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a mixture's codes."""
    folder = tmp_path_factory.mktemp("codes")
    report(represented(folder / "runs", centres=CENTRES, spread=1.0), folder / "out")
    return folder / "out"


# ---- where they are, and where not


def test_runs_without_representations_have_no_such_figures(tmp_path: Path) -> None:
    text = told(grid(tmp_path / "runs", seeds=1), tmp_path / "out")
    assert not SOMETIMES & names(tmp_path / "out")
    assert "Representations" not in text
    for name in ("index.html", "report.md"):
        written = (tmp_path / "out" / name).read_text()
        assert "2-D codes" not in written
        assert "Losses of representations" not in written


def test_runs_with_them_have_both_everywhere(tmp_path: Path) -> None:
    text = told(represented(tmp_path / "runs"), tmp_path / "out")
    assert names(tmp_path / "out") >= SOMETIMES
    assert all(str(tmp_path / "out" / name) in text for name in SOMETIMES)
    md = (tmp_path / "out" / "report.md").read_text()
    assert "(losses.svg)" in md
    assert "(codes.png)" in md
    assert "(codes.html)" in md
    page = Page((tmp_path / "out" / "index.html").read_text())
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
def test_each_is_there_only_where_it_can_be(
    options: dict[str, object], expected: set[str], tmp_path: Path
) -> None:
    report(represented(tmp_path / "runs", **options), tmp_path / "out")
    assert SOMETIMES & names(tmp_path / "out") == expected


def test_figures_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    report(represented(tmp_path / "runs"), tmp_path / "out")
    report(grid(tmp_path / "others", seeds=1), tmp_path / "out")
    assert not SOMETIMES & names(tmp_path / "out")


def test_order_and_place_of_runs_change_no_byte(tmp_path: Path) -> None:
    made = represented(tmp_path / "runs", centres=CENTRES)
    report(made, tmp_path / "one")
    moved = represented(tmp_path / "elsewhere" / "runs", centres=CENTRES)
    report(replace(moved, runs=moved.runs[::-1]), tmp_path / "two")
    for name in (*SOMETIMES, "index.html", "report.md"):
        one, two = (tmp_path / each / name for each in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), name


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    made = represented(tmp_path / "runs")
    codes = made.runs[6].folder / results.REPRESENTATION / results.CODES
    codes.write_text(codes.read_text().replace("neutral", "bored"))
    with pytest.raises(UserError, match="fold-0-seed-0 is marked as finished, but cannot be read"):
        report(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- which run


def test_it_is_the_lowest_fold_of_the_lowest_complete_seed(tmp_path: Path) -> None:
    made = represented(tmp_path / "runs")
    (shown,) = with_losses(compute(made))
    assert (shown.cell.system, shown.run.planned.seed, shown.run.planned.fold) == ("aae", 0, 0)
    (made.runs[8].folder / results.RESULT).unlink()  # fold 2, seed 0
    (shown,) = with_planes(compute(made))
    assert (shown.run.planned.seed, shown.run.planned.fold) == (1, 0)
    report(made, tmp_path / "out")
    for name in ("index.html", "report.md"):
        written = (tmp_path / "out" / name).read_text()
        assert len(re.findall(r"Drawn: fold 0, seed 1\.", written)) == 2, name
        assert "no rule read them" in written


def test_where_inner_folds_chose_another_size_the_next_fold_is_drawn(tmp_path: Path) -> None:
    made = represented(tmp_path / "runs")
    represent(made.runs[6], size=5)
    found = compute(made)
    assert with_losses(found)[0].run.planned.fold == 0
    assert with_planes(found)[0].run.planned.fold == 1


def test_of_many_systems_some_are_drawn_and_that_is_said(tmp_path: Path) -> None:
    systems = [f"aae_{number:02d}" for number in range(MOST + 1)]
    runs = [represent(write(planned(tmp_path / "runs", system))) for system in systems]
    report(Grid("made_up", tuple(runs), None), tmp_path / "out")
    text = (tmp_path / "out" / "losses.svg").read_text()
    assert text.count("training part") == MOST
    assert f"The first {MOST} of {MOST + 1} are drawn." in (
        (tmp_path / "out" / "report.md").read_text()
    )


# ---- losses


def test_a_line_a_phase_and_side(tmp_path: Path) -> None:
    made = represented(tmp_path / "runs")
    (shown,) = with_losses(compute(made))
    body = losses(shown).body
    assert body.count("<polyline") == 2 * len(PHASES)
    assert [body.count(f">{phase} loss<") for phase in PHASES] == [1, 1, 1]
    assert body.index("training part") < body.index("test part")
    assert "accuracy" not in body
    points = re.findall(r'points="([^"]*)"', body)
    assert {len(each.split()) for each in points} == {20}


def test_without_losses_on_test_that_is_said(tmp_path: Path) -> None:
    (shown,) = with_losses(compute(represented(tmp_path / "runs", sides=("train",))))
    body = losses(shown).body
    assert body.count("<polyline") == len(PHASES)
    assert "test part: no losses were recorded" in body


def test_losses_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    run = represent(write(planned(tmp_path / "runs")))
    path = run.folder / results.REPRESENTATION / results.METRICS
    path.write_text("epoch,train/a_loss,test/a_loss\n0,1.0,\n1,inf,\n2,nan,\n3,0.5,\n")
    (shown,) = with_losses(compute(Grid("made_up", (run,), None)))
    (points,) = re.findall(r'points="([^"]*)"', losses(shown).body)
    assert len(points.split()) == 2


def test_long_names_of_systems_do_not_run_into_each_other() -> None:
    title = "svm representation=aae representation.size=2 " * 3
    drawn = sheet([[(title, Figure("", "nothing")), ("short", Figure("", "nothing"))]])
    lines = re.findall(r'class="title"[^>]*>([^<]*)<', drawn)
    assert " ".join(lines[:-1]) == title.strip()
    assert max(map(len, lines)) <= TITLE


# ---- codes


def test_the_page_has_every_utterance_and_class(out: Path) -> None:
    page = Page((out / "codes.html").read_text())
    (data,) = json.loads(page.scripts["data"])
    points = [a for tag, a in page.tags if tag == "g" and "point " in (a.get("class") or "")]
    assert sorted(int(a["data-i"] or "") for a in points) == list(range(EVERYONE))
    assert len(set(data["rows"]["utterance"])) == EVERYONE
    assert len(data["maps"][0]["places"]) == EVERYONE
    colourings = {each["name"]: each for each in data["colourings"]}
    assert colourings["activation"]["names"] == list(CLASSES)
    assert colourings["part"]["names"] == ["train", "val", "test"]
    assert {len(each["of"]) for each in colourings.values()} == {EVERYONE}


def test_points_name_what_the_files_of_the_run_tell(out: Path) -> None:
    (data,) = json.loads(Page((out / "codes.html").read_text()).scripts["data"])
    rows = pd.DataFrame(data["rows"]).set_index("utterance")
    run = out.parent / "runs" / "iemocap" / "activation" / "aae" / "fold-0-seed-0"
    predictions = results.RunFolder(run).read_predictions().set_index("utterance")
    for column in ("part", "truth", "prediction"):
        assert (rows.loc[predictions.index, column] == predictions[column]).all(), column
    assert set(rows.loc[predictions.index, "speaker"]) == set(SPEAKERS[:2])
    trained = rows[rows["part"] == "train"]
    assert set(trained["prediction"]) == set(trained["speaker"]) == {""}
    (right,) = [each for each in data["colourings"] if each["name"] == "right or wrong"]
    assert right["of"].count(-1) == len(trained)
    assert right["of"].count(1) == (predictions["truth"] != predictions["prediction"]).sum()


def test_the_page_needs_nothing_else(out: Path) -> None:
    text = (out / "codes.html").read_text()
    # The name of a language of drawings is no address.
    assert not re.search(r"https?:", text)
    assert not [a for _, a in Page(text).tags if "href" in a or "src" in a]
    assert "What a linear probe finds" not in text


def test_the_prior_is_drawn_to_scale(out: Path) -> None:
    (data,) = json.loads(Page((out / "codes.html").read_text()).scripts["data"])
    (shown,) = data["maps"]
    centres, (one, two) = np.array(shown["prior"]["centres"]), shown["prior"]["radii"]
    apart = np.linalg.norm(centres[0] - centres[1])
    assert two == pytest.approx(2 * one, abs=0.2)
    assert apart / one == pytest.approx(np.hypot(7.5, 4.3), rel=0.01)
    assert "circles one and two standard deviations" in (out / "report.md").read_text()


def test_without_a_spread_there_are_centres_and_no_circles(tmp_path: Path) -> None:
    found = compute(represented(tmp_path / "runs", centres=CENTRES))
    drawn = picture([atlas(found, each) for each in with_planes(found)])
    assert not any(axes.patches for axes in drawn.axes)
    assert all(len(axes.lines) == 2 * len(CENTRES) for axes in drawn.axes)


def test_the_picture_has_every_point_and_class(tmp_path: Path) -> None:
    systems = ("mlp", "aae", "cnn", "pca", "lda", "vae")
    made = grid(tmp_path / "runs", systems, seeds=1, folds=1)
    for run in made.runs:
        represent(run, centres=CENTRES, spread=0.5)
    found = compute(made)
    drawn = picture([atlas(found, each) for each in with_planes(found)])
    shown = [sum(len(c.get_offsets()) for c in axes.collections) for axes in drawn.axes]
    assert sum(shown) == len(systems) * EVERYONE
    legends = [axes.get_legend() for axes in drawn.axes if axes.get_legend()]
    assert len(legends) == len(systems)
    assert all([t.get_text() for t in each.get_texts()] == list(CLASSES) for each in legends)


# ---- escaping


def test_names_are_escaped(tmp_path: Path) -> None:
    classes = ("<b>&", "50%_of", "x$|$y")
    run = write(planned(tmp_path / "runs"), classes=classes)
    run = represent(run, classes=classes, utterance=NASTY)
    report(Grid(NASTY, (replace(run, system=NASTY),), None), tmp_path / "out")
    text = (tmp_path / "out" / "codes.html").read_text()
    page = Page(text)
    (data,) = json.loads(page.scripts["data"])
    assert data["rows"]["utterance"][0] == NASTY
    assert data["colourings"][0]["names"] == list(classes)
    assert not [tag for tag, _ in page.tags if tag == "b"]
    assert text.count("</script>") == len(page.scripts)
    for name in ("losses.svg", "index.html"):
        assert "<b>" not in (tmp_path / "out" / name).read_text(), name
