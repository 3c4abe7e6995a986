"""Sphinx extension: writes the reference pages before a build, copies reports after it.

The pages are made from conf/, the argument parser and the docstrings, so that they cannot differ
from the program. They are written below docs/reference/ and are not under version control.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import api
import commands
import config_options

REFERENCE = Path("reference")


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", _write_pages)
    app.connect("build-finished", _copy_results)
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-skip-member", _skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_pages(app: Any) -> None:
    docs = Path(app.srcdir)
    project = docs.parent
    folders = {
        "config": config_options.pages(project / "conf"),
        "api": api.pages(project / "ser"),
        "": {"commands.md": commands.page()},
    }
    for folder, pages in folders.items():
        target = docs / REFERENCE / folder
        target.mkdir(parents=True, exist_ok=True)
        for stale in target.glob("*.md") if folder else ():
            if stale.name not in pages:
                stale.unlink()
        for name, text in pages.items():
            file = target / name
            if not file.exists() or file.read_text() != text:  # unchanged pages are not read again
                file.write_text(text)


def _copy_results(app: Any, error: Exception | None) -> None:
    """Copy the committed reports, which are complete pages, next to their index."""
    if error is None and app.builder.format == "html":
        source = Path(app.srcdir) / "results"
        for report in sorted(each for each in source.iterdir() if each.is_dir()):
            shutil.copytree(report, Path(app.outdir) / "results" / report.name, dirs_exist_ok=True)


def _escape(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText reads as markup: |x|, `classes: C.` and `Module`s."""
    for number, line in enumerate(lines):
        if "``" not in line and ">>>" not in line:
            line = line.replace("|", r"\|")
            line = re.sub(r"(`[^`]+`)(\w?)", lambda m: m[1] + (rf"\ {m[2]}" if m[2] else ""), line)
        lines[number] = re.sub(r"(?<=: )([A-Z])\.", r"\1\.", line)


def _skip_foreign(
    app: Any, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the methods that scikit-learn adds to every estimator (`set_fit_request`, ...)."""
    return True if name.startswith("set_") and name.endswith("_request") else None
