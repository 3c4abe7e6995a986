"""The self-contained HTML page of a report: the conclusion first, everything else below it."""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from markupsafe import Markup, escape

from ser.plots.colours import PALETTE
from ser.plots.jinja import render
from ser.plots.page import page_style, table_html
from ser.report.cards import anchor
from ser.report.contents import Contents
from ser.report.data import ReportData
from ser.report.documents import EXPLORABLE, TSNE_PDF
from ser.report.figures import captions

SHORTEST = 3  # letters of a name that is linked within sentences
# Titles of folded sections: what to look for.
TITLES = {
    "tests": "Tests: which differences are shown?",
    "scores": "All scores: do the other scores agree?",
    "recalls": "Recalls: which classes are recognised?",
    "confusions": "Confusions: which classes are taken for which?",
    "reliability": "Reliability: can the probabilities be trusted?",
    "density": "Predictions by true value: are extreme values missed?",
    "dots": "Folds and seeds: how much does the score vary?",
    "slices": "Slices: does one speaker, session or style decide the score?",
    "gaps": "Gaps between groups: are some speakers recognised worse?",
    "robustness": "Corrupted audio: how much does the score drop?",
    "quality": "Representations: what have they learned?",
    "curves": "Learning curves: did trainings converge?",
    "layers": "Layers of the encoder: which ones are used?",
    "losses": "Losses of representations: do they overfit?",
    "codes": "2-D codes: are the classes of the test split apart?",
    "tsne": "t-SNE of codes: are the classes of the test split apart?",
    "missing": "Missing runs: what is not counted?",
    "costs": "Cost: how long did runs take?",
    "provenance": "Provenance: which code and libraries made the runs?",
    "files": "Files: where are the numbers?",
}


def html(contents: Contents, files: Sequence[str]) -> str:
    """Return the page with all tables and figures.

    Args:
        contents: Tables and figures.
        files: Names of the other files of the report.
    """
    data = contents.data
    systems = {s: (anchor(data, s), data.colour_of(s) % len(PALETTE)) for s in data.systems}
    return render(
        "ser.report",
        "report.html",
        contents=contents,
        captions=captions,
        titles=TITLES,
        sections=list(_sections(contents)),
        style=page_style(),
        palette=PALETTE,
        draw=partial(table_html, systems=systems),
        linked=partial(linked, data),
        headed=headed,
        explorable=EXPLORABLE,
        tsne_pdf=TSNE_PDF,
        files=files,
    )


def linked(data: ReportData, sentence: str) -> Markup:
    """Return a sentence in which names of systems are links to their cards."""
    names = sorted((s for s in data.systems if len(s) >= SHORTEST), key=len, reverse=True)
    if not names:
        return escape(sentence)
    pattern = re.compile(rf"(?<![\w/=-])({'|'.join(map(re.escape, names))})(?![\w=-])")
    # A p value stays on one line.
    parts = pattern.split(re.sub(r"\bp ([=<]) ", "p\u00a0\\1\u00a0", sentence))
    return Markup("").join(_link(data, part) if part in names else escape(part) for part in parts)


def headed(sentence: str) -> tuple[str, str]:
    """Return what a sentence of the conclusion says, and the numbers in brackets after it.

    Examples:
        >>> headed("It is shown above mlp (+1.0 points, p = 0.010).")
        ('It is shown above mlp', ' (+1.0 points, p = 0.010).')
        >>> headed("Also shown: cnn (+1.0 points, p = 0.010) above mlp.")
        ('', 'Also shown: cnn (+1.0 points, p = 0.010) above mlp.')
    """
    start = re.search(r" \((?=95%|next: |[+-]\d)", sentence)
    if start is None or sentence.startswith(("Also shown: ", "Shown: ")):
        return "", sentence
    return sentence[: start.start()], sentence[start.start() :]


def _link(data: ReportData, system: str) -> Markup:
    colour = data.colour_of(system) % len(PALETTE)
    link = Markup('<a class="system s{}" href="#{}">{}</a>')
    return link.format(colour, anchor(data, system), system)


def _sections(contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield anchors of the sections of the page, and their titles in the navigation."""
    yield "systems", "Systems"
    yield "main", "Table"
    if contents.curve:
        yield "curve", f"Over {contents.curve.option}"
    for name, title in TITLES.items():
        if name in ("tests", "provenance", "files") or getattr(contents, name):
            yield name, title.partition(":")[0]
