"""Figures as SVG without CSS, PDF and PNG, and the numbers behind them."""

import itertools
import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import EACH
from written import Written, write_report

from ser.errors import UserError
from ser.plots import drawing
from ser.plots.colours import LIGHT, PALETTE, colour, css_class
from ser.plots.inline import without_css
from ser.plots.svg import Figure, line, sheet, style, text
from ser.report.documents import DRAWN, FIGURES
from ser.sweeps.grid import Grid, parse_formats

SVG = "{http://www.w3.org/2000/svg}"
DARK = ("#15181b", "#1f2428")  # of pages
# Severe colour vision deficiency: Machado, Oliveira and Fernandes (2009), in linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
    "deuteranopia": [[0.3673, 0.8606, -0.228], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
}


@pytest.fixture(scope="module")
def drawn(finished_grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    grid = replace(finished_grid, formats=("pdf", "png"))
    return write_report(grid, tmp_path_factory.mktemp("drawn") / "out")


def linear(name: str) -> np.ndarray:
    shares = np.array([int(name[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of linear RGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.maximum(np.array(matrix) @ rgb / [0.9505, 1, 1.089], 0.001))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_are_visible_on_light_and_dark_and_distinguishable() -> None:
    def contrast(first: str, second: str) -> float:
        low, high = sorted(linear(each) @ [0.2126, 0.7152, 0.0722] for each in (first, second))
        return (high + 0.05) / (low + 0.05)

    for name, back in itertools.product(PALETTE, (LIGHT["--back"], *DARK)):
        assert contrast(name, back) > 2.9, (name, back)
    for deficiency, matrix in DEFICIENCIES.items():
        seen = [lab(np.clip(matrix @ linear(name), 0, 1)) for name in PALETTE]
        for first, second in itertools.combinations(seen, 2):
            assert np.linalg.norm(first - second) > 14, deficiency
    assert colour(0) == colour(len(PALETTE)) == PALETTE[0]
    assert css_class(len(PALETTE) + 2) == "c2"


def test_files_have_no_css(drawn: Written) -> None:
    for name in ("dots.svg", "confusions.svg", "reliability.svg", "curves.svg"):
        content = drawn.read(name)
        assert not re.search(r"var\(|<style|class=|@media|url\(|system-ui", content), name
        root = ET.fromstring(content)
        texts = root.findall(f".//{SVG}text")
        assert texts
        assert all(each.get("fill", "").startswith("#") for each in texts)
        assert root.find(f"{SVG}rect").get("fill") == "#ffffff"
    # A system has its colour everywhere: mlp is the baseline, and comes first.
    confusions = drawn.read("confusions.svg")
    assert confusions.index(PALETTE[0]) < confusions.index(PALETTE[1])
    assert f'class="dots {css_class(1)}"' in drawn.read("index.html")


def test_rules_apply_by_class_and_specificity() -> None:
    body = (
        '<g class="mark c1 few">' + line("line c2", 0, 0, 1, 1) + text("end", 0, 0, "<&>") + "</g>"
    )
    root = ET.fromstring(sheet([[("title", Figure(body, "label"))]]))
    (group,) = (each for each in root.iter(f"{SVG}g") if each.get("fill"))
    assert (group.get("fill"), group.get("fill-opacity")) == (PALETTE[1], "0")
    (drawn,) = root.iter(f"{SVG}line")
    assert (drawn.get("stroke"), drawn.get("fill")) == (PALETTE[2], "none")
    *_, last = root.iter(f"{SVG}text")
    assert (last.get("text-anchor"), last.get("fill"), last.text) == (
        "end",
        LIGHT["--quiet"],
        "<&>",
    )
    with pytest.raises(ValueError, match="unexpected selector p > b"):
        without_css("<svg/>", "p > b { fill: red }")
    assert "var(--text)" in style()


def test_pdf_and_png_are_written_on_request_only(drawn: Written, shared: Written) -> None:
    own = {
        f"{name}.{kind}"
        for name in ("forest", "dots", "confusions", "reliability", "curves")
        for kind in ("pdf", "png")
    }
    assert drawn.names - shared.names == own
    for name in own:
        content = drawn.contents[name]
        if name.endswith("pdf"):
            assert content.startswith(b"%PDF-1.4")
            assert b"/FontFile2" in content  # embedded TrueType
            assert b"CreationDate" not in content
            continue
        assert content.startswith(b"\x89PNG")
        root = ET.fromstring(drawn.read(name.replace("png", "svg")))
        expected = [2 * float(root.get(side, 0)) for side in ("width", "height")]
        assert struct.unpack(">II", content[16:24]) == pytest.approx(expected, abs=1)
    svg = drawn.read("confusions.svg")
    assert drawing.files(svg, ["pdf"])["pdf"] == drawn.contents["confusions.pdf"]
    assert all(name in FIGURES or name.rpartition(".")[2] in ("pdf", "png") for name in DRAWN)


def test_files_of_an_earlier_report_are_removed(finished_grid: Grid, tmp_path: Path) -> None:
    (tmp_path / "dots.pdf").write_bytes(b"")
    (tmp_path / "density.csv").write_bytes(b"")
    written = write_report(finished_grid, tmp_path)
    assert not written.names & {"dots.pdf", "density.csv"}


@pytest.mark.parametrize(
    "body", ['<path d="M0 0"/>', '<g transform="scale(2 2)"/>', '<image href="x"/>']
)
def test_unknown_elements_are_refused(body: str) -> None:
    with pytest.raises(ValueError, match="a figure has an unknown"):
        drawing.files(sheet([[("title", Figure(body, "label"))]]))


def test_numbers_are_those_of_the_figures(drawn: Written) -> None:
    runs = pd.read_csv(drawn.out / "runs.csv").query("part == 'test'")
    dots = pd.read_csv(drawn.out / "dots.csv")
    single = dots[dots["fold"] != "pooled"]
    assert list(single["value"]) == list(runs["ua"])
    assert set(dots["score"]) == {"ua"}
    scores = pd.read_csv(drawn.out / "scores.csv").query("shown").set_index("system")
    pooled = dots[dots["fold"] == "pooled"].groupby("system")["value"].mean()
    np.testing.assert_allclose(pooled, scores.loc[pooled.index, "ua"], atol=2e-6)
    confusions = pd.read_csv(drawn.out / "confusions.csv")
    assert confusions["count"].sum() == 2 * 3 * 6 * EACH
    np.testing.assert_allclose(confusions.groupby(["system", "truth"])["share"].sum(), 1, atol=1e-5)
    reliability = pd.read_csv(drawn.out / "reliability.csv")
    assert list(reliability["probability"]) == [1, 1]
    np.testing.assert_allclose(
        reliability["correct"], scores.loc[reliability["system"], "wa"], atol=2e-6
    )
    curves = pd.read_csv(drawn.out / "curves.csv")
    assert list(curves) == ["system", "corpus", "target", "curve", "epoch", "mean", "p10", "p90"]
    assert set(curves["curve"]) == {"val/ua", "train/loss"}
    known = curves.query("curve == 'val/ua' and system == 'aae'")["mean"]
    np.testing.assert_allclose(known, 0.6 - 0.3 * np.exp(-np.arange(12) / 4), atol=1e-6)


def test_formats_are_checked() -> None:
    assert parse_formats("[pdf,png,pdf]") == ("pdf", "png")
    assert parse_formats([]) == ()
    for value in ("[svg]", "pdf", "[pdf", "[[png]]", "{}"):
        with pytest.raises(UserError, match=r"report.formats=.*expected a list of pdf and png"):
            parse_formats(value)
