"""Reference of every configuration option, from the files in conf/ and their comments."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

GLOBAL = "# @package _global_"
HIDDEN = ("_partial_",)


@dataclass(frozen=True)
class Option:
    """One key of a configuration file.

    Attributes:
        key: As typed on the command line, e.g. "model.optimiser.lr".
        default: Value in the file, as YAML; None: a node that only has a comment.
        comment: Comment next to the key, or on the lines before it.
    """

    key: str
    default: str | None
    comment: str


@dataclass(frozen=True)
class Choice:
    """One file of a configuration group.

    Attributes:
        group: Folder in conf/, e.g. "model"; "" for train.yaml.
        name: Path of the file in this folder, without suffix.
        header: Lines of the comment at the top, without "# ".
        target: Class or function that the choice configures, or None.
        bases: Files that it inherits from.
        overrides: Choices of other groups that it sets, by group.
        options: Every key of the file.
        content: The file as plain containers.
    """

    group: str
    name: str
    header: tuple[str, ...]
    target: str | None = None
    bases: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)


def read_choices(conf: Path) -> dict[str, list[Choice]]:
    """Return the choices of every group below conf/, and train.yaml as group ""."""
    groups: dict[str, list[Choice]] = {}
    for file in sorted(conf.rglob("*.yaml")):
        group, name = _group_and_name(conf, file)
        groups.setdefault(group, []).append(_read(file, group, name))
    return groups


def pages(conf: Path) -> dict[str, str]:
    """Return the reference as Markdown pages by file name, `index.md` among them."""
    groups = read_choices(conf)
    (root,) = groups.pop("")
    written = {f"{_slug(group)}.md": _group_page(group, groups[group]) for group in groups}
    comments = _group_comments((conf / "train.yaml").read_text())
    return {"index.md": _index_page(root, groups, comments), **written}


def _group_and_name(conf: Path, file: Path) -> tuple[str, str]:
    relative = file.relative_to(conf).with_suffix("")
    if len(relative.parts) == 1:
        return "", relative.name
    # Experiments have a folder per paper; the files of Hydra's own groups are two folders deep.
    if relative.parts[0] == "hydra":
        return "/".join(relative.parts[:-1]), relative.name
    return relative.parts[0], "/".join(relative.parts[1:])


def _read(file: Path, group: str, name: str) -> Choice:
    text = file.read_text()
    lines = text.splitlines()
    content = yaml.safe_load(text) or {}
    package = "" if GLOBAL in lines or not group else f"{group.replace('/', '.')}."
    bases, overrides = _defaults(content.get("defaults", []))
    root = yaml.compose(text)
    options = tuple(_options(root, lines, package)) if isinstance(root, yaml.MappingNode) else ()
    return Choice(
        group,
        name,
        tuple(_header(lines)),
        content.get("_target_"),
        tuple(bases),
        overrides,
        options,
        content,
    )


def _header(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line == GLOBAL:
            continue
        if not line.startswith("#"):
            return
        yield line[1:].removeprefix(" ")


def _defaults(entries: list[Any]) -> tuple[list[str], dict[str, str]]:
    bases: list[str] = []
    overrides: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, str):
            bases += [entry] if entry != "_self_" else []
            continue
        for key, value in entry.items():
            group = key.removeprefix("override ").removeprefix("optional ").removeprefix("/")
            overrides[group] = str(value)
    return bases, overrides


def _group_comments(text: str) -> dict[str, str]:
    """Return the comments next to the entries of a defaults list, by group."""
    entry = re.compile(r"^ +- (?:optional |override )?/?([\w/]+): \S+ +# (.*)$", re.MULTILINE)
    return {match[1]: match[2] for match in entry.finditer(text)}


def _options(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Option]:
    for key, value in node.value:
        name = key.value
        if name in HIDDEN or (name in ("defaults", "_target_") and key.start_mark.column == 0):
            continue
        path = f"{prefix}{name}"
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        last = key.start_mark.line if block else value.end_mark.line
        if block:
            comment = _comment(lines, key.start_mark.line, last)
            if comment:
                yield Option(path, None, comment)
            yield from _options(value, lines, f"{path}.")
            continue
        if isinstance(value, yaml.SequenceNode) and not value.flow_style:
            last = key.start_mark.line
        if name == "_target_":
            path = prefix.removesuffix(".")
        yield Option(path, _as_yaml(value), _comment(lines, key.start_mark.line, last))


def _comment(lines: list[str], first: int, last: int) -> str:
    """Return the comment next to a value, with its continuation lines, or the one before a key."""
    words = []
    start = lines[first]
    above = first - 1
    indent = len(start) - len(start.lstrip())
    while above > 0 and re.match(rf" {{{indent}}}#", lines[above]) and _is_own(lines, above):
        words.insert(0, lines[above].strip().lstrip("# "))
        above -= 1
    if above < 1:  # the header of the file
        words = []
    found = _inline(lines[min(last, len(lines) - 1)])
    if found is not None:
        column, text = found
        words.append(text)
        for line in lines[last + 1 :]:
            if line.strip().startswith("#") and line.index("#") == column:
                words.append(line.strip().lstrip("# "))
            else:
                break
    return " ".join(words)


def _is_own(lines: list[str], number: int) -> bool:
    """Return whether a line of comment does not continue the comment next to an earlier value."""
    column = lines[number].index("#")
    for line in reversed(lines[:number]):
        if line.strip().startswith("#") and line.index("#") == column:
            continue
        found = _inline(line)
        return found is None or found[0] != column
    return False


def _inline(line: str) -> tuple[int, str] | None:
    """Return column and text of the comment after a value."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", lambda match: "x" * len(match[0]), line)
    found = re.search(r"(?<=\s)#\s*", bare)
    if found is None or not line[: found.start()].strip():
        return None
    return found.start(), line[found.end() :].strip()


