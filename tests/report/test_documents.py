"""Files of a report: equal bytes each time, tables, escaping, and a self-contained page."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import CLASSES, EACH, planned, truth, without, write, write_grid
from written import Written, write_report

from ser import results
from ser.errors import UserError
from ser.plots.axes import ticks
from ser.report import compute, report, summarise
from ser.report.data import remarks
from ser.report.gather import Run, finished_runs
from ser.report.provenance import Software
from ser.report.render import markdown
from ser.report.tables import Table
from ser.sweeps.grid import Grid

NASTY = "a_b%&<i>$|#[x]{y}"
CLASSES_NASTY = ("<b>&", "50%_of", "x|y")
PUBLISHED = {"activation": {"ua": 77.74, "sd": 0.35}, "valence": {"wa": 60.1, "ua": 58.0}}
WRITTEN = {
    *(
        "report.md",
        "report.tex",
        "index.html",
        "forest.svg",
        "forest.csv",
        "dots.svg",
        "confusions.svg",
        "curves.svg",
    ),
    "reliability.svg",
    *("dots.csv", "confusions.csv", "curves.csv", "reliability.csv"),
    *("scores.csv", "tests.csv", "recalls.csv", "slices.csv", "gaps.csv", "runs.csv", "cost.csv"),
}


class Page(HTMLParser):
    """Unclosed elements, references, ids and texts of a page."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.references += [v or "" for name, v in attrs if name in ("href", "src", "srcset")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


# ---- equal bytes


def test_order_and_age_of_runs_change_no_byte(tmp_path: Path) -> None:
    systems, targets = ["mlp", "aae", "cnn"], ["valence", "activation"]
    grid = write_grid(tmp_path / "runs", systems, targets=targets, seeds=2, folds=3)
    one = write_report(grid, tmp_path / "one")
    for number, path in enumerate(sorted((tmp_path / "runs").rglob("*"))):
        os.utime(path, (number, number))
    runs = np.random.default_rng(1).permutation(np.array(grid.runs, dtype=object)).tolist()
    two = write_report(Grid(grid.name, tuple(runs), grid.baseline), tmp_path / "two")
    assert one.contents == two.contents
    assert one.names == WRITTEN


def test_costs_and_folders_change_no_other_file(shared: Written, tmp_path: Path) -> None:
    moved = write_grid(tmp_path / "elsewhere" / "runs")
    for number, run in enumerate(moved.runs):
        cost = {"seconds": 7.5 + number, "date": "2027-02-03", "threads": 2, "commit": "abc"}
        results.write_json(run.folder / results.COST, cost)
    results.write_json(moved.runs[0].folder / results.COST, {"commit": "abc"})
    report(moved, tmp_path / "two")
    one, two = shared.contents, Written(moved, tmp_path / "two", "").contents
    assert one.pop("cost.csv") != two.pop("cost.csv")
    pages = [each.pop("index.html").decode() for each in (one, two)]
    assert pages[0] != pages[1]
    # Costs are the only difference of the page.
    cost = r'(?s)<dd class="cost">.*?</dd>|<div class="cost">.*?</table>'
    bare = [re.sub(cost, "", page) for page in pages]
    assert bare[0] == bare[1]
    one["index.html"] = bare[0].encode()
    two["index.html"] = bare[1].encode()
    assert one == two
    folders = str(tmp_path).encode() + b"|" + str(shared.out.parent.parent).encode()
    for name, text in one.items():
        assert not re.search(rb"20\d\d-\d\d|abc123|/tmp|" + folders, text), name
    cost = pd.read_csv(tmp_path / "two" / "cost.csv")
    assert cost["seconds"].isna().sum() == 1
    assert set(cost["commit"].dropna()) == {"abc"}


