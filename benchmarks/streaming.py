"""Frames in a file that is larger than memory, beside a subset of them in memory.

    python benchmarks/streaming.py FOLDER [--features fft513] [--frames 4300000] [--gigabytes 8]
        [--rounds 3] [--steps 524] [--cgroup /sys/fs/cgroup/memory]

Makes random frames of IEMOCAP's number in FOLDER (fft513: 8.8 GB, fft128: 2.2 GB; deleted
afterwards), has the system forget what it holds of the file, and trains `representation=dae_tied`
on them, 500 segments a batch, in a process that may have no more memory than the limit, pages of
the file included: by a control group of version 1 or 2, which needs the right to make one. In turn,
a round each, so many steps on 200,000 frames in memory and so many on all those in the file. Prints

- a step on frames in memory over a step on those in the file, by the clock, where waiting for the
  disk counts, and by processor time, as medians over rounds (bar: at least 0.8);
- what the group's memory has been at most, and how often the limit was met.

The order of an epoch reads a pool of 262,144 segments at a time: 524 steps have one pool's reading.
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

HELD = 200_000
MEAN = 430  # frames of an utterance
BAR = 0.8
GB = 1 << 30
SETTINGS = {  # values of a frame, frames around it, layers and code: ghosh2016, table 1
    "fft513": (513, 0, [256, 128], 64),
    "fft128": (128, 2, [320, 160], 80),
}


class Enough(Exception):
    """So many steps have been trained."""


def make(file: Path, count: int, values: int) -> None:
    """Random frames, of which the system holds nothing in memory afterwards."""
    rng = np.random.default_rng(0)
    made = np.lib.format.open_memmap(file, "w+", np.float32, (count, values))
    for start in range(0, count, 1 << 16):
        block = made[start : start + (1 << 16)]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    made.flush()
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def limited(options: argparse.Namespace) -> None:
    """Trains within the limit, and prints what it took."""
    (options.cgroup / "cgroup.procs").write_text(str(os.getpid()))
    from segments import now
    from training import composed

    from ser.config import build
    from ser.data.segments import Segments, context
    from ser.representations.learned import Learned, _Loaded, _standardiser
    from ser.training.stopping import Keeper

    _, around, hidden, size = SETTINGS[options.features]
    widths = [f"representation.module.hidden={hidden}", f"representation.size={size}"]
    sees = ["segments=context", f"segments.past={around}", f"segments.future={around}"]
    names = [f"features={options.features}", "representation=dae_tied", "model=softmax"]
    cfg = composed([*names, *sees, *widths])
    mapped = np.load(options.folder / "frames.npy", mmap_mode="r")

    def segments(frames: np.ndarray, in_file: bool) -> Segments:
        ends = np.append(np.arange(0, len(frames), MEAN), len(frames))
        return context(frames, ends, np.arange(len(ends) - 1), in_file, past=around, future=around)

    kinds = {"held": segments(np.array(mapped[:HELD]), False), "mapped": segments(mapped, True)}
    standardiser = _standardiser(kinds["held"], 10)

    def step(kind: str, number: int) -> np.ndarray:
        """(2,): the mean step, by processor time and the clock."""
        from ser.data.batches import Task

        x = kinds[kind]
        module = build(cfg.representation.module)(Task(x.shape[1], 4, None, {}), size)
        y = np.zeros(len(x), np.int64)
        batches = Learned._batches(standardiser, x, y, cfg.representation.batch_size, number)
        stamps, one = [], module.training_step

        def stamped(*args: Any) -> None:
            stamps.append(now())
            if len(stamps) > options.steps:
                raise Enough
            one(*args)

        module.training_step = stamped
        keeper: Keeper = build(cfg.representation.stopping)()
        with tempfile.TemporaryDirectory() as run, suppress(Enough):
            place = Path(run) / "checkpoints"
            build(cfg.trainer).fit(module, _Loaded(batches), place, [], keeper)
        return np.diff(stamps[1:], axis=0).mean(axis=0)

    found = [[step(kind, number) for kind in kinds] for number in range(options.rounds)]
    for column, told in enumerate(("by processor time", "by the clock")):
        ratios = [float(held[column] / file[column]) for held, file in found]
        milliseconds = [1000 * median(float(r[k][column]) for r in found) for k in (0, 1)]
        print(
            f"{options.features} {told:18} {milliseconds[0]:6.2f} ms a step in memory, "
            f"{milliseconds[1]:6.2f} in the file: {median(ratios):.3f} times its speed "
            f"({min(ratios):.3f} to {max(ratios):.3f}; bar {BAR})",
            flush=True,
        )


def grouped(parent: Path, gigabytes: float) -> Path:
    """A control group with that limit.

    Raises:
        SystemExit: none can be made.
    """
    group = parent / f"ser-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise SystemExit(f"{group}: {error}; --cgroup names where one can be made") from None
    old = group / "memory.limit_in_bytes"
    (old if old.exists() else group / "memory.max").write_text(str(int(gigabytes * GB)))
    return group


def said(group: Path) -> str:
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        if (group / name).exists():
            most = int((group / name).read_text()) / GB
    met = (group / "memory.failcnt", group / "memory.events")
    times = next(file.read_text().split() for file in met if file.exists())
    return f"the group had {most:.2f} GB at most; limit met {times[-1]} times"


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
        with tempfile.TemporaryDirectory(dir=options.folder) as made:
            file = Path(made, "frames.npy")
            make(file, options.frames, SETTINGS[options.features][0])
            print(
                f"{file.stat().st_size / GB:.2f} GB of frames, {options.gigabytes:g} GB of memory"
            )
            command = [sys.executable, __file__, made, "--inner", "--cgroup", str(group)]
            command += ["--features", options.features, "--rounds", str(options.rounds)]
            subprocess.run([*command, "--steps", str(options.steps)], check=True)
            print(said(group))
    finally:
        group.rmdir()


if __name__ == "__main__":
    main()