def _as_yaml(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        # As written: 1.0e-5 stays 1.0e-5.
        return " ".join(node.value.split()) if node.value else "null"
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(_as_yaml(each) for each in node.value)}]"
    pairs = (f"{key.value}: {_as_yaml(value)}" for key, value in node.value)
    return f"{{{', '.join(pairs)}}}"


# ---- Markdown


def _index_page(
    root: Choice, groups: Mapping[str, list[Choice]], comments: Mapping[str, str]
) -> str:
    defaults = {
        group: choice
        for group, choice in root.overrides.items()
        if group in groups and choice != "None"
    }
    rows = [
        (
            f"[`{group}`]({_slug(group)}.md)",
            _escape(comments.get(group, "")),
            _default(defaults.get(group)),
            str(len(choices)),
        )
        for group, choices in groups.items()
    ]
    listed = "\n".join(_slug(group) for group in groups)
    return f"""# Configuration

Every option of `python train.py` is either the choice of a *group*, which is a folder in `conf/`,
or a value in one of its files. These pages are made from those files and their comments.

- A choice is written `model=aae`, a value `model.optimiser.lr=0.0003`.
- A key that no table has needs a plus sign: `+model.grid.kernel=[linear,rbf]`.
- `null` means none; `${{...}}` is the value of another option.

## Groups

{_table(("group", "chooses", "default", "choices"), rows)}

## Options outside of groups

From `conf/train.yaml`:

{_option_table(root)}

```{{toctree}}
:hidden:

{listed}
```
"""


def _default(choice: str | None) -> str:
    if choice is None:
        return "none"
    return "by `corpus`" if choice.startswith("$") else f"`{choice}`"


def _group_page(group: str, choices: list[Choice]) -> str:
    parts = [f"# `{group}`"]
    papers: dict[str, list[Choice]] = {}
    for choice in choices:
        papers.setdefault(choice.name.rpartition("/")[0], []).append(choice)
    for paper, some in papers.items():
        parts += [f"## {paper}"] if paper else []
        parts.append(_table(("choice", "what it is"), [_summary(choice) for choice in some]))
        parts += [_choice(choice, "###" if paper else "##") for choice in some]
    return "\n\n".join(parts) + "\n"


