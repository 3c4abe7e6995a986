"""Arithmetic and memory traffic of table 1 of parthasarathy2019, and the least time of a GPU.

    python benchmarks/work.py [--systems frame_aae ...]

Counts the operations of packs on the CPU, with random data of the size of IEMOCAP in batches of 64,
a quarter of its utterances: their number, their products and sums, and the bytes that they read and
write, where every argument and result is read or written once. No operation is quicker than its
arithmetic or its memory traffic allows. The sum over all operations is the least time of a step;
what is kept in caches can make it less, and starting operations makes it more.

Prints a row for each system: a step, and the minutes of the table at the published peaks of each
GPU. The table has 10 seeds, 3 attributes, 5 trainings that two folds share each, and 100 epochs.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from gpu import TRAININGS
from gpu_packs import EPOCHS
from gpu_steps import IEMOCAP, SYSTEMS, Setup, system
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ser.config import build
from ser.config.run_key import register_resolvers
from ser.training.pack import Member, Pack
from ser.training.stopping import BestValidation

PART = 4  # of the utterances, whose operations are counted
PEAKS = {  # products and sums, and bytes, a second
    "H100": (67e12, 3.35e12), "H100, TF32": (495e12, 3.35e12),
    "H200": (67e12, 4.8e12), "H200, TF32": (495e12, 4.8e12),
}  # fmt: skip
SELECTING = {"index", "index_select", "gather"}  # read as much as they write


@dataclass
class Counted:
    """Sums over operations.

    Attributes:
        operations: Their number.
        flops: Products and sums.
        moved: Bytes read and written.
        seconds: Least time by GPU.
    """

    operations: int = 0
    flops: int = 0
    moved: int = 0
    seconds: Counter[str] = field(default_factory=Counter)


class Counting(TorchDispatchMode):
    """Counts operations while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = Counted()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given, made = set(_tensors([args, kwargs])), list(_tensors(out))
        places = {each.untyped_storage().data_ptr() for each in given}
        is_view = all(each.untyped_storage().data_ptr() in places for each in made)
        if is_view and not func._schema.is_mutable:
            return out
        count = flop_registry.get(func._overloadpacket)
        flops = 0 if count is None else count(*args, **(kwargs or {}), out_val=out)
        read = made if func._overloadpacket.__name__ in SELECTING else given
        moved = sum(map(_bytes, [*read, *made]))
        self.counted.operations += 1
        self.counted.flops += flops
        self.counted.moved += moved
        for card, (arithmetic, memory) in PEAKS.items():
            self.counted.seconds[card] += max(flops / arithmetic, moved / memory)
        return out


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for each in values:
            yield from _tensors(each)


def _bytes(tensor: Tensor) -> int:
    """Bytes of the values of a tensor; those of an expanded one are counted once."""
    own = (size for size, step in zip(tensor.shape, tensor.stride(), strict=True) if step)
    return math.prod(own) * tensor.element_size()


def counted(setup: Setup, name: str) -> tuple[Counted, Counted]:
    """Count an epoch of training, and a validation."""
    cfg, data = system(setup, name)
    member = Member(build(cfg.model)(data.task), data, BestValidation(None))
    pack, sums = Pack([member], torch.device("cpu"), graphs=False), []
    pack.train_epoch(0, [0])  # the first step also finds how many random numbers are needed
    for work in (lambda: pack.train_epoch(1, [0]), lambda: pack.validate([0])):
        with Counting() as counting:
            work()
        sums.append(counting.counted)
    return sums[0], sums[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    options = parser.parse_args()
    register_resolvers()
    torch.set_num_threads(1)
    parts = {name: getattr(IEMOCAP, name) // PART for name in ("train", "val", "test")}
    setup, table = Setup("cpu", replace(IEMOCAP, **parts)), Counter[str]()
    steps = math.ceil(setup.size.train / setup.size.batch)
    for name in options.systems:
        trained, validated = counted(setup, name)
        # A shared training validates twice an epoch.
        minutes = {
            card: TRAININGS * EPOCHS * PART * (seconds + 2 * validated.seconds[card]) / 60
            for card, seconds in trained.seconds.items()
        }
        table.update(minutes)
        print(
            f"{name:22} a step: {trained.operations / steps:5.0f} operations, "
            f"{trained.flops / steps / 1e9:5.2f} GFLOP, {trained.moved / steps / 1e9:4.2f} GB; "
            f"the table: {_listed(minutes)}",
            flush=True,
        )
    print(f"at least, minutes: {_listed(table)}")


def _listed(minutes: dict[str, float]) -> str:
    return ", ".join(f"{card} {value:.1f}" for card, value in minutes.items())


if __name__ == "__main__":
    main()
