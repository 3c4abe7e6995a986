"""Sphinx configuration: ``sphinx-build -W --keep-going -b html docs docs/_build``."""

import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

project = "ser"
author = "The ser developers"
copyright = author
version = release = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"][
    "version"
]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "generated",  # docs/_ext/generated.py: the reference pages
]
# docs/results has reports of earlier runs: they are copied as they are (docs/_ext/generated.py).
exclude_patterns = ["_build", "results/*/*"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_inherit_docstrings = False  # those of Lightning and scikit-learn are theirs
suppress_warnings = ["ref.python"]  # attributes of several classes share a name
default_role = "code"  # single backticks in docstrings are code, as in the source

html_theme = "furo"
html_title = f"ser {release}"
html_static_path = ["_static"]
html_css_files = ["ser.css"]
html_copy_source = False
html_show_copyright = False
