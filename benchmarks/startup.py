"""How long a user waits: help, completion, the first training step, each a whole process.

    python benchmarks/startup.py corpus=emodb corpus.root=path/to/emodb

Features must be stored before (the first round fills the store). Processes alternate; medians.
Bars: help 1.0 s; completion 0.5 s; the first step the time of importing torch and
pytorch_lightning, and 3 s.
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

# Ends the process as soon as the first batch is about to be trained on.
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


def seconds(command: list[str], **environment: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    took = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    return took


def main() -> None:
    python, train = sys.executable, str(TRAIN)
    imports = "import torch, pytorch_lightning"
    with tempfile.TemporaryDirectory() as folder:
        rounds = []
        for number in range(ROUNDS + 1):
            run = f"hydra.run.dir={folder}/{number}"
            line = f"python {train} model="
            rounds.append(
                {
                    "help": seconds([python, train, "--help"]),
                    "completion": seconds(
                        [python, train, "-sc", "query=bash"],
                        COMP_LINE=line,
                        COMP_POINT=str(len(line)),
                    ),
                    "imports": seconds([python, "-c", imports]),
                    "first step": seconds([python, "-c", FIRST_STEP, train, *sys.argv[1:], run]),
                }
            )
    found = {name: statistics.median(r[name] for r in rounds[1:]) for name in rounds[0]}
    print(f"help        {found['help']:.2f} s (bar 1.0)")
    print(f"completion  {found['completion']:.2f} s (bar 0.5)")
    print(f"imports     {found['imports']:.2f} s (torch and pytorch_lightning alone)")
    beyond = found["first step"] - found["imports"]
    print(f"first step  {found['first step']:.2f} s: {beyond:.2f} s beyond the imports (bar 3)")


if __name__ == "__main__":
    main()
