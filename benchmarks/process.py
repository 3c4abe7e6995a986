"""A whole training process against a bare script that does the same work, features stored.

    python benchmarks/process.py corpus.root=path/to/emodb [--rounds 5]

Alternates `python train.py corpus=emodb model=mlp` and a script in plain PyTorch, which reads the
same features from one file, standardises them, trains the same network for as many epochs with a
validation in each, keeps the best weights, tests them, and writes weights and predictions. Prints
minima over rounds of the wall clock and of the processor time, and their ratios. The first round
is not counted; it extracts the features if they are not stored yet.

Bar: 1.5 times the bare script.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRAIN = Path(__file__).parent.parent / "train.py"
BAR = 1.5

BARE = """
import sys
import numpy as np, pandas as pd, torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.manual_seed(0)
data = np.load(sys.argv[1], allow_pickle=False)
x, mean, deviation = {}, data["x_train"].mean(axis=0), data["x_train"].std(axis=0)
for part in ("train", "val", "test"):
    values = (data["x_" + part] - mean) / np.where(deviation > 0, deviation, 1)
    x[part] = torch.from_numpy(values.clip(-10, 10).astype(np.float32))
y = {part: torch.from_numpy(data["y_" + part]) for part in x}
classes = int(max(labels.max() for labels in y.values())) + 1
model = nn.Sequential(
    nn.Linear(x["train"].shape[1], 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
    nn.Linear(256, classes),
)
optimiser = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)

def accuracy(part):
    with torch.inference_mode():
        hits = model(x[part]).argmax(dim=1) == y[part]
    return torch.stack([hits[y[part] == c].float().mean() for c in y[part].unique()]).mean().item()

best, weights = -1.0, {}
for _ in range(100):
    for chosen in torch.randperm(len(x["train"])).split(64):
        loss = functional.cross_entropy(model(x["train"][chosen]), y["train"][chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if (score := accuracy("val")) > best:
        best, weights = score, {name: value.clone() for name, value in model.state_dict().items()}
model.load_state_dict(weights)
torch.save(weights, sys.argv[2] + "/weights.pt")
with torch.inference_mode():
    tables = [pd.DataFrame(model(x[part]).softmax(dim=1).numpy()) for part in ("val", "test")]
pd.concat(tables).to_csv(sys.argv[2] + "/predictions.csv")
print(best, accuracy("test"))
"""

# Writes what the bare script reads.
EXPORT = """
import sys
import numpy as np
from ser.config.compose import compose_run
from ser.data.prepare import prepare
data = prepare(compose_run(sys.argv[2:])).data
of = dict(zip(data.features.utterances, range(len(data.features.utterances))))
arrays = {}
for part, ids in data.fold.parts.items():
    arrays["x_" + part] = data.features.values[[of[each] for each in ids]]
    arrays["y_" + part] = np.array([data.target.classes.index(l) for l in data.target.labels[ids]])
np.savez(sys.argv[1], **arrays)
"""


def time_process(command: list[str]) -> tuple[float, float]:
    """Return the wall clock and the processor time of a process, in seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, process.stderr
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="CONFIG")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    overrides = ["corpus=emodb", "model=mlp", *options.overrides]
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/features.npz"
        subprocess.run([sys.executable, "-c", EXPORT, file, *overrides], check=True)
        for number in range(options.rounds + 1):
            run = f"hydra.run.dir={folder}/{number}"
            ours = time_process([sys.executable, str(TRAIN), *overrides, run])
            bare = time_process([sys.executable, "-c", BARE, file, folder])
            rounds.append((ours, bare))
    ours_least, bare_least = np.array(rounds[1:]).min(axis=0)
    for name, ours, bare in zip(("wall clock", "processor"), ours_least, bare_least, strict=True):
        print(f"{name:10}  {ours:6.2f} s  bare {bare:6.2f} s  ratio {ours / bare:.2f}, bar {BAR}")


if __name__ == "__main__":
    main()
