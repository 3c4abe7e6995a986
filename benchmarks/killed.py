"""Check that a sweep that is killed several times has the same report, byte for byte.

    python benchmarks/killed.py                     120 runs on the demo corpus, five kills
    python benchmarks/killed.py --kills 2 --seeds 1
    python benchmarks/killed.py --folder runs       resumes the sweeps in a folder

Every kill is a SIGKILL to the process group, at a random moment after a random number of finished
runs. Prints the number of finished runs at each start.
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
IGNORED = {"cost.csv"}  # contains times and dates


def sweep(folder: Path, seeds: int) -> list[str]:
    return [
        sys.executable, str(ROOT / "train.py"), "-m", "model=mlp,aae", "fold.index=range(10)",
        f"seed=range({seeds})", "trainer.max_epochs=8", "trainer.checkpoint_seconds=1",
        "hydra/launcher=joblib", f"hydra.sweep.dir={folder}",
    ]  # fmt: skip


def finish(folder: Path, seeds: int) -> str:
    """Run the sweep to its end, and return its summary of the runs."""
    process = subprocess.run(sweep(folder, seeds), capture_output=True, text=True, check=True)
    summary = re.search(r"\d+ runs: .*", process.stdout)
    assert summary, process.stdout
    return summary[0]


def finished(folder: Path) -> int:
    return len(list(folder.rglob("result.json")))


def kill(folder: Path, seeds: int, after: int, seconds: float) -> None:
    """Start the sweep, and kill it some seconds after a number of runs is finished."""
    with subprocess.Popen(
        sweep(folder, seeds),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while finished(folder) < after and process.poll() is None:
            time.sleep(0.1)
        time.sleep(seconds)
        assert process.poll() is None, "ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)


def report(folder: Path) -> dict[str, bytes]:
    out = folder.parent / f"report of {folder.name}"
    subprocess.run(
        [sys.executable, "-m", "ser", "report", str(folder), "--out", str(out)],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    return {file.name: file.read_bytes() for file in out.rglob("*") if file.name not in IGNORED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=6, help="of 20 runs each")
    parser.add_argument("--folder", help="default: a temporary one")
    options = parser.parse_args()
    draw = random.Random(0)
    moments = sorted(draw.randrange(20 * options.seeds - 5) for _ in range(options.kills))
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(options.folder or temporary)
        whole, killed = place / "a" / "runs", place / "b" / "runs"
        print(f"never killed: {finish(whole, options.seeds)}", flush=True)
        for after in moments:
            kill(killed, options.seeds, after, draw.uniform(0, 2))
            print(f"killed with {finished(killed)} runs finished", flush=True)
        print(f"then: {finish(killed, options.seeds)}", flush=True)
        first, second = report(whole), report(killed)
        differing = sorted(n for n in {*first, *second} if first.get(n) != second.get(n))
        print(f"{len(first)} files of the report, differing: {differing or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
