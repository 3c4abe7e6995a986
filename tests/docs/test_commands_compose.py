"""Commands in the guide and on the pages of papers compose: every option that they name exists."""

import pytest
from blocks import DOCS, NEEDS, PROJECT, blocks, commands
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from ser.config import CONF
from ser.config.checks import check
from ser.config.run_key import register_resolvers

DOCUMENTS = [PROJECT / "README.md", *sorted(DOCS.rglob("*.md"))]
COMPOSED = ("train.py", "train", "audit", "check", "extract", "report", "status")


def found() -> list[tuple[str, list[str]]]:
    """Return document and line, and the overrides, of every command that takes some."""
    listed: dict[tuple[str, ...], str] = {}
    for document in DOCUMENTS:
        folders = document.relative_to(PROJECT).parts
        if "_build" in folders or "results" in folders or "reference" in folders:
            continue
        for block in blocks(document):
            if block.text.startswith(f"{NEEDS}my_conf"):  # a folder of the reader's
                continue
            for words in commands(block) if block.language == "bash" else ():
                overrides = tuple(word for word in words if "=" in word)
                if words[0] in ("python", "ser") and set(COMPOSED) & set(words[1:4]) and overrides:
                    listed.setdefault(overrides, f"{document.stem}:{block.line}")
    return [(where, list(overrides)) for overrides, where in listed.items()]


@pytest.mark.parametrize(("where", "overrides"), [pytest.param(*f, id=f[0]) for f in found()])
def test_overrides_compose_and_pass_all_checks(where: str, overrides: list[str]) -> None:
    register_resolvers()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        job = first_job(overrides)
        grid = compose("train", job, return_hydra_config=True).hydra.sweeper.get("params") or {}
        varied = [f"{key}={value}" for key, value in grid.items() if "search=" not in str(job)]
        named = {word.partition("=")[0] for word in job}
        job += [w for w in first_job(varied) if w.partition("=")[0] not in named]
        check(compose("train", job))


def first_job(overrides: list[str]) -> list[str]:
    """Return the overrides of the first run of a sweep."""
    single = []
    for override in OverridesParser.create().parse_overrides(overrides):
        value = override.input_line
        if value == "fold.index=all":  # replaced by every fold of the corpus
            value = "fold.index=0"
        if override.is_sweep_override():
            value = f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}"
        single.append(str(value))
    return single
