"""The order of packages: imports run one way, and composing a run needs no torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From low to high: a package imports from levels below its own.
LEVELS = (
    {"arguments", "errors", "metrics"},
    {"config", "console", "corpora", "networks"},
    {"features", "results"},
    {"data"},
    {"plots", "sweeps", "training"},
    {"report", "representations"},
    {"audit", "benchmark", "models"},
    {"inference"},
    {"export", "latents", "runs"},
    {"__main__", "api"},
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
# Neither sweeps nor the plug-ins of Hydra may wait for torch; an audit needs none.
LIGHT = ("ser/sweeps", "ser/config", "hydra_plugins", "ser/audit", "ser/benchmark")


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(file): file for file in sorted((ROOT / "ser").rglob("*.py"))}


def imported(name: str, node: ast.AST) -> Iterator[str]:
    """The modules of the project that a node of a module's syntax tree imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = name.split(".")
            depth = node.level - (modules()[name].name == "__init__.py")
            base = ".".join([*package[: len(package) - depth], *filter(None, [node.module])])
        if base in modules():
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in modules() else base


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports: at its top, inside functions and for type checks."""
    trees = {name: ast.walk(ast.parse(file.read_text())) for name, file in modules().items()}
    return {
        name: {each for node in nodes for each in imported(name, node)}
        for name, nodes in trees.items()
    }


def package_of(module: str) -> str:
    """The file or package at the top of `ser` that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def test_levels_name_every_package() -> None:
    assert {package_of(name) for name in modules()} - {"ser"} == set(LEVEL)
    assert len(LEVELS) <= 10


def test_few_files_stand_beside_the_packages() -> None:
    assert len(list((ROOT / "ser").glob("*.py"))) <= 6


def test_packages_import_from_lower_levels_only() -> None:
    assert imports()["ser"] == {"ser.api"}
    upward = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if "ser" not in (name, other)
        and package_of(name) != package_of(other)
        and LEVEL[package_of(name)] <= LEVEL[package_of(other)]
    ]
    assert not upward


def test_modules_do_not_import_each_other_in_a_cycle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(reversed(error.args[1]))}")


def test_composing_and_sweeping_import_no_torch() -> None:
    files = (file for folder in LIGHT for file in sorted((ROOT / folder).rglob("*.py")))
    names = [name_of(file) for file in files]
    assert len(names) > len(LIGHT)
    lines = [f"import {name}" for name in ["train", *names]]
    code = "\n".join(["import sys", *lines, "print('torch' in sys.modules)"])
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert answer.stdout.strip() == "False"


def test_training_a_network_imports_no_scikit_learn() -> None:
    """Neither does `ser.runs.run` at its top, nor what it imports there: it takes 0.4 s."""
    reached: set[str] = set()
    waiting = {"ser.runs.run"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for node in ast.parse(modules()[name].read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                others = [alias.name for alias in node.names]
                others += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not any(each.partition(".")[0] == "sklearn" for each in others), name
                waiting |= {
                    package for each in imported(name, node) for package in (each, *_above(each))
                }
        waiting -= reached
    assert "ser.training.phased" in reached


def _above(module: str) -> list[str]:
    """The packages that a module is in."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def test_imports_are_read_wherever_they_stand() -> None:
    """The checks above are worth what this reads."""
    source = (
        "from ser import errors\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from ser.data.targets import Target\n"
        "def late():\n    import ser.metrics\n    from ..results import RESULT\n"
    )
    nodes = list(ast.walk(ast.parse(source)))
    names = {each for node in nodes for each in imported("ser.runs.run", node)}
    assert names == {"ser.errors", "ser.data.targets", "ser.metrics", "ser.results"}
