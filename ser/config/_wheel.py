"""Build step of setuptools: the folder `conf/` becomes part of the installed package, `ser/conf`.

`pyproject.toml` names it. An editable installation reads `conf/` of the checkout instead, see
`ser.config.CONF`.
"""

from pathlib import Path
from shutil import copytree, rmtree

from setuptools.command.build_py import build_py

CONF = Path("conf")
DOCUMENTS = ("train.py", "CHANGELOG.md", "CITATION.cff")  # of a source distribution


class BuildWithConf(build_py):
    """Copy `conf/` into wheels, and list it among the sources."""

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *map(str, CONF.rglob("*.yaml")), *DOCUMENTS]

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "ser", CONF)
            rmtree(target, ignore_errors=True)  # of an earlier build
            copytree(CONF, target)