def test_unfinished_seed_changes_no_number(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", baseline=None)
    complete = Grid(grid.name, tuple(run for run in grid.runs if run.seed < 2), None)
    one = write_report(complete, tmp_path / "one")
    (grid.runs[-1].folder / results.RESULT).unlink()
    (
        next(r for r in grid.runs if r.system == "mlp" and r.seed == 2).folder / results.RESULT
    ).unlink()
    two = write_report(grid, tmp_path / "two")
    for name in ("scores.csv", "slices.csv"):
        before, after = (pd.read_csv(each.out / name) for each in (one, two))
        pd.testing.assert_frame_equal(
            before.drop(columns="seeds_planned", errors="ignore"),
            after.drop(columns="seeds_planned", errors="ignore"),
        )
    assert "missing: seed 2, fold 0: mlp" in two.printed
    assert "missing: seed 2, fold 5: aae" in two.printed
    assert "[2/3]" in two.printed
    for name in ("report.md", "index.html"):
        assert "seed 2, fold 5: aae" in two.read(name)
    runs = pd.read_csv(two.out / "runs.csv")
    assert not runs.loc[runs["seed"] == 2, "counted"].any()
    assert runs.loc[runs["seed"] < 2, "counted"].all()


def test_without_finished_runs_an_error_states_the_command(tmp_path: Path) -> None:
    grid = Grid("made_up", (planned(tmp_path), planned(tmp_path, "aae")), None)
    with pytest.raises(UserError, match="none of the 2 runs of made_up is finished: .*train.py"):
        report(grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_complete_seed_is_reported(tmp_path: Path) -> None:
    grid = Grid("made_up", (write(planned(tmp_path)), planned(tmp_path, fold=1)), "mlp")
    written = write_report(grid, tmp_path / "out")
    assert "no complete seed" in written.printed
    assert "seed 0, fold 1: all systems" in written.printed
    assert "no complete seed" in written.read("report.md")
    assert len(pd.read_csv(written.out / "runs.csv")) == 2


# ---- tables


def test_published_scores_are_next_to_reproduced_ones(tmp_path: Path) -> None:
    paper = {"key": "parthasarathy2019", "table": 1, "published": PUBLISHED, "note": "Rows 4, 5."}
    targets = ["activation", "valence"]
    grid = write_grid(tmp_path / "runs", targets=targets, paper=paper, seeds=2, folds=3)
    written = write_report(grid, tmp_path / "out")
    summed = {(c.system, c.target): s for c, s in compute(grid).scored}
    text = written.read("report.md")
    row = next(line for line in text.splitlines() if line.startswith("| aae | "))
    ours = summed["aae", "activation"]
    mean, sd = 100 * ours.mean("pooled", "ua"), 100 * ours.sd("pooled", "ua")
    assert f"| aae | 77.74 ± 0.35 | {mean:.2f} ± {sd:.2f} | 58.00 |" in row
    other = summed["aae", "valence"]
    assert f"| 60.10 | {100 * other.mean('pooled', 'wa'):.2f} ± " in row
    assert "Rows 4, 5." in text
    assert "Published: parthasarathy2019, table 1." in text


def test_published_recalls_are_next_to_reproduced_ones(tmp_path: Path) -> None:
    known = {"ua": 60.0, "recall": {"low": 61.25, "high": 58.5}}
    paper = {"key": "p", "published": {"activation": known}}
    grid = write_grid(tmp_path / "runs", systems=["mlp"], paper=paper, seeds=2, folds=3)
    written = write_report(grid, tmp_path / "out")
    numbers = pd.read_csv(written.out / "recalls.csv").query("joined == 'pooled'")
    low, neutral, high = 100 * numbers["recall"]
    (row,) = re.findall(r"^\| mlp \| 61.*", written.read("report.md"), re.M)
    parts = [cell.split(" ±")[0].strip() for cell in row.strip("|").split("|")]
    assert parts == ["mlp", "61.25", f"{low:.2f}", "-", f"{neutral:.2f}", "58.50", f"{high:.2f}"]
    page = written.read("index.html")
    assert 'id="recalls"' in page
    assert "61.25" in page


def test_published_scores_of_another_corpus_are_not_shown(tmp_path: Path) -> None:
    paper = {"key": "p", "corpus": "iemocap", "published": PUBLISHED}
    grid = write_grid(tmp_path / "runs", seeds=1, folds=2, corpus="demo", paper=paper)
    text = write_report(grid, tmp_path / "out").read("report.md")
    assert "77.74" not in text
    assert "another corpus" in text


def test_counts_chance_and_majority_class_are_stated(shared: Written) -> None:
    counts = np.bincount(np.concatenate([truth(fold, "test") for fold in range(6)]))
    classes = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, counts, strict=True))
    note = f"180 utterances of 6 speakers in the test split ({classes}); chance UA 33.3, "
    note += f"majority class WA {100 * counts.max() / counts.sum():.1f}."
    assert note in shared.printed
    for name in ("report.md", "report.tex", "index.html"):
        written = shared.read(name)
        assert "chance UA 33.3" in written, name
        assert classes in written, name


