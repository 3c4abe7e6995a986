"""Training steps as CUDA graphs, which a GPU computes without waiting for Python.

A step of a small network is hundreds of operations of a few microseconds, and Python takes longer
to start each than the GPU to compute it. A graph is recorded once and then started as a whole.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import torch

from ser.data.batches import Batch

log = logging.getLogger(__name__)

FRAMES = 64  # T is rounded up to a multiple, so that there are fewer shapes
GRAPHS = 40  # that are kept

WARM = 3  # steps of a pack before one is captured

Shape = tuple[int, ...]
Trainings = tuple[int, ...]  # of a pack, those that take part in a step
Kind = tuple[Trainings, int | None]  # of a step: its trainings, and its number of frames


class CapturedSteps:
    """Steps of one training, by the shape of the batch.

    The first step of a shape is computed as usual, the second one is captured, and the captured one
    is repeated. All do the same operations, and get the same random numbers, so that results do not
    depend on which steps are captured.
    """

    def __init__(self) -> None:
        self._optimisers: list[torch.optim.Optimizer] = []
        self._placed: dict[Shape, Batch] = {}  # from which captured steps read
        self._graphs: dict[Shape, torch.cuda.CUDAGraph] = {}
        self._works = True

    def use(self, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        """Set the optimisers of the steps, and let them be captured if they can be."""
        self._optimisers = list(optimisers)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                if "capturable" in group:
                    group["capturable"] = True

    def __call__(self, batch: Batch, step: Callable[[Batch], None]) -> None:
        """Train on a batch.

        Args:
            batch: Batch on the GPU.
            step: What a step computes. It returns nothing, and adds to sums in place.
        """
        if not (self._works and is_capturable(batch)):
            step(batch)
            return
        shape = padded_shape(batch)
        seen = shape in self._placed
        placed = self._place(batch, shape)
        if shape in self._graphs:
            self._graphs[shape].replay()
        elif seen:
            self._capture(shape, lambda: step(placed))
        else:
            step(placed)

    def _place(self, batch: Batch, shape: Shape) -> Batch:
        """Copy a batch to where the steps of its shape read it."""
        if shape not in self._placed:
            if len(self._placed) == GRAPHS:
                oldest = next(iter(self._placed))
                del self._placed[oldest]
                self._graphs.pop(oldest, None)
            self._placed[shape] = empty(batch, shape)
        placed = self._placed[shape]
        fill(placed, batch)
        return placed

    def _capture(self, shape: Shape, step: Callable[[], None]) -> None:
        """Capture a step and compute it; if it cannot be captured, no further one is."""
        for optimiser in self._optimisers:
            optimiser.zero_grad()  # the graph has gradients of its own
        graph = torch.cuda.CUDAGraph()
        # Graphs are never computed at the same time, so that they can share memory.
        pool = next((each.pool() for each in self._graphs.values()), None)
        try:
            with torch.cuda.graph(graph, pool=pool):
                step()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            log.warning("steps are not captured as CUDA graphs, which is slower: %s", reason)
            self._works = False
            self._graphs.clear()
            step()
            return
        self._graphs[shape] = graph
        graph.replay()


def is_capturable(batch: Batch) -> bool:
    """Whether the losses of a batch wait for no result: it has classes of one target."""
    plain = batch.windows is None and batch.partners is None
    return batch.x.is_cuda and batch.y.ndim == 1 and plain


def padded_shape(batch: Batch) -> Shape:
    """Return the shape of a batch whose frames are padded to a multiple of `FRAMES`."""
    if batch.lengths is None:
        return tuple(batch.x.shape)
    items, frames, width = batch.x.shape
    return items, -(-frames // FRAMES) * FRAMES, width


def empty(batch: Batch, shape: Shape) -> Batch:
    """Return a batch of a shape, with zeros."""
    lengths = None if batch.lengths is None else torch.zeros_like(batch.lengths)
    return Batch(batch.x.new_zeros(shape), torch.zeros_like(batch.y), lengths)


def fill(placed: Batch, batch: Batch) -> None:
    """Copy a batch into one with as many items and at least as many frames."""
    if batch.lengths is None or placed.lengths is None:
        placed.x.copy_(batch.x)
    else:
        frames = batch.x.shape[1]
        placed.x[:, :frames] = batch.x
        placed.x[:, frames:] = 0.0
        placed.lengths.copy_(batch.lengths)
    placed.y.copy_(batch.y)


class PackSteps:
    """Steps that are captured as CUDA graphs, one for each set of trainings and number of frames.

    Args:
        compute: Computes a step of some trainings with a number of frames.
        captured: Whether to capture; False: each step is computed anew.
    """

    def __init__(self, compute: Callable[[Trainings, int | None], None], *, captured: bool) -> None:
        self._compute, self._captured = compute, captured
        self._done: Counter[Kind] = Counter()
        self._graphs: dict[Kind, torch.cuda.CUDAGraph] = {}
        self._stream = torch.cuda.Stream() if captured else None

    def __call__(self, trainings: Trainings, frames: int | None) -> None:
        kind = (trainings, frames)
        if kind in self._graphs:
            self._graphs[kind].replay()
        elif self._stream is None:
            self._compute(*kind)
        elif self._done[kind] < WARM:
            self._done[kind] += 1
            self._compute_aside(self._stream, kind)
        else:
            self._capture(kind)

    def _compute_aside(self, stream: torch.cuda.Stream, kind: Kind) -> None:
        """Compute a step on another stream, as torch asks for before a capture."""
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute(*kind)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self, kind: Kind) -> None:
        """Capture a step, and run it; what cannot be captured is computed step by step."""
        graph = torch.cuda.CUDAGraph()
        # Graphs are never computed at the same time, so that they can share memory.
        pool = next((each.pool() for each in self._graphs.values()), None)
        try:
            with torch.cuda.graph(graph, pool=pool):
                self._compute(*kind)
        except RuntimeError as error:
            log.warning("steps are not captured as CUDA graphs: %s", str(error).partition("\n")[0])
            self._stream = None
            self._graphs.clear()
            self._compute(*kind)
            return
        if len(self._graphs) == GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        self._graphs[kind] = graph
        graph.replay()