def _summary(choice: Choice) -> tuple[str, str]:
    text = " ".join(_prose(choice.header)[:1]).strip()
    first = re.split(r"(?<!al)\.\s+(?=[A-Z])", text, maxsplit=1)[0].rstrip(".:")
    return f"[`{choice.name}`](#{_anchor(choice)})", _escape(first)


def _choice(choice: Choice, level: str) -> str:
    parts = [f"({_anchor(choice)})=", f"{level} `{choice.group}={choice.name}`"]
    parts.append(_markdown(choice.header))
    if choice.target:
        role = "{py:obj}" if choice.target.startswith("ser.") else ""
        parts.append(f"Configures {role}`{choice.target}`.")
    if choice.bases:
        bases = ", ".join(f"`{base.removeprefix('/')}`" for base in choice.bases)
        parts.append(f"Inherits from {bases}.")
    if choice.overrides:
        chosen = ", ".join(f"`{key}={value}`" for key, value in choice.overrides.items())
        parts.append(f"Chooses {chosen}.")
    if choice.group == "grid":
        parts.append(_parameters(choice))
    if choice.group == "experiment":
        parts.append(_published(choice))
    elif choice.options and choice.group != "grid":
        parts.append(_option_table(choice))
    return "\n\n".join(part for part in parts if part)


def _parameters(choice: Choice) -> str:
    hydra = choice.content.get("hydra", {})
    params = (hydra.get("sweeper") or {}).get("params") or {}
    rows = [
        (f"`{key}`", f"`{', '.join(each.strip() for each in _top_level_commas(str(value)))}`")
        for key, value in params.items()
    ]
    return _table(("varies", "over"), rows) if rows else ""


def _top_level_commas(text: str) -> list[str]:
    return re.split(r",(?![^(\[{]*[)\]}])", text)


def _published(choice: Choice) -> str:
    rows = [
        option
        for option in choice.options
        if not option.key.startswith("paper.") and option.default is not None
    ]
    published = (choice.content.get("paper") or {}).get("published") or {}
    scores = [
        (f"`{target}`", ", ".join(f"{name} {value}" for name, value in values.items()))
        for target, values in published.items()
        if isinstance(values, dict)
    ]
    tables = [_options_as_table(rows)] if rows else []
    tables += [_table(("target", "published, %"), scores)] if scores else []
    return "\n\n".join(tables)


def _option_table(choice: Choice) -> str:
    return _options_as_table(choice.options)


def _options_as_table(options: Any) -> str:
    rows = [
        (
            _code(option.key),
            "" if option.default is None else _code(option.default),
            _escape(option.comment),
        )
        for option in options
    ]
    return _table(("option", "default", "comment"), rows)


def _code(text: str) -> str:
    """Return code that may be broken after dots and commas, so that tables fit on a phone."""
    text = html.escape(text, quote=False).replace("|", "&#124;")
    breakable = re.sub(r"([.,/])", r"\1<wbr>", text)
    return f"<code>{breakable}</code>"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(r) for r in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _prose(header: tuple[str, ...]) -> list[str]:
    """Return the paragraphs of a header, without its commands."""
    paragraphs, current = [], ""
    for line in header:
        if line.startswith("  ") or not line.strip():
            paragraphs += [current] if current else []
            current = ""
        else:
            current = f"{current} {line}".strip()
    return [*paragraphs, current] if current else paragraphs


def _markdown(header: tuple[str, ...]) -> str:
    """Return a header as paragraphs, its indented lines as blocks of code."""
    lines: list[str] = []
    inside = False
    for line in header:
        is_code = line.startswith("  ") and bool(line.strip())
        if is_code != inside:
            lines += ["", "```bash"] if is_code else ["```", ""]
        inside = is_code
        lines.append(line[2:] if is_code else _escape(line))
    return "\n".join([*lines, "```"] if inside else lines).strip()


def _escape(text: str) -> str:
    return re.sub(r"([*<|\[\]])", r"\\\1", text)


def _anchor(choice: Choice) -> str:
    return f"config-{_slug(choice.group)}-{_slug(choice.name)}"


def _slug(name: str) -> str:
    return name.replace("/", "-").replace("_", "-")