def test_remarks_are_shown_everywhere(tmp_path: Path) -> None:
    remark = "synthetic speech: says nothing about people"
    runs = [write(planned(tmp_path, "mlp"), remarks=[remark]), write(planned(tmp_path, "aae"))]
    written = write_report(Grid("made_up", tuple(runs), None), tmp_path / "out")
    assert f"{remark} (mlp)" in written.printed
    for name in ("report.md", "report.tex", "index.html"):
        assert remark in written.read(name), name
    assert "report.baseline=NAME" in written.printed


def test_remarks_that_differ_in_counts_are_one(tmp_path: Path) -> None:
    remarked = {0: ["30 of 90 labels", "speaker 03"], 1: ["4 of 90 labels", "speaker 04"]}
    runs = [write(planned(tmp_path, "mlp", seed=seed), remarks=remarked[seed]) for seed in (0, 1)]
    data = compute(Grid("made_up", tuple(runs), None))
    assert remarks(data) == ["4 to 30 of 90 labels", "speaker 03", "speaker 04"]


def test_mixed_commits_and_versions_are_remarked(finished_grid: Grid, tmp_path: Path) -> None:
    runs = finished_runs(finished_grid)
    assert not remarks(summarise(finished_grid, runs))

    def made_by(system: str, commit: str | None, torch: str) -> list[Run]:
        """Return the runs, those of a system made by other software."""
        other = Software(commit, {"ser": "0.3.0", "torch": torch})
        return [replace(r, software=other) if r.planned.system == system else r for r in runs]

    listed = remarks(summarise(finished_grid, made_by("aae", "def-dirty", "2.10.0")))
    assert listed == [
        "runs of different commits of the code are compared (abc: mlp; def-dirty: aae)",
        "runs were made with code that no commit has (def-dirty)",
        "runs of different versions of torch are compared (2.10.0: aae; 2.11.0: mlp)",
    ]
    (unknown,) = remarks(summarise(finished_grid, made_by("mlp", None, "2.11.0")))
    assert unknown == "runs of different commits of the code are compared (abc: aae; unknown: mlp)"
    within = made_by("aae", "def", "2.11.0")[:-1] + runs[-1:]  # the last run is of aae
    assert "(abc: all systems; def: aae)" in remarks(summarise(finished_grid, within))[0]

    folder = write_grid(tmp_path / "runs", seeds=1, folds=1)
    results.write_json(folder.runs[0].folder / results.COST, {"seconds": 1, "commit": "def"})
    written = write_report(folder, tmp_path / "out")
    for text in (written.printed, *map(written.read, ("report.md", "report.tex", "index.html"))):
        assert "runs of different commits of the code are compared" in text


def test_number_of_folds_is_stated_if_some_are_left_out(
    finished_grid: Grid, tmp_path: Path
) -> None:
    runs = tuple(run for run in finished_grid.runs if run.fold < 2)
    written = write_report(Grid("made_up", runs, "mlp"), tmp_path / "out")
    assert "Scores are based on 2 of 6 folds only." in written.printed


