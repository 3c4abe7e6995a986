"""Build step: the folder `conf/` becomes part of the installed package, as `ser/conf`.

An editable installation reads `conf/` of the checkout, see `ser.config.CONF`.
"""

from pathlib import Path
from shutil import copytree, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "ser", "conf")
            rmtree(target, ignore_errors=True)  # of an earlier build
            copytree("conf", target)


setup(cmdclass={"build_py": BuildWithConf})
