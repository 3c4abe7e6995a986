"""Sources of the random numbers of training: torch's own generator, or one for each run of a pack.

A pack (`ser.training.pack`) is several runs that are trained together, with a first dimension of R
runs. What a run draws depends on its own seed, the step and the place of the number in the step,
and not on the other runs. The numbers of all runs are computed together, because R calls of torch's
generators take longer on a GPU than a step.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
# figure 16): its n-th number is a function of the seed plus n times the first constant. int64 wraps
# as uint64 does.
INCREMENT = 0x9E3779B97F4A7C15 - (1 << 64)
FACTORS = {30: 0xBF58476D1CE4E5B9 - (1 << 64), 27: 0x94D049BB133111EB - (1 << 64)}  # by shift
LAST = 31  # shift
BITS = 24  # that are used of a number, those of a float32
VECTOR = 32  # functions may round the last values of a tensor in another way than whole vectors
SPACE = 1 << 36  # numbers of a step: many more than are drawn


class Noise:
    """Random numbers of torch's global generator."""

    def normal(self, items: Tensor, size: int) -> Tensor:
        """(B,) or (R, B) items -> (..., size) samples of N(0, 1)."""
        return torch.randn(*items.shape, size, device=items.device)

    def integers(self, items: Tensor, count: int) -> Tensor:
        """(B,) or (R, B) items -> one number from 0 to count - 1 for each."""
        return torch.randint(count, items.shape, device=items.device)


NOISE = Noise()


class PackNoise(Noise):
    """Random numbers of the runs of a pack, each from the seed of its run.

    The numbers of a training step are drawn together. The first step finds how many are needed.

    Args:
        seeds: R seeds.
        rows: B, rows of a batch in the pack.
        drawn: Rows for which numbers are drawn, at least B. It is the same in every pack.
        device: Where they are drawn.
    """

    def __init__(
        self, seeds: Sequence[int], *, rows: int, drawn: int, device: torch.device
    ) -> None:
        self.rows, self.drawn = rows, drawn
        kinds = ("normal", "uniform")
        self._steps = torch.zeros(len(seeds), 1, dtype=torch.long, device=device)
        self._seeds = {
            kind: torch.tensor([[_mixed(seed, number)] for seed in seeds], device=device)
            for number, kind in enumerate(kinds)
        }
        self._numbers = {kind: torch.empty(len(seeds), 0, device=device) for kind in kinds}
        self._used = dict.fromkeys(kinds, 0)

    def begin_step(self, present: Tensor) -> None:
        """Draw the numbers of the next step, in place.

        Args:
            present: (R,), whether a run takes part: its steps are counted, not those of the pack.
        """
        self._steps += present[:, None]
        for kind, numbers in self._numbers.items():
            numbers.copy_(self._draw(kind, 0, numbers.shape[1]))
        self._used = dict.fromkeys(self._numbers, 0)

    def normal(self, items: Tensor, size: int) -> Tensor:
        return self._take("normal", items.shape[1], size)

    def integers(self, items: Tensor, count: int) -> Tensor:
        drawn = self._take("uniform", items.shape[1], 1).squeeze(2)
        # A product can be rounded up to `count`.
        return (drawn * count).long().clamp(max=count - 1)

    def uniform(self, x: Tensor) -> Tensor:
        """(R, k * B, D) -> numbers between 0 and 1 of the same shape."""
        return self._take("uniform", x.shape[1], x.shape[2])

    def _take(self, kind: str, rows: int, size: int) -> Tensor:
        """Return the next (R, rows, size) numbers; `rows` is a multiple of B."""
        times = rows // self.rows
        begin = self._used[kind]
        end = self._used[kind] = begin + times * self.drawn * size
        numbers = self._numbers[kind]
        if end > numbers.shape[1]:  # in the first step
            new = self._draw(kind, begin, end)
            numbers = self._numbers[kind] = torch.cat([numbers, new], dim=1)
        taken = numbers[:, begin:end].unflatten(1, (times, self.drawn, size))
        return taken[:, :, : self.rows].flatten(1, 2)

    def _draw(self, kind: str, begin: int, end: int) -> Tensor:
        """Return some of the numbers of this step, (R, end - begin)."""
        seeds, count = self._seeds[kind], end - begin
        whole = begin + -(-count // VECTOR) * VECTOR
        places = torch.arange(begin, whole, device=seeds.device)
        bits = _bits(seeds + self._steps * SPACE * INCREMENT + places * INCREMENT)
        if kind == "uniform":
            drawn = bits.float().mul_(2.0**-BITS)
        else:  # the inverse of the distribution function, at the middle of each of 2^24 intervals
            odd = bits.mul_(2).add_(1 - (1 << BITS)).float()
            drawn = odd.mul_(2.0**-BITS).erfinv_().mul_(math.sqrt(2))
        return drawn[:, :count]


def _bits(x: Tensor) -> Tensor:
    """Return `BITS` random bits of each state of SplitMix64, as an integer; changes x in place."""
    for shift, factor in FACTORS.items():
        x.bitwise_xor_(_shifted(x, shift)).mul_(factor)
    return _shifted(x.bitwise_xor_(_shifted(x, LAST)), 64 - BITS)


def _shifted(x: Tensor, shift: int) -> Tensor:
    """Return x >> shift, as of unsigned numbers."""
    return (x >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _mixed(seed: int, number: int) -> int:
    """Return the seed of one kind of numbers of a run, of 64 bits."""
    return int(
        np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0].view(np.int64)
    )
