"""Start-up times: help, tab completion and the first training step, each as a whole process.

    python benchmarks/startup.py corpus=emodb corpus.root=path/to/emodb

Prints medians over rounds, in which the processes alternate. The first round is not counted; it
extracts the features if they are not stored yet.

Bars: help 1.0 s and completion 0.5 s; the first step at most 3 s more than the time of importing
torch and pytorch_lightning.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parent.parent / "train.py"
ROUNDS = 5

# Ends the process before the first training step.
FIRST_STEP = """
import os, sys, runpy
sys.argv = sys.argv[1:]
import importlib.abc
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "ser.training.trainer":
            from ser.training.phased import PhasedModel
            PhasedModel.training_step = lambda *_: os._exit(0)
        return None
sys.meta_path.insert(0, Finder())
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def time_process(command: list[str], **environment: str) -> float:
    """Return the seconds that a process takes.

    Args:
        command: Program and arguments.
        environment: Additional environment variables.
    """
    started = time.perf_counter()
    process = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert process.returncode == 0, process.stderr
    return seconds


def main() -> None:
    python, train = sys.executable, str(TRAIN)
    imports = "import torch, pytorch_lightning"
    line = f"python {train} model="
    completion = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):
            run = f"hydra.run.dir={folder}/{number}"
            rounds.append(
                {
                    "help": time_process([python, train, "--help"]),
                    "completion": time_process([python, train, "-sc", "query=bash"], **completion),
                    "imports": time_process([python, "-c", imports]),
                    "first step": time_process(
                        [python, "-c", FIRST_STEP, train, *sys.argv[1:], run]
                    ),
                }
            )
    medians = {name: statistics.median(each[name] for each in rounds[1:]) for name in rounds[0]}
    beyond = medians["first step"] - medians["imports"]
    print(f"help        {medians['help']:.2f} s (bar 1.0)")
    print(f"completion  {medians['completion']:.2f} s (bar 0.5)")
    print(f"imports     {medians['imports']:.2f} s (torch and pytorch_lightning only)")
    print(f"first step  {medians['first step']:.2f} s, {beyond:.2f} s more than imports (bar 3)")


if __name__ == "__main__":
    main()
