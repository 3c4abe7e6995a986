"""A sweep that is killed again and again against one that is not: the same report, byte for byte?

    python benchmarks/killed.py                     120 runs on the demo corpus, five kills
    python benchmarks/killed.py --kills 2 --seeds 1

Every kill is a SIGKILL to the whole process group, at a random moment of the time that is left.
Prints what each start found finished, and how much longer the killed sweep took.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
APART = {"cost.csv"}  # times and dates


def sweep(folder: Path, seeds: int) -> list[str]:
    return [
        sys.executable, str(ROOT / "train.py"), "-m", "model=mlp,aae", "fold.index=range(10)",
        f"seed=range({seeds})", "trainer.max_epochs=8", "trainer.checkpoint_seconds=1",
        "hydra/launcher=joblib", f"hydra.sweep.dir={folder}",
    ]  # fmt: skip


def finish(folder: Path, seeds: int) -> tuple[str, float]:
    """Lets the sweep run to its end; what it said of its runs, and how long it took."""
    started = time.monotonic()
    told = subprocess.run(sweep(folder, seeds), capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+ runs: .*", told)
    assert found, told
    return found[0], time.monotonic() - started


def kill(folder: Path, seeds: int, seconds: float) -> None:
    with subprocess.Popen(
        sweep(folder, seeds),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def report(folder: Path) -> dict[str, bytes]:
    out = folder.parent / f"report of {folder.name}"
    subprocess.run(
        [sys.executable, "-m", "ser", "report", str(folder), "--out", str(out)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    return {file.name: file.read_bytes() for file in out.rglob("*") if file.name not in APART}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=6, help="20 runs each")
    options = parser.parse_args()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "a" / "runs", Path(place) / "b" / "runs"
        told, seconds = finish(whole, options.seeds)
        print(f"never killed: {told}, {seconds:.0f} s", flush=True)
        spent = 0.0
        for number in range(options.kills):
            left = seconds - spent
            after = draw.uniform(0.2, 0.8) * max(20.0, 2 * left / (options.kills - number))
            kill(killed, options.seeds, after)
            spent += after
            done = len(list(killed.rglob("result.json")))
            print(f"killed after {after:.0f} s: {done} runs finished", flush=True)
        told, last = finish(killed, options.seeds)
        print(f"then: {told}, {last:.0f} s; {(spent + last) / seconds:.2f}x the time in all")
        first, second = report(whole), report(killed)
        differing = sorted(n for n in {*first, *second} if first.get(n) != second.get(n))
        print(f"{len(first)} files of the report, differing: {differing or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
