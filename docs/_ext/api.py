"""Reference of the Python API: a page per package, with every public module."""

import ast
from pathlib import Path

# What users import, then from the lowest to the highest; what is not named here comes last.
PACKAGES = (
    "api",
    "config",
    "corpora",
    "features",
    "data",
    "audit",
    "networks",
    "training",
    "models",
    "representations",
    "runs",
    "sweeps",
    "inference",
    "export",
    "latents",
    "report",
    "plots",
)


def pages(package: Path) -> dict[str, str]:
    """Return the reference as Markdown pages by file name, `index.md` among them.

    Args:
        package: Folder of the package `ser`.
    """
    order = {name: place for place, name in enumerate(PACKAGES)}
    folders = sorted(
        (init.parent for init in package.glob("*/__init__.py")),
        key=lambda folder: (order.get(folder.name, len(order)), folder.name),
    )
    top = [file for file in sorted(package.glob("*.py")) if not file.stem.startswith("__")]
    rows = [f"| [`ser.{f.name}`]({f.name}.md) | {_summary(f / '__init__.py')} |" for f in folders]
    rows += [f"| [`ser.{file.stem}`](modules.md) | {_summary(file)} |" for file in top]
    listed = "\n".join([*(folder.name for folder in folders), "modules"])
    index = (
        "# Python API\n\nFrom the docstrings of every public module. Imports run one way: see "
        "[Contributing](../../contributing.md).\n\n| package | what it does |\n| --- | --- |\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )
    written = {f"{folder.name}.md": _package_page(folder) for folder in folders}
    modules = "\n\n".join(_module(f"ser.{file.stem}") for file in top)
    written["modules.md"] = f"# Modules outside of packages\n\n{modules}\n"
    return {"index.md": index, **written}


def _package_page(folder: Path) -> str:
    names = []
    for file in sorted(folder.rglob("*.py")):
        dotted = ".".join(("ser", *file.relative_to(folder.parent).with_suffix("").parts))
        dotted = dotted.removesuffix(".__init__")
        if not any(part.startswith("_") for part in dotted.split(".")):
            names.append(dotted)
    return (
        f"# `ser.{folder.name}`\n\n" + "\n\n".join(_module(name) for name in sorted(names)) + "\n"
    )


def _module(name: str) -> str:
    return f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```"


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|").replace("<", "\\<")
