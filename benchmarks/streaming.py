"""Compare training on frames in a file larger than memory with a subset of them in memory.

    python benchmarks/streaming.py FOLDER [--features fft513] [--frames 4300000] [--gigabytes 8]
        [--rounds 3] [--steps 524] [--cgroup /sys/fs/cgroup/memory]

Writes as many random frames as IEMOCAP has to FOLDER (fft513: 8.8 GB, fft128: 2.2 GB; deleted
afterwards), drops them from the page cache, and trains `representation=dae_tied` on them with 500
segments per batch. The memory of the process is limited, including pages of the file, by a control
group of version 1 or 2, which requires the right to create one. In each round there are as many
steps on 200,000 frames in memory as on all frames in the file. Prints

- the time of a step on frames in memory divided by that of a step on frames in the file, by wall
  clock, which includes waiting for the disk, and by processor time; medians over rounds (bar: at
  least 0.8);
- the peak memory of the group, and how often the limit was reached.

In an epoch a pool of 262,144 segments is read at a time: 524 steps include the reading of one pool.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

IN_MEMORY = 200_000  # frames
MEAN = 430  # frames of an utterance
BAR = 0.8
GB = 1 << 30
SETTINGS = {  # values of a frame, frames around it, layers and code: ghosh2016, table 1
    "fft513": (513, 0, [256, 128], 64),
    "fft128": (128, 2, [320, 160], 80),
}


class Enough(Exception):
    """Raised after the requested number of steps."""


def make(file: Path, count: int, values: int) -> None:
    """Write random frames, and drop them from the page cache."""
    rng = np.random.default_rng(0)
    frames = np.lib.format.open_memmap(file, "w+", np.float32, (count, values))
    for start in range(0, count, 1 << 16):
        block = frames[start : start + (1 << 16)]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    frames.flush()
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def limited(options: argparse.Namespace) -> None:
    """Train within the limit, and print the measurements."""
    (options.cgroup / "cgroup.procs").write_text(str(os.getpid()))
    from segments import now
    from training import composed

    from ser.config import build
    from ser.data.segments import Segments, context
    from ser.representations.learned import Learned, fit_standardiser
    from ser.training.stopping import CheckpointSelection
    from ser.training.trainer import TrainingBatches

    _, around, hidden, size = SETTINGS[options.features]
    widths = [f"representation.module.hidden={hidden}", f"representation.size={size}"]
    sees = ["segments=context", f"segments.past={around}", f"segments.future={around}"]
    names = [f"features={options.features}", "representation=dae_tied", "model=softmax"]
    cfg = composed([*names, *sees, *widths])
    mapped = np.load(options.folder / "frames.npy", mmap_mode="r")

    def segments(frames: np.ndarray, in_file: bool) -> Segments:
        ends = np.append(np.arange(0, len(frames), MEAN), len(frames))
        return context(frames, ends, np.arange(len(ends) - 1), in_file, past=around, future=around)

    kinds = {
        "memory": segments(np.array(mapped[:IN_MEMORY]), False),
        "file": segments(mapped, True),
    }
    standardiser = fit_standardiser(kinds["memory"], 10)

    def step(kind: str, number: int) -> np.ndarray:
        """(2,): processor time and wall clock time of a mean step."""
        from ser.data.batches import Task

        x = kinds[kind]
        module = build(cfg.representation.module)(Task(x.shape[1], 4, None, {}), size)
        y = np.zeros(len(x), np.int64)
        batches = Learned.batches(standardiser, x, y, cfg.representation.batch_size, number)
        stamps, one = [], module.training_step

        def stamped(*args: Any) -> None:
            stamps.append(now())
            if len(stamps) > options.steps:
                raise Enough
            one(*args)

        module.training_step = stamped
        selection: CheckpointSelection = build(cfg.representation.stopping)()
        with tempfile.TemporaryDirectory() as run, suppress(Enough):
            checkpoints = Path(run) / "checkpoints"
            data = TrainingBatches(batches)
            build(cfg.trainer).fit(module, data, checkpoints, [], selection)
        return np.diff(stamps[1:], axis=0).mean(axis=0)

    rounds = [[step(kind, number) for kind in kinds] for number in range(options.rounds)]
    for column, clock in enumerate(("processor time", "wall clock")):
        ratios = [float(memory[column] / file[column]) for memory, file in rounds]
        milliseconds = [1000 * median(float(r[k][column]) for r in rounds) for k in (0, 1)]
        print(
            f"{options.features} {clock:14} per step: {milliseconds[0]:6.2f} ms in memory, "
            f"{milliseconds[1]:6.2f} ms in the file: {median(ratios):.3f} times the speed "
            f"({min(ratios):.3f} to {max(ratios):.3f}; bar {BAR})",
            flush=True,
        )


def grouped(parent: Path, gigabytes: float) -> Path:
    """Create a control group with a limit of memory.

    Raises:
        SystemExit: It cannot be created.
    """
    group = parent / f"ser-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise SystemExit(
            f"{group}: {error}; --cgroup is a folder where groups can be created"
        ) from None
    old = group / "memory.limit_in_bytes"
    (old if old.exists() else group / "memory.max").write_text(str(int(gigabytes * GB)))
    return group


def usage(group: Path) -> str:
    """Peak memory of a group, and how often its limit was reached."""
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        if (group / name).exists():
            most = int((group / name).read_text()) / GB
    counts = (group / "memory.failcnt", group / "memory.events")
    times = next(file.read_text().split() for file in counts if file.exists())
    return f"peak memory of the group {most:.2f} GB; limit reached {times[-1]} times"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the file")
    parser.add_argument("--features", choices=list(SETTINGS), default="fft513")
    parser.add_argument("--frames", type=int, default=4_300_000)
    parser.add_argument(
        "--gigabytes", type=float, default=8.0, help="limit of memory, file included"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=524)
    parser.add_argument("--cgroup", type=Path, default=Path("/sys/fs/cgroup/memory"))
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        limited(options)
        return
    group = grouped(options.cgroup, options.gigabytes)
    try:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            file = Path(folder, "frames.npy")
            make(file, options.frames, SETTINGS[options.features][0])
            print(
                f"{file.stat().st_size / GB:.2f} GB of frames, {options.gigabytes:g} GB of memory"
            )
            command = [sys.executable, __file__, folder, "--inner", "--cgroup", str(group)]
            command += ["--features", options.features, "--rounds", str(options.rounds)]
            subprocess.run([*command, "--steps", str(options.steps)], check=True)
            print(usage(group))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
