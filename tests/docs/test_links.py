"""Links between documents resolve, and the reference has every option and command."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from blocks import DOCS, FENCE, PROJECT

sys.path.append(str(DOCS / "_ext"))
import api
import commands as commands_reference
import config_options

from ser.__main__ import make_parser
from ser.config import CONF

LINK = re.compile(r"\]\(([^)\s]+)\)")
DOCUMENTS = sorted(
    file
    for file in [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *DOCS.rglob("*.md")]
    if not {"_build", "reference"} & set(file.relative_to(PROJECT).parts)
    and (file.parent.parent != DOCS / "results")
)


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    """Pages that are generated at build time, by path."""
    pages = {DOCS / "reference" / "commands.md": commands_reference.page()}
    for name, some in (("config", config_options.pages(CONF)), ("api", api.pages(PROJECT / "ser"))):
        pages |= {DOCS / "reference" / name / page: text for page, text in some.items()}
    return pages


def anchors(text: str) -> set[str]:
    """Return the anchors of a Markdown document: headings as slugs, and explicit labels."""
    text = FENCE.sub("", text)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(PROJECT)))
def test_internal_links_resolve(document: Path, generated: dict[Path, str]) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if name.endswith(".html") and not target.exists():
            target = target.with_suffix(".md")
        text = generated.get(target)
        if text is None and target.is_file():
            text = target.read_text() if target.suffix == ".md" else ""
        if text is None or (anchor and anchor not in anchors(text)):
            broken.append(link)
    assert not broken


def test_reference_has_every_choice_of_every_group(generated: dict[Path, str]) -> None:
    config = {path.name: text for path, text in generated.items() if path.parent.name == "config"}
    missing = []
    for file in CONF.rglob("*.yaml"):
        group, _, name = str(file.relative_to(CONF).with_suffix("")).partition("/")
        if group == "hydra":
            group, _, name = str(file.relative_to(CONF).with_suffix("")).rpartition("/")
        page = f"{group.replace('/', '-').replace('_', '-')}.md"
        if name and f"`{group}={name}`" not in config[page]:
            missing.append(f"{group}={name}")
    assert not missing


def test_reference_has_every_option_with_default_and_comment(generated: dict[Path, str]) -> None:
    config = {
        path.name: text.replace("<wbr>", "")
        for path, text in generated.items()
        if path.parent.name == "config"
    }
    root = yaml.safe_load((CONF / "train.yaml").read_text())
    for key, value in root.items():
        if key != "defaults" and not isinstance(value, dict):
            shown = "null" if value is None else value
            shown = str(value).lower() if isinstance(value, bool) else shown
            assert f"| <code>{key}</code> | <code>{shown}</code> |" in config["index.md"]
    assert "| <code>model.discriminator.dropout</code> | <code>0.5</code> |" in config["model.md"]
    for name in ("corpus", "features", "fold", "target", "trainer", "representation"):
        assert "| option | default | comment |" in config[f"{name}.md"]


def test_reference_has_every_command_and_its_options(generated: dict[Path, str]) -> None:
    page = generated[DOCS / "reference" / "commands.md"]
    commands = commands_reference.commands(make_parser())
    assert {"check", "extract", "status", "report", "predict", "evaluate"} <= set(commands)
    for name, parser in commands.items():
        assert f"## `{name}`" in page
        for action in parser._actions:
            assert all(option in page for option in action.option_strings)


def test_reference_has_every_public_module(generated: dict[Path, str]) -> None:
    text = "".join(page for path, page in generated.items() if path.parent.name == "api")
    for file in (PROJECT / "ser").rglob("*.py"):
        name = ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        if not file.name.startswith(("__main__", "_wheel")) and name != "ser":
            assert f"automodule:: {name}\n" in text


def test_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 200
