"""What is written: the tables of the paper, escaping, and a page that needs nothing beside it."""

import io
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
from made_runs import CLASSES, EACH, grid, planned, truth, write
from rich.console import Console

from ser import results
from ser.errors import UserError
from ser.plots.svg import ticks
from ser.report import compute, report
from ser.report.render import latex, markdown
from ser.report.tables import Table
from ser.sweeps.grid import Grid

NASTY = "a_b%&<i>$|#[x]{y}"
CLASSES_NASTY = ("<b>&", "50%_of", "x|y")
PUBLISHED = {"activation": {"ua": 77.74, "sd": 0.35}, "valence": {"wa": 60.1, "ua": 58.0}}
WRITTEN = {
    *("report.md", "report.tex", "index.html", "dots.svg", "confusions.svg", "curves.svg"),
    "reliability.svg",
    *("scores.csv", "tests.csv", "recalls.csv", "slices.csv", "runs.csv", "cost.csv"),
}


def told(grid: Grid, out: Path, width: int = 300) -> str:
    """What is printed."""
    printed = io.StringIO()
    report(grid, out, Console(file=printed, width=width, highlight=False))
    return printed.getvalue()


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


class Page(HTMLParser):
    """Elements that are left open, and references, of a page."""

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


# ---- the same bytes


