"""LaTeX of reports: escaping, widths, and a document that compiles."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import CLASSES, planned, write, write_grid
from written import write_report

from ser.report import latex
from ser.report.latex import table, tex
from ser.report.tables import Table
from ser.sweeps.grid import Grid

NASTY = "a_b%&<i>$|#[x]{y}"
DOCUMENT = r"""\documentclass[twocolumn]{article}
\setlength{\textwidth}{516pt}\setlength{\columnsep}{12pt}\setlength{\columnwidth}{252pt}
\setlength{\hsize}{252pt}\setlength{\linewidth}{252pt}\setlength{\textheight}{650pt}
\usepackage{booktabs,array}
\begin{document}
\onecolumn\twocolumn
\input{report}
\listoftables
\end{document}
"""


def test_table_is_well_formed() -> None:
    rows = ((NASTY, "76.0 ± 1.6"), ("[odd]", "-1.5 to +2.0"))
    spans = (("", 1), ("a_b", 1))
    text = table(Table("100%", ("system", "UA"), rows, 1, spans, ("x < y",)))
    assert r"a\_\allowbreak{}b\%\&\textless{}i\textgreater{}\$\textbar{}\#[x]\{y\}" in text
    assert r"76.0 $\pm$ 1.6" in text
    assert "$-$1.5 to +2.0" in text
    assert "{}[odd]" in text  # not an option of the \\ before it
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert all(len(re.findall(r"(?<!\\)&", row)) == 1 for row in body.splitlines()[1:])
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_width_decides_between_column_page_and_division() -> None:
    def of(count: int, spans: tuple[tuple[str, int], ...] = ()) -> str:
        columns = ("system", *(f"score {number}" for number in range(count)))
        rows = (("mlp", *["76.0 ± 1.6"] * count), ("aae", *["77.0 ± 1.6"] * count))
        return table(Table("Scores", columns, rows, spans=spans, notes=("A note.",)))

    assert r"\begin{table}" in of(3)
    assert r"\begin{table*}" in of(6)
    wide = of(20)
    assert re.findall(r"begin{(table\*?)}", wide) == ["table*", "table*", "table"]
    assert wide.count("{}system &") == 3
    assert "Scores (1 of 3)" in wide
    assert wide.count("A note.") == 1
    assert all(wide.count(f"score {number} ") == 1 for number in range(20))
    # Columns below one header stay together.
    spanned = of(12, (("", 1), *((f"target {n}", 3) for n in range(4))))
    assert re.findall(r"begin{(table\*?)}", spanned) == ["table*", "table"]
    assert re.findall(r"target \d", spanned) == [f"target {number}" for number in range(4)]
    assert spanned.count(r"\cmidrule(lr){2-4}") == 2


def test_long_names_may_be_broken_and_foreign_letters_are_known() -> None:
    assert tex("utterance_aae_no_discriminator") == (
        r"utterance\_\allowbreak{}aae\_\allowbreak{}no\_\allowbreak{}discriminator"
    )
    assert tex("x" * 40).count(r"\allowbreak{}") == 2
    assert tex("Müller\tκ\x00") == "Müller [U+03BA] "
    text = table(Table("t", ("system", "UA"), (("utterance_aae_no_discriminator", "1"),)))
    assert "p{105pt}" in text


@pytest.fixture
def report_tex(tmp_path: Path) -> Path:
    """A report with long names, published scores, three targets and all kinds of tests."""
    systems = ["utterance_baseline", "utterance_aae_no_discriminator_dropout", "x" * 50, "mlp"]
    paper = {"key": "p_2", "published": {"activation": {"ua": 77.74, "sd": 0.35}}}
    targets = ["activation", "valence", "dominance"]
    options = {"seeds": 2, "folds": 2, "paper": paper, "baseline": systems[0]}
    grid = write_grid(tmp_path / "runs", systems, targets=targets, **options)
    odd = tuple(
        replace(write(planned(tmp_path / "odd", "mlp", seed, fold)), system=f'{NASTY} κ="é"')
        for seed in range(2)
        for fold in range(2)
    )
    runs = (*grid.runs, *odd)
    write_report(Grid("100%_grid", runs, systems[0]), tmp_path / "out")
    return tmp_path / "out" / "report.tex"


@pytest.mark.slow
def test_document_compiles_within_the_text_width(report_tex: Path, tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed (texlive-latex-recommended)")
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    shutil.copy(report_tex, tmp_path / "report.tex")
    for _ in range(2):  # the second time with the list of tables
        done = subprocess.run(
            [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
        )
        log = (tmp_path / "paper.log").read_text(errors="replace")
        assert done.returncode == 0, log[-3000:]
    wide = re.findall(r"Overfull \\hbox.*", log)
    assert not wide, wide
    assert "Missing character" not in log
    assert all(name in report_tex.read_text() for name in CLASSES)
    assert latex.PREAMBLE.splitlines()[0] in report_tex.read_text()
