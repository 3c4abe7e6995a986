"""Commands in the README and the tutorials are run on the demo corpus, so that they cannot rot."""

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
import warm
from blocks import DOCS, PROJECT, Block, blocks, commands, expand

README = PROJECT / "README.md"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
# One epoch, of sweeps and grids one fold and seed, and no process per core.
SHORT = ["trainer.max_epochs=1", "hydra/launcher=basic"]
ONE = ["fold.index=0", "seed=0"]
REAL = {"corpus=emodb": "corpus=demo", "corpus.root=path/to/emodb": None}


@pytest.fixture(scope="session")
def shared(demo_root: Path) -> Path:
    """Folder with the demo corpus; receives the features."""
    return demo_root.parent


@pytest.mark.slow
@pytest.mark.parametrize("document", [README, *TUTORIALS], ids=lambda file: file.stem)
def test_commands_of_a_document_run_on_the_demo_corpus(
    document: Path, shared: Path, tmp_path: Path
) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "demo").symlink_to(shared / "demo")
    all_blocks = blocks(document)
    for block, following in pairwise([*all_blocks, None]):
        if block.runs:
            printed = run_block(block, tmp_path, shared / "features")
            # What tutorials quote depends on training for more than one epoch.
            if document == README and following is not None and following.language == "text":
                printed = printed.replace(f" {SHORT[0]}", "")  # in commands that it quotes
                assert form(following.text) == form(printed), f"line {following.line}"


def run_block(block: Block, folder: Path, store: Path) -> str:
    """Run the programs of a block and return what they print."""
    programs = [["-c", block.text]] if block.language == "python" else []
    if block.language == "bash":
        programs = [as_tested(words, folder) for words in commands(block) if words[0] != "pip"]
    printed = ""
    for program in programs:
        done = warm.run(program, cwd=folder, env={**os.environ, "SER_STORE": str(store)})
        where = f"{block.file.name}, line {block.line}: python {' '.join(program)}"
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    return printed


def form(output: str) -> list[str]:
    """Return the lines of an output with # in place of numbers and hashes.

    Lines of progress are left out: they come by time.
    """
    masked = re.sub(r"-[0-9a-f]{8}\b|\d[\d,.]*", "#", output)
    lines = [" ".join(line.split()) for line in masked.splitlines()]
    return [line for line in lines if line and not line.startswith("epoch ")]


def as_tested(words: list[str], folder: Path) -> list[str]:
    """Return the arguments of `python`: shorter, with the demo corpus in place of a real one."""
    assert words[0] == "python", f"only python and pip can be run here, not {words}"
    arguments = [REAL.get(word, word) for word in words[1:]]
    program = expand([word for word in arguments if word is not None], folder)
    script = [str(PROJECT / "train.py")] if program[0] == "train.py" else []
    is_grid = any(word.startswith("grid=") for word in program)
    if not script and not is_grid:
        return program
    replaced = [*SHORT, *(ONE if is_grid or "-m" in program[:2] else [])]
    keys = {word.partition("=")[0] for word in replaced}
    return [
        *script,
        *(word for word in program[len(script) :] if word.partition("=")[0] not in keys),
        *replaced,
    ]
