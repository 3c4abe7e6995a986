"""`python train.py --help`."""

import subprocess
import sys

import pytest

from ser.config import CONF, choices
from ser.config.help import help_text

# Runs train.py in the process, then prints what it has imported.
SCRIPT = """
import runpy, sys
sys.argv = ["train.py", "--help"]
try:
    runpy.run_path("train.py", run_name="__main__")
except SystemExit as stop:
    assert not stop.code
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("group", ["corpus", "target", "features", "model", "representation"])
def test_help_lists_the_choices_of_short_groups(group: str) -> None:
    text = help_text().replace("*", "")
    assert all(name in text for name in choices(group))


def test_help_marks_defaults() -> None:
    assert "cremad, demo*, emodb" in help_text()
    assert "savee, tess, none*" in help_text()


def test_help_names_commands_that_list_experiments_and_grids() -> None:
    text = help_text()
    assert "ls conf/experiment/*" in text
    assert "ls conf/grid" in text
    assert "utterance_aae" not in text
    assert "latif2018_table1" not in text


def test_help_describes_every_commented_option() -> None:
    text = help_text()
    assert "seed=0 " in text
    assert "data.batch_size=64 " in text
    assert "store.root=outputs/features " in text
    for folder in sorted(path.name for path in CONF.iterdir() if path.is_dir()):
        # conf/hydra and conf/stopping are no groups of train.yaml.
        assert f"\n  {folder:<16}" in text or folder in ("hydra", "stopping")


def test_help_imports_neither_plug_ins_nor_torch() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=CONF.parent
    )
    assert result.stdout == help_text() + "\n"
    modules = result.stderr.split()
    assert "hydra" in modules
    assert not [m for m in modules if m.partition(".")[0] in ("hydra_plugins", "torch", "ray")]
