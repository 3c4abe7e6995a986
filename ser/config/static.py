"""Attributes of classes, read from their source files: to import a network would import torch."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2]


def class_attribute(target: str, name: str) -> Any:
    """Return a plain attribute of a class, also of one that it inherits.

    Args:
        target: Path of the class, e.g. "ser.networks.mlp.MLPEncoder".
        name: Name of the attribute, e.g. "level".

    Returns:
        Its value; None if there is no such class in the project, or no such attribute.
    """
    module, _, last = target.rpartition(".")
    for node in _statements(module):
        if isinstance(node, ast.ClassDef) and node.name == last:
            for statement in node.body:
                if isinstance(statement, ast.Assign) and name in map(
                    ast.unparse, statement.targets
                ):
                    return ast.literal_eval(statement.value)
            values = (class_attribute(f"{module}.{ast.unparse(b)}", name) for b in node.bases)
            return next((value for value in values if value is not None), None)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == last:
                    return class_attribute(f"{node.module}.{alias.name}", name)
    return None


@cache
def _statements(module: str) -> list[ast.stmt]:
    """Return the statements of a module of the project, or none."""
    path = SOURCES.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not module.startswith("ser.") or not file.is_file():
        return []
    return ast.parse(file.read_text()).body
