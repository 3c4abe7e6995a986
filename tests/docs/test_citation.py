"""Project metadata agree with one another."""

import tomllib

import yaml
from blocks import PROJECT

CITATION = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]


def test_citation_has_the_keys_that_cff_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CITATION)
    assert CITATION["authors"] == [{"name": "The ser developers"}]
    for reference in CITATION["references"]:
        assert {"type", "title", "authors"} <= set(reference)


def test_citation_and_changelog_are_of_this_version() -> None:
    changelog = (PROJECT / "CHANGELOG.md").read_text()
    assert CITATION["version"] == VERSION
    versions = [part.split()[0] for part in changelog.split("\n## ")[1:]]
    assert next(each for each in versions if each != "Unreleased") == VERSION