def test_order_and_age_of_runs_change_no_byte(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs", ["mlp", "aae", "cnn"], targets=["valence", "activation"])
    report(made, tmp_path / "one")
    for number, path in enumerate(sorted((tmp_path / "runs").rglob("*"))):
        os.utime(path, (number, number))
    runs = np.random.default_rng(1).permutation(np.array(made.runs, dtype=object)).tolist()
    report(Grid(made.name, tuple(runs), made.baseline), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert set(contents(tmp_path / "one")) == WRITTEN


def test_costs_and_places_change_no_other_file(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs")
    report(made, tmp_path / "one")
    moved = grid(tmp_path / "elsewhere" / "runs")
    for number, run in enumerate(moved.runs):
        cost = {"seconds": 7.5 + number, "date": "2027-02-03", "threads": 2, "commit": "f00"}
        results.write_json(run.folder / results.COST, cost)
    (moved.runs[0].folder / results.COST).unlink()
    report(moved, tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.pop("cost.csv") != two.pop("cost.csv")
    assert one == two
    for name, text in one.items():
        assert not re.search(rb"20\d\d-\d\d|abc123|/tmp|" + str(tmp_path).encode(), text), name
    cost = pd.read_csv(tmp_path / "two" / "cost.csv")
    assert cost["seconds"].isna().sum() == 1
    assert set(cost["commit"].dropna()) == {"f00"}


def test_an_unfinished_seed_changes_no_number(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs", baseline=None)
    complete = Grid(made.name, tuple(run for run in made.runs if run.seed < 2), None)
    report(complete, tmp_path / "one")
    (made.runs[-1].folder / results.RESULT).unlink()
    (
        next(r for r in made.runs if r.system == "mlp" and r.seed == 2).folder / results.RESULT
    ).unlink()
    text = told(made, tmp_path / "two")
    for name in ("scores.csv", "slices.csv"):
        one, two = (pd.read_csv(tmp_path / out / name) for out in ("one", "two"))
        pd.testing.assert_frame_equal(
            one.drop(columns="seeds_planned", errors="ignore"),
            two.drop(columns="seeds_planned", errors="ignore"),
        )
    assert "missing: seed 2, fold 0: mlp" in text
    assert "missing: seed 2, fold 5: aae" in text
    assert "[2/3]" in text
    for name in ("report.md", "index.html"):
        assert "seed 2, fold 5: aae" in (tmp_path / "two" / name).read_text()
    runs = pd.read_csv(tmp_path / "two" / "runs.csv")
    assert not runs.loc[runs["seed"] == 2, "counted"].any()
    assert runs.loc[runs["seed"] < 2, "counted"].all()


def test_nothing_finished_says_what_to_do(tmp_path: Path) -> None:
    asked = Grid("made_up", (planned(tmp_path), planned(tmp_path, "aae")), None)
    with pytest.raises(UserError, match="none of the 2 runs of made_up is finished: .*train.py"):
        report(asked, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_complete_seed_is_said(tmp_path: Path) -> None:
    made = Grid("made_up", (write(planned(tmp_path)), planned(tmp_path, fold=1)), "mlp")
    text = told(made, tmp_path / "out")
    assert "no complete seed" in text
    assert "seed 0, fold 1: all systems" in text
    assert "no complete seed" in (tmp_path / "out" / "report.md").read_text()
    assert len(pd.read_csv(tmp_path / "out" / "runs.csv")) == 2


# ---- what tables say


def test_published_stands_beside_reproduced(tmp_path: Path) -> None:
    paper = {"key": "parthasarathy2019", "table": 1, "published": PUBLISHED, "note": "Rows 4, 5."}
    made = grid(tmp_path / "runs", targets=["activation", "valence"], paper=paper)
    report(made, tmp_path / "out")
    found = compute(made)
    summed = {(c.system, c.target): s for c, s in found.scored}
    lines = (tmp_path / "out" / "report.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| aae | "))
    ours = summed["aae", "activation"]
    mean, sd = 100 * ours.mean("pooled", "ua"), 100 * ours.sd("pooled", "ua")
    assert f"| aae | 77.74 ± 0.35 | {mean:.2f} ± {sd:.2f} | 58.00 |" in row
    other = summed["aae", "valence"]
    assert f"| 60.10 | {100 * other.mean('pooled', 'wa'):.2f} ± " in row
    text = "\n".join(lines)
    assert "Rows 4, 5." in text
    assert "Published: parthasarathy2019, table 1." in text


def test_published_recalls_stand_beside_reproduced_ones(tmp_path: Path) -> None:
    known = {"ua": 60.0, "recall": {"low": 61.25, "high": 58.5}}
    paper = {"key": "p", "published": {"activation": known}}
    made = grid(tmp_path / "runs", systems=["mlp"], paper=paper)
    report(made, tmp_path / "out")
    numbers = pd.read_csv(tmp_path / "out" / "recalls.csv").query("joined == 'pooled'")
    low, neutral, high = 100 * numbers["recall"]
    text = (tmp_path / "out" / "report.md").read_text()
    (row,) = re.findall(r"^\| mlp \| 61.*", text, re.M)
    parts = [cell.split(" ±")[0].strip() for cell in row.strip("|").split("|")]
    assert parts == ["mlp", "61.25", f"{low:.2f}", "-", f"{neutral:.2f}", "58.50", f"{high:.2f}"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'id="recalls"' in page
    assert "61.25" in page


def test_scores_of_another_corpus_are_not_compared(tmp_path: Path) -> None:
    paper = {"key": "p", "corpus": "iemocap", "published": PUBLISHED}
    made = grid(tmp_path / "runs", seeds=1, corpus="demo", paper=paper)
    report(made, tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "77.74" not in text
    assert "another corpus" in text


def test_beside_a_score_stand_counts_chance_and_the_largest_class(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs")
    text = told(made, tmp_path / "out")
    counts = np.bincount(np.concatenate([truth(fold, "test") for fold in range(6)]))
    classes = ", ".join(f"{name} {count}" for name, count in zip(CLASSES, counts, strict=True))
    said = f"180 utterances of 6 speakers in the test part ({classes}); guessing gets UA 33.3, "
    said += f"always naming the largest class WA {100 * counts.max() / counts.sum():.1f}."
    assert said in text
    for name in ("report.md", "report.tex", "index.html"):
        written = (tmp_path / "out" / name).read_text()
        assert "guessing gets UA 33.3" in written, name
        assert classes in written, name


def test_remarks_are_told_everywhere(tmp_path: Path) -> None:
    remark = "synthetic speech: says nothing about people"
    runs = [write(planned(tmp_path, "mlp"), remarks=[remark]), write(planned(tmp_path, "aae"))]
    text = told(Grid("made_up", tuple(runs), None), tmp_path / "out")
    assert f"{remark} (mlp)" in text
    for name in ("report.md", "report.tex", "index.html"):
        assert remark in (tmp_path / "out" / name).read_text(), name
    assert "report.baseline=NAME" in text


def test_some_of_the_folds_are_said_to_be_some(tmp_path: Path) -> None:
    text = told(grid(tmp_path / "runs", folds=2), tmp_path / "out")
    assert "2 of 6 folds are in this grid: scores are of them alone." in text


def test_runs_of_an_earlier_version(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs")
    for run in made.runs:
        if run.system == "aae":
            (run.folder / results.UTTERANCES).unlink()
    text = told(made, tmp_path / "out")
    assert "aae: no utterances.csv" in text
    assert "force=true" in text
    assert set(pd.read_csv(tmp_path / "out" / "slices.csv")["system"]) == {"mlp"}


def test_numbers_in_files_are_shares(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs")
    report(made, tmp_path / "out")
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert len(scores) == 2 * 2 * 2  # systems, parts, joins
    assert scores["shown"].sum() == 2
    shown = scores[scores["shown"]].set_index("system")
    np.testing.assert_allclose(shown["ece"], 1 - shown["wa"], atol=2e-6)  # all are sure
    assert (shown["ua_low"] < shown["ua"]).all()
    assert (shown["ua"] < shown["ua_high"]).all()
    tests = pd.read_csv(tmp_path / "out" / "tests.csv")
    assert list(tests["kind"]) == ["seeds", "proportions", "folds", "speakers"]
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
    text = told(Grid(NASTY, tuple(runs), None), tmp_path / "out")
    assert NASTY in text
    html = (tmp_path / "out" / "index.html").read_text()
    assert "<i>" not in html
    assert "<b>" not in html
    page = Page(html)
    assert page.open == []
    assert any(NASTY in each for each in page.texts)
    for name in ("confusions.svg", "dots.svg"):
        drawn = (tmp_path / "out" / name).read_text()
        assert "<i>" not in drawn
        assert Page(drawn).open == []
    md = (tmp_path / "out" / "report.md").read_text()
    assert r"a\_b%&amp;\<i\>\$\|\#\[x\]{y}" in md
    assert "<i>" not in md


def test_markdown_tables_keep_their_columns() -> None:
    table = Table("t|t", ("a", "b|c"), (("x|y", "1"), ("z\nz", "<1")), notes=("n_n",))
    lines = markdown(table).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert r"n\_n" in lines


def test_latex_is_a_fragment_of_booktabs() -> None:
    rows = ((NASTY, "76.0 ± 1.6"), ("[odd]", "-1.5 to +2.0"))
    table = Table("100%", ("system", "UA"), rows, 1, (("", 1), ("a_b", 1)), ("x < y",))
    text = latex(table)
    assert r"a\_b\%\&\textless{}i\textgreater{}\$|\#[x]\{y\}" in text
    assert r"76.0 $\pm$ 1.6" in text
    assert "$-$1.5 to +2.0" in text
    assert "{}[odd]" in text  # else an option of the \\ before it
    for begun in ("table", "tabular"):
        assert text.count(rf"\begin{{{begun}}}") == text.count(rf"\end{{{begun}}}") == 1
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in body.splitlines()[1:])
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


# ---- the page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    systems = ["utterance_baseline", "utterance_aae_no_discriminator_dropout"]
    made = grid(
        folder / "runs",
        systems,
        targets=["activation", "valence", "dominance"],
        paper={"key": "p", "published": PUBLISHED},
        baseline=systems[0],
    )
    (made.runs[4].folder / results.RESULT).unlink()
    report(made, folder / "out")
    return folder / "out" / "index.html"


def test_the_page_needs_nothing_beside_it(page: Path) -> None:
    text = page.read_text()
    found = Page(text)
    assert found.open == []
    assert all(each.startswith("#") for each in found.references)
    assert {each[1:] for each in found.references} <= set(found.ids)
    assert {
        "main",
        "scores",
        "tests",
        "dots",
        "confusions",
        "reliability",
        "slices",
        "curves",
    } <= set(found.ids)
    assert not re.search(r"https?:|@import|url\(", text)
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    # Whatever is wide is pushed aside within its own box.
    assert text.count("<table>") == text.count('<div class="wide"')


def test_the_page_fits_a_phone(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert 'content="width=device-width, initial-scale=1"' in text
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return
    # An outer page, because a window is never narrower than some hundred pixels more.
    shutil.copy(page, tmp_path / "index.html")
    outer = tmp_path / "outer.html"
    outer.write_text(
        '<iframe id="f" src="index.html" width="390" height="2000"></iframe><pre id="told"></pre>'
        "<script>onload = () => { const page = f.contentDocument.documentElement;"
        "told.textContent = 'widths ' + page.scrollWidth + ' ' + page.clientWidth + ' ' +"
        "[...f.contentDocument.querySelectorAll('.figure')].every(e => e.clientWidth > 200);"
        "}</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", outer.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    widths = re.search(r"widths (\d+) (\d+) (\w+)", done.stdout)
    assert widths, done.stderr[-2000:]
    assert int(widths[1]) <= int(widths[2])
    assert widths[3] == "true"


def test_figures_say_what_they_show(page: Path) -> None:
    text = page.read_text()
    dots = re.findall(r"<title>seed (\d), fold (\d): ([\d.]+)</title>", text)
    runs = pd.read_csv(page.with_name("runs.csv"))
    runs = runs[runs["counted"] & (runs["part"] == "test")]
    assert len(dots) == len(runs)
    known = sorted(f"{100 * ua:.1f}" for ua in runs["ua"])
    shown = sorted(value for _, _, value in dots)
    assert np.allclose(np.array(shown, float), np.array(known, float), atol=0.11)
    counts = sum(int(n.replace(",", "")) for n in re.findall(r'middle count"[^>]*>([\d,]+)<', text))
    assert counts == len(runs) * EACH
    assert text.count("UA on validation, %") == 6
    assert text.count(">ECE ") == 6
    shown = re.findall(r"<title>probability 93 to 100: ([\d.]+) utterances of a seed", text)
    assert [float(each) for each in shown] == [180] * 12  # made-up probabilities are 1; two bars


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((0, 99), [0, 20, 40, 60, 80]), ((0.62, 0.81), [0.65, 0.7, 0.75, 0.8]), ((0, 1), None)],
)
def test_ticks_are_round(limits: tuple[float, float], expected: list[float] | None) -> None:
    found = ticks(*limits)
    assert 2 <= len(found) <= 8
    assert all(limits[0] <= tick <= limits[1] for tick in found)
    if expected:
        assert found == pytest.approx(expected)


def test_a_system_without_epochs_has_no_curves(tmp_path: Path) -> None:
    made = grid(tmp_path / "runs", ["svm"], baseline=None)
    for run in made.runs:
        (run.folder / results.METRICS).unlink()
    report(made, tmp_path / "out")
    assert 'id="curves"' not in (tmp_path / "out" / "index.html").read_text()
    assert "curves" not in (tmp_path / "out" / "report.md").read_text()


def test_losses_that_part_by_magnitudes_share_a_panel(tmp_path: Path) -> None:
    run = write(planned(tmp_path))
    losses = (
        "epoch,train/a_loss,train/b_loss,val/ua\n0,100,0.01,0.5\n1,50,0.001,nan\n2,,0.002,0.6\n"
    )
    (run.folder / results.METRICS).write_text(losses)
    report(Grid("made_up", (run,), None), tmp_path / "out")
    text = (tmp_path / "out" / "curves.svg").read_text()
    assert "a loss" in text
    assert "nan" not in text
