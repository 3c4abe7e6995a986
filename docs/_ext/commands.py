"""Reference of the commands of `python -m ser`, from their argument parser."""

import argparse

from ser.__main__ import make_parser


def page() -> str:
    """Return the reference as one Markdown page."""
    parser = make_parser()
    parts = [
        "# Commands",
        "`python train.py` trains and tests; its options are those of the "
        "[configuration](config/index.md). Everything else is a command of `python -m ser`.",
    ]
    for name, command in commands(parser).items():
        parts.append(f"(command-{name})=\n## `{name}`")
        parts.append(f"```text\n{command.format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of all commands by name."""
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)