def test_runs_of_an_earlier_version_lack_speakers(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", seeds=2, folds=2)
    for run in grid.runs:
        if run.system == "aae":
            (run.folder / results.UTTERANCES).unlink()
    written = write_report(grid, tmp_path / "out")
    assert "aae: no utterances.csv" in written.printed
    assert "force=true" in written.printed
    assert set(pd.read_csv(written.out / "slices.csv")["system"]) == {"mlp"}


def test_numbers_in_files_are_shares(shared: Written) -> None:
    scores = pd.read_csv(shared.out / "scores.csv")
    assert len(scores) == 2 * 2 * 2  # systems, splits, joins
    assert scores["shown"].sum() == 2
    shown = scores[scores["shown"]].set_index("system")
    np.testing.assert_allclose(shown["ece"], 1 - shown["wa"], atol=2e-6)  # confidence is 1
    assert (shown["ua_low"] < shown["ua"]).all()
    assert (shown["ua"] < shown["ua_high"]).all()
    assert (shown["p_chance"] < 0.001).all()
    tests = pd.read_csv(shared.out / "tests.csv")
    assert list(tests["kind"]) == ["seeds", "proportions", "folds", "speakers", "sessions"]
    assert list(tests["main"]) == [False] * 4 + [True]  # of session_swap
    assert set(tests["score"]) == {"ua"}
    difference = shown.loc["aae", "ua"] - shown.loc["mlp", "ua"]
    speakers = tests.set_index("kind").loc["speakers"]
    assert speakers["difference"] == pytest.approx(difference, abs=2e-6)
    assert (tests["p_holm"] == tests["p"]).all()  # one system, one target


# ---- escaping


def test_names_are_escaped_everywhere(tmp_path: Path) -> None:
    runs = [
        write(planned(tmp_path, "mlp", seed, fold), classes=CLASSES_NASTY)
        for seed in range(2)
        for fold in range(2)
    ]
    runs = [replace(run, system=NASTY) for run in runs]
    written = write_report(Grid(NASTY, tuple(runs), None), tmp_path / "out")
    assert NASTY in written.printed
    html = written.read("index.html")
    assert "<i>" not in html
    assert "<b>" not in html
    page = Page(html)
    assert page.open == []
    assert any(NASTY in each for each in page.texts)
    for name in ("confusions.svg", "dots.svg"):
        drawn = written.read(name)
        assert "<i>" not in drawn
        assert Page(drawn).open == []
        assert any(NASTY in each for each in Page(drawn).texts)
    md = written.read("report.md")
    assert r"a\_b%&amp;\<i\>\$\|\#\[x\]{y}" in md
    assert "<i>" not in md


def test_markdown_tables_keep_their_columns() -> None:
    table = Table("t|t", ("a", "b|c"), (("x|y", "1"), ("z\nz", "<1")), notes=("n_n",))
    lines = markdown(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert r"n\_n" in lines


# ---- the page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with long names, three targets and a missing run."""
    folder = tmp_path_factory.mktemp("page")
    systems = ["utterance_baseline", "utterance_aae_no_discriminator_dropout"]
    grid = write_grid(
        folder / "runs",
        systems,
        targets=["activation", "valence", "dominance"],
        paper={"key": "p", "published": PUBLISHED},
        baseline=systems[0],
    )
    report(without(grid, lambda run: run is grid.runs[4]), folder / "out")
    return folder / "out" / "index.html"


def test_page_is_self_contained(page: Path) -> None:
    text = page.read_text()
    parsed = Page(text)
    assert parsed.open == []
    anchors = {each[1:] for each in parsed.references if each.startswith("#")}
    assert anchors <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))
    files = {each for each in parsed.references if not each.startswith("#")}
    assert files == {path.name for path in page.parent.iterdir()} - {"index.html"}
    assert {
        "main",
        "scores",
        "tests",
        "dots",
        "confusions",
        "reliability",
        "slices",
        "curves",
    } <= set(parsed.ids)
    assert not re.search(r"https?:|@import|url\(", text)
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    # Wide tables scroll within a box of their own.
    assert text.count("<table>") == text.count('<div class="wide"')


