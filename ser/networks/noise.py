"""Sources of the random numbers of training: torch's own generator, or one for each run of a pack.

A pack (`ser.training.pack`) is several runs that are trained together, with a first dimension of R
runs. Each run draws from a generator of its own, always the same amount, so that what it draws does
not depend on the other runs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


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
    """Random numbers of the runs of a pack, each from the generator of its run.

    The numbers of a training step are drawn together: two calls for each run and step, whatever the
    number of layers. The first step finds how many are needed.

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
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._kinds = {"normal": Tensor.normal_, "uniform": Tensor.uniform_}
        self._numbers = {kind: torch.empty(len(seeds), 0, device=device) for kind in self._kinds}
        self._used = dict.fromkeys(self._kinds, 0)

    def begin_step(self) -> None:
        """Draw the numbers of the next step, in place."""
        for kind, numbers in self._numbers.items():
            self._fill(kind, numbers)
        self.rewind()

    def rewind(self) -> None:
        """Give the numbers of this step again, from the first."""
        self._used = dict.fromkeys(self._kinds, 0)

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
            new = self._fill(kind, numbers.new_empty(len(numbers), end - begin))
            numbers = self._numbers[kind] = torch.cat([numbers, new], dim=1)
        taken = numbers[:, begin:end].unflatten(1, (times, self.drawn, size))
        return taken[:, :, : self.rows].flatten(1, 2)

    def _fill(self, kind: str, numbers: Tensor) -> Tensor:
        """Draw the numbers of each run in place."""
        for own, generator in zip(numbers, self._generators, strict=True):
            self._kinds[kind](own, generator=generator)
        return numbers