def test_page_fits_screen_and_phone(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert 'content="width=device-width, initial-scale=1"' in text
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return
    # Within an outer page, because a window of the browser cannot be that narrow.
    shutil.copy(page, tmp_path / "index.html")
    outer = tmp_path / "outer.html"
    outer.write_text(
        '<iframe src="index.html" width="390" height="2000"></iframe>'
        '<iframe src="index.html" width="1280" height="900"></iframe><pre id="widths"></pre>'
        "<script>onload = () => { widths.textContent = [...document.querySelectorAll('iframe')]"
        ".map(({contentDocument: d}) => {"
        "const low = ['conclusion', 'rerun', 'forest'].map(id => d.getElementById(id))"
        ".map(each => each.getBoundingClientRect().bottom);"
        "d.querySelectorAll('details').forEach(each => { each.open = true; });"
        "const page = d.documentElement, drawn = [...d.querySelectorAll('.figure')];"
        "return ['widths', page.scrollWidth, page.clientWidth, Math.ceil(Math.max(...low)),"
        "drawn.every(e => e.clientWidth > 200)].join(' '); }).join(';'); }</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    measured = re.findall(r"widths (\d+) (\d+) (\d+) (\w+)", done.stdout)
    assert len(measured) == 2, done.stderr[-2000:]
    for needed, given, _, are_wide in measured:
        assert int(needed) <= int(given)
        assert are_wide == "true"
    assert int(measured[1][2]) <= 900  # conclusion, commands and all systems are visible at once


def test_figures_show_the_scores_of_counted_runs(page: Path) -> None:
    text = page.read_text()
    dots = re.findall(r"<title>seed (\d), fold (\d): ([\d.]+)</title>", text)
    runs = pd.read_csv(page.with_name("runs.csv"))
    runs = runs[runs["counted"] & (runs["part"] == "test")]
    assert len(dots) == len(runs)
    known = sorted(f"{100 * ua:.1f}" for ua in runs["ua"])
    drawn = sorted(value for _, _, value in dots)
    assert np.allclose(np.array(drawn, float), np.array(known, float), atol=0.11)
    counts = sum(int(n.replace(",", "")) for n in re.findall(r'middle count"[^>]*>([\d,]+)<', text))
    assert counts == len(runs) * EACH
    assert text.count("UA on validation, %") == 6
    assert text.count(">ECE ") == 6
    bars = re.findall(r"<title>probability 93 to 100: ([\d.]+) predictions per seed", text)
    assert [float(each) for each in bars] == [180] * 12  # all probabilities are 1; two bars each


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((0, 99), [0, 20, 40, 60, 80]), ((0.62, 0.81), [0.65, 0.7, 0.75, 0.8]), ((0, 1), None)],
)
def test_ticks_are_round(limits: tuple[float, float], expected: list[float] | None) -> None:
    places = ticks(*limits)
    assert 2 <= len(places) <= 8
    assert all(limits[0] <= tick <= limits[1] for tick in places)
    if expected:
        assert places == pytest.approx(expected)


def test_system_without_epochs_has_no_learning_curves(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", ["svm"], baseline=None, seeds=1, folds=2)
    for run in grid.runs:
        (run.folder / results.METRICS).unlink()
    written = write_report(grid, tmp_path / "out")
    assert 'id="curves"' not in written.read("index.html")
    assert "curves" not in written.read("report.md")


def test_losses_of_different_magnitude_share_a_panel(tmp_path: Path) -> None:
    run = write(planned(tmp_path))
    losses = (
        "epoch,train/a_loss,train/b_loss,val/ua\n0,100,0.01,0.5\n1,50,0.001,nan\n2,,0.002,0.6\n"
    )
    (run.folder / results.METRICS).write_text(losses)
    text = write_report(Grid("made_up", (run,), None), tmp_path / "out").read("curves.svg")
    assert "a loss" in text
    assert "nan" not in text
